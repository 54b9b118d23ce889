#include "common/bucket_client/get_ops.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "common/bucket_client/element_cut.h"
#include "common/bucket_client/object_wire.h"

namespace bue {
namespace {

// As good as no limit.
constexpr uint64_t kWindowBytesMax = uint64_t{1} << 40;

uint64_t EndOf(const GetItem& item) {
  if (item.count == 0) return std::numeric_limits<uint64_t>::max();
  const uint64_t end = item.first + item.count;
  return end < item.first ? std::numeric_limits<uint64_t>::max() : end;
}

// The writer stored something else than MessagePack elements: an error, but nothing is lost.
absl::Status Malformed(uint64_t address, const absl::Status& status) {
  return absl::InternalError(absl::StrFormat("object %016x is no list of MessagePack elements: %s",
                                             address, std::string(status.message())));
}

absl::StatusOr<ListChunk> CutPart(const v1::GetReply::Part& part, const GetItem& item) {
  return CutChunk({.data = part.chunk().data(),
                   .first_element = part.first_element(),
                   .elements = part.chunk().elements(),
                   .continued = part.chunk().continued()},
                  item.first, EndOf(item));
}

}  // namespace

void FetchOp::Ask(v1::GetRequest::One* one) {
  result_ = Fetched();
  opened_ = false;
  const uint64_t bytes_max = fetch_.batch->bytes_max();
  one->set_address(fetch_.item.address);
  one->set_describe_only(bytes_max == 0);
  if (is_range()) {
    one->set_first(fetch_.item.first);
    one->set_count(fetch_.item.count);
  }
  // Enough to see that it is too much; a range comes in whole chunks.
  one->set_window_bytes(std::min(bytes_max, kWindowBytesMax) +
                        (is_range() ? 2 * kChunkBytesMax : 0));
}

GetOp::Next FetchOp::Take(v1::GetReply::Part* part, uint64_t*) {
  if (!opened_) {
    opened_ = true;
    result_->kind = FromProto(part->kind());
    result_->total_bytes = part->total_bytes();
    total_elements_ = part->total_elements();
    const bool whole_too_big = !is_range() && part->total_bytes() > fetch_.batch->bytes_max();
    if (whole_too_big || fetch_.batch->bytes_max() == 0) return TooBig(part->last());
  }
  if (const absl::Status added = Add(part); !added.ok()) {
    result_ = added;
    return part->last() ? Next::kDone : Next::kCancel;
  }
  if (result_->data.size() > fetch_.batch->bytes_max()) return TooBig(part->last());
  return part->last() ? Next::kDone : Next::kMore;
}

GetOp::Next FetchOp::TooBig(bool last) {
  result_->too_big = true;
  if (!fetch_.item.whole_chunks) result_->data = std::string();
  result_->elements = total_elements_;
  return last ? Next::kDone : Next::kCancel;
}

absl::Status FetchOp::Add(v1::GetReply::Part* part) {
  Fetched& fetched = *result_;
  if (!is_range()) {
    fetched.elements += part->chunk().elements();
    if (fetched.data.empty() && part->last()) {
      fetched.data = std::move(*part->mutable_chunk()->mutable_data());
    } else {
      fetched.data.reserve(fetched.total_bytes);  // At most bytes_max.
      fetched.data += part->chunk().data();
    }
    return absl::OkStatus();
  }
  if (fetch_.item.whole_chunks) {
    AddWhole(part);
    return absl::OkStatus();
  }
  const absl::StatusOr<ListChunk> cut = CutPart(*part, fetch_.item);
  if (!cut.ok()) return Malformed(fetch_.item.address, cut.status());
  fetched.data.append(cut->data.data(), cut->data.size());
  fetched.elements += cut->elements;
  return absl::OkStatus();
}

void FetchOp::AddWhole(v1::GetReply::Part* part) {
  Fetched& fetched = *result_;
  fetched.elements = total_elements_;
  if (!fetched.data.empty()) {
    fetched.data += part->chunk().data();
  } else if (!part->chunk().continued()) {  // Else of an element before the range.
    fetched.first = part->first_element();
    fetched.data = std::move(*part->mutable_chunk()->mutable_data());
  }
}

uint64_t ReadOp::end() const { return EndOf(item_); }

void ReadOp::Ask(v1::GetRequest::One* one) {
  one->set_address(item_.address);
  dropping_ = resume_drop_;
  if (resume_in_list_) {
    // An unfinished list may have grown since: read what it had when it was opened.
    const uint64_t end = std::min(this->end(), total_elements_);
    one->set_first(resume_first_);
    one->set_count(end - resume_first_);
  } else if (is_range()) {
    one->set_first(item_.first);
    one->set_count(item_.count);
  }
  const uint64_t free = window_bytes_ - std::min(window_bytes_, queued_window_bytes_);
  one->set_window_bytes(std::max<uint64_t>(free, 1));
}

GetOp::Next ReadOp::Take(v1::GetReply::Part* part, uint64_t* credit) {
  if (!opened_) {
    opened_ = true;
    kind_ = FromProto(part->kind());
    total_bytes_ = part->total_bytes();
    total_elements_ = part->total_elements();
  }
  if (part->has_chunk() && dropping_ > 0) {
    --dropping_;
    *credit += part->chunk().data().size();
  } else if (part->has_chunk()) {
    Remember(*part);
    const uint64_t before = chunks_.size();
    const uint64_t bytes = part->chunk().data().size();
    status_ = Queue(part);
    if (!status_.ok()) return part->last() ? Next::kDone : Next::kCancel;
    if (chunks_.size() == before) *credit += bytes;  // Nothing of it was in the range.
  }
  ended_ = part->last();
  return ended_ ? Next::kDone : Next::kMore;
}

// Notes where this chunk lies, for a restart.
void ReadOp::Remember(const v1::GetReply::Part& part) {
  const uint64_t elements = part.chunk().elements();
  if (kind_ == ObjectKind::kList && elements > 0) {
    resume_in_list_ = true;
    resume_first_ = std::min(part.first_element() + elements, end()) - 1;
    resume_drop_ = 1;
  } else {
    ++resume_drop_;
  }
}

absl::Status ReadOp::Queue(v1::GetReply::Part* part) {
  Received received{.window_bytes = part->chunk().data().size()};
  ValueReader::Chunk& chunk = received.chunk;
  if (is_range()) {
    const absl::StatusOr<ListChunk> cut = CutPart(*part, item_);
    if (!cut.ok()) return Malformed(item_.address, cut.status());
    if (cut->data.empty()) return absl::OkStatus();
    chunk.data = std::string(cut->data);
    chunk.elements = cut->elements;
    chunk.first_element = cut->first_element;
    chunk.continued = cut->continued;
  } else {
    chunk.elements = part->chunk().elements();
    chunk.first_element = part->first_element();
    chunk.continued = part->chunk().continued();
    chunk.data = std::move(*part->mutable_chunk()->mutable_data());
  }
  queued_window_bytes_ += received.window_bytes;
  chunks_.push_back(std::move(received));
  return absl::OkStatus();
}

ValueReader::Chunk ReadOp::TakeChunk(uint64_t* credit) {
  Received received = std::move(chunks_.front());
  chunks_.pop_front();
  queued_window_bytes_ -= received.window_bytes;
  *credit += received.window_bytes;
  return std::move(received.chunk);
}

}  // namespace bue
