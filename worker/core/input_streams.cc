#include "worker/core/input_streams.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/status_macros.h"
#include "worker/core/elements.h"

namespace bue::worker {
namespace {

// A stream's Next gathers about this much.
constexpr size_t kPieceBytes = 256 << 10;
constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kBatchMax = 1024;
// MessagePack says lengths in 32 bits.
constexpr uint64_t kElementMax = UINT32_MAX;

std::vector<absl::StatusOr<Fetched>> GetAndWait(BucketClient* bucket, std::vector<GetItem> items) {
  std::vector<absl::StatusOr<Fetched>> results;
  absl::Notification done;
  bucket->Get(std::move(items), kSmallValueBytes, [&](std::vector<absl::StatusOr<Fetched>> got) {
    results = std::move(got);
    done.Notify();
  });
  done.WaitForNotification();
  return results;
}

void AppendElement(const Fetched& value, std::string* out) {
  switch (value.kind) {
    case ObjectKind::kValue:
      if (value.data.empty()) {
        out->push_back(kNil);
      } else {
        out->append(value.data);
      }
      return;
    case ObjectKind::kList:
      out->append(ArrayHeader(value.elements));
      out->append(value.data);
      return;
    case ObjectKind::kBytes:
      out->append(BinHeader(value.data.size()));
      out->append(value.data);
      return;
  }
}

class ObjectStream final : public InputStream {
 public:
  ObjectStream(StreamContext context, uint64_t address, std::unique_ptr<ValueReader> reader)
      : context_(std::move(context)), address_(address), reader_(std::move(reader)) {}

  absl::StatusOr<std::optional<std::string>> Next() override {
    absl::StatusOr<std::optional<ValueReader::Chunk>> chunk = reader_->Next();
    if (!chunk.ok()) {
      if (MeansGone(chunk.status())) context_.gone->Note(context_.lease, address_);
      return chunk.status();
    }
    if (!chunk->has_value()) return std::nullopt;
    return std::move((*chunk)->data);
  }

 private:
  const StreamContext context_;
  const uint64_t address_;
  const std::unique_ptr<ValueReader> reader_;
};

// What was read to see how large a fan-in is, then the rest.
class ResumedStream final : public InputStream {
 public:
  ResumedStream(std::string head, std::unique_ptr<InputStream> rest)
      : head_(std::move(head)), rest_(std::move(rest)) {}

  absl::StatusOr<std::optional<std::string>> Next() override {
    if (!head_.has_value()) return rest_->Next();
    return std::exchange(head_, std::nullopt);
  }

 private:
  std::optional<std::string> head_;
  const std::unique_ptr<InputStream> rest_;
};

}  // namespace

bool MeansGone(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

bool MeansNotNow(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

void GoneInputs::Note(uint64_t lease, uint64_t address) {
  absl::MutexLock lock(&mutex_);
  gone_[lease] = address;
}

uint64_t GoneInputs::Take(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto found = gone_.find(lease);
  if (found == gone_.end()) return 0;
  const uint64_t address = found->second;
  gone_.erase(found);
  return address;
}

absl::StatusOr<std::unique_ptr<InputStream>> OpenObjectStream(const StreamContext& context,
                                                              uint64_t address, uint64_t first,
                                                              uint64_t count) {
  absl::StatusOr<std::unique_ptr<ValueReader>> reader =
      context.bucket->OpenReader(address, first, count);
  if (!reader.ok()) {
    if (MeansGone(reader.status())) context.gone->Note(context.lease, address);
    return reader.status();
  }
  return std::make_unique<ObjectStream>(context, address, *std::move(reader));
}

FanInStream::FanInStream(StreamContext context, uint64_t run, uint64_t instance, uint32_t node)
    : context_(std::move(context)), run_(run), instance_(instance), node_(node) {
  parts_.push_back(Pages{});
}

absl::StatusOr<std::optional<std::string>> FanInStream::Next() {
  std::string out;
  while (!parts_.empty() && out.size() < kPieceBytes) {
    Part part = std::move(parts_.back());
    parts_.pop_back();
    RETURN_IF_ERROR(std::visit([&](auto& next) { return Do(std::move(next), &out); }, part));
  }
  if (out.empty()) return std::nullopt;
  return out;
}

absl::Status FanInStream::Do(Pages part, std::string*) {
  ASSIGN_OR_RETURN(ValuePage page,
                   context_.hub->ListValues(context_.lease, run_, instance_, node_, part.start));
  if (!page.end) {
    if (page.next == part.start) return absl::InternalError("the hub lists values in a circle");
    parts_.push_back(Pages{.start = page.next});
  }
  elements_ += page.addresses.size() + page.instances.size();
  if (!page.addresses.empty()) parts_.push_back(Values{.addresses = std::move(page.addresses)});
  if (!page.instances.empty()) parts_.push_back(Lists{.instances = std::move(page.instances)});
  return absl::OkStatus();
}

absl::Status FanInStream::Do(Values part, std::string* out) {
  const size_t end = std::min(part.addresses.size(), part.next + batch_);
  std::vector<GetItem> items;
  for (size_t i = part.next; i < end; ++i) {
    if (part.addresses[i] != kNoObject) items.push_back({.address = part.addresses[i]});
  }
  std::vector<absl::StatusOr<Fetched>> fetched;
  if (!items.empty()) fetched = GetAndWait(context_.bucket, std::move(items));
  const size_t before = out->size();
  const size_t first = part.next;
  for (size_t taken = 0; part.next < end; ++part.next) {
    const uint64_t address = part.addresses[part.next];
    if (address == kNoObject) {
      out->push_back(kNil);
      continue;
    }
    const absl::StatusOr<Fetched>& value = fetched[taken++];
    if (!value.ok()) return Fail(address, value.status());
    if (value->too_big) {
      ++part.next;
      if (part.next < part.addresses.size()) parts_.push_back(std::move(part));
      return Open(address, out);
    }
    AppendElement(*value, out);
  }
  const size_t mean = std::max<size_t>(1, (out->size() - before) / (end - first));
  batch_ = std::clamp<size_t>(kBatchBytes / mean, 8, kBatchMax);
  if (part.next < part.addresses.size()) parts_.push_back(std::move(part));
  return absl::OkStatus();
}

absl::Status FanInStream::Do(Lists part, std::string* out) {
  const uint64_t instance = part.instances[part.next++];
  if (part.next < part.instances.size()) parts_.push_back(std::move(part));
  // The header says how many there are, so all pages come first: eight bytes an element.
  Values values;
  Lists lists;
  for (ValuePage page; !page.end;) {
    ASSIGN_OR_RETURN(page,
                     context_.hub->ListValues(context_.lease, run_, instance, node_, page.next));
    values.addresses.insert(values.addresses.end(), page.addresses.begin(), page.addresses.end());
    lists.instances.insert(lists.instances.end(), page.instances.begin(), page.instances.end());
  }
  out->append(ArrayHeader(values.addresses.size() + lists.instances.size()));
  if (!values.addresses.empty()) parts_.push_back(std::move(values));
  if (!lists.instances.empty()) parts_.push_back(std::move(lists));
  return absl::OkStatus();
}

absl::Status FanInStream::Open(uint64_t address, std::string* out) {
  absl::StatusOr<std::unique_ptr<ValueReader>> reader = context_.bucket->OpenReader(address);
  if (!reader.ok()) return Fail(address, reader.status());
  switch ((*reader)->kind()) {
    case ObjectKind::kValue:
      break;
    case ObjectKind::kList:
      if ((*reader)->total_elements() > kElementMax) {
        return absl::InvalidArgumentError("a list of more than 2^32 elements within a list");
      }
      out->append(ArrayHeader((*reader)->total_elements()));
      break;
    case ObjectKind::kBytes:
      if ((*reader)->total_bytes() > kElementMax) {
        return absl::InvalidArgumentError("bytes of more than 4 GiB within a list");
      }
      out->append(BinHeader((*reader)->total_bytes()));
      break;
  }
  parts_.push_back(Object{.address = address, .reader = *std::move(reader)});
  return absl::OkStatus();
}

absl::Status FanInStream::Do(Object part, std::string* out) {
  absl::StatusOr<std::optional<ValueReader::Chunk>> chunk = part.reader->Next();
  if (!chunk.ok()) return Fail(part.address, chunk.status());
  if (!chunk->has_value()) return absl::OkStatus();
  out->append((*chunk)->data);
  parts_.push_back(std::move(part));
  return absl::OkStatus();
}

absl::Status FanInStream::Fail(uint64_t address, absl::Status status) const {
  if (MeansGone(status)) context_.gone->Note(context_.lease, address);
  return status;
}

absl::StatusOr<CallInput> ReadFanIn(
    std::unique_ptr<FanInStream> stream,
    std::function<absl::StatusOr<std::unique_ptr<InputStream>>()> reopen) {
  CallInput input{.kind = ObjectKind::kList, .fan_in = true};
  std::string head;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<std::string> piece, stream->Next());
    if (!piece.has_value()) {
      input.elements = stream->elements();
      input.total_bytes = head.size();
      input.data = std::make_shared<const std::string>(std::move(head));
      return input;
    }
    head.append(*piece);
    if (head.size() > kSmallValueBytes) break;
  }
  auto rest = std::make_shared<std::unique_ptr<InputStream>>(
      std::make_unique<ResumedStream>(std::move(head), std::move(stream)));
  input.open = [rest,
                reopen = std::move(reopen)]() -> absl::StatusOr<std::unique_ptr<InputStream>> {
    if (*rest != nullptr) return std::move(*rest);
    return reopen();
  };
  return input;
}

}  // namespace bue::worker
