#include "common/bucket_client/chunker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/bucket_client/element_cut.h"
#include "common/status_macros.h"

namespace bue {

absl::Status Chunker::Add(absl::string_view bytes, uint64_t elements, bool continued,
                          std::vector<Chunk>* full) {
  if (kind_ != ObjectKind::kList) {
    AddRaw(bytes, full);
    return absl::OkStatus();
  }
  if (!continued) return AddElements(bytes, elements, full);
  if (elements != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("continued bytes go on with one element, they cannot begin ", elements));
  }
  AddContinued(bytes, full);
  return absl::OkStatus();
}

void Chunker::TakeRest(std::vector<Chunk>* chunks) {
  if (open_.data.empty()) return;
  chunks->push_back(std::move(open_));
  open_ = Chunk();
}

void Chunker::AddRaw(absl::string_view bytes, std::vector<Chunk>* full) {
  while (!bytes.empty()) AddUpToFull(&bytes, full);
}

void Chunker::AddUpToFull(absl::string_view* bytes, std::vector<Chunk>* full) {
  const size_t part = std::min<size_t>(bytes->size(), kChunkBytesMax - open_.data.size());
  open_.data.append(bytes->data(), part);
  bytes->remove_prefix(part);
  if (open_.data.size() == kChunkBytesMax) TakeRest(full);
}

absl::Status Chunker::AddElements(absl::string_view bytes, uint64_t elements,
                                  std::vector<Chunk>* full) {
  if (elements == 0 && !bytes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        bytes.size(), " bytes of a list in which no element begins are not continued"));
  }
  if (open_.continued) TakeRest(full);
  while (elements > 0) {
    if (open_.data.size() + bytes.size() <= kChunkBytesMax) {
      open_.data.append(bytes.data(), bytes.size());
      open_.elements += elements;
      return absl::OkStatus();
    }
    // The last element is what is left: it may be incomplete.
    size_t next = bytes.size();
    if (elements > 1) {
      ASSIGN_OR_RETURN(next, SkipElements(bytes, 1));
    }
    if (open_.data.size() + next > kChunkBytesMax) TakeRest(full);
    if (next > kChunkBytesMax) {
      AddLargeElement(bytes.substr(0, next), full);
    } else {
      open_.data.append(bytes.data(), next);
      ++open_.elements;
    }
    bytes.remove_prefix(next);
    --elements;
  }
  return absl::OkStatus();
}

void Chunker::AddLargeElement(absl::string_view bytes, std::vector<Chunk>* full) {
  open_.data.assign(bytes.data(), kChunkBytesMax);
  open_.elements = 1;
  TakeRest(full);
  AddContinued(bytes.substr(kChunkBytesMax), full);
  TakeRest(full);
}

void Chunker::AddContinued(absl::string_view bytes, std::vector<Chunk>* full) {
  if (!open_.continued) TakeRest(full);
  while (!bytes.empty()) {
    open_.continued = true;
    AddUpToFull(&bytes, full);
  }
}

}  // namespace bue
