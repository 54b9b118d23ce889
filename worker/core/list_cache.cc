#include "worker/core/list_cache.h"

#include "absl/memory/memory.h"
#include "worker/core/elements.h"

namespace bue::worker {
namespace {

// What a block costs beside its data and ends: tree and table slots, queue entry, allocations.
constexpr size_t kBlockBytes = 256;

}  // namespace

absl::StatusOr<std::shared_ptr<const ListBlock>> ListBlock::Parse(uint64_t first,
                                                                  std::string data) {
  auto block = absl::WrapUnique(new ListBlock(first, std::move(data)));
  ElementScanner scanner;
  if (const absl::Status scanned = scanner.Scan(block->data_, &block->ends_); !scanned.ok()) {
    return absl::InternalError(scanned.message());
  }
  block->ends_.shrink_to_fit();
  return std::shared_ptr<const ListBlock>(std::move(block));
}

absl::string_view ListBlock::Elements(uint64_t first, uint64_t count) const {
  const uint64_t from = first - first_;
  const size_t begin = from == 0 ? 0 : ends_[from - 1];
  const size_t end = from + count == 0 ? 0 : ends_[from + count - 1];
  return absl::string_view(data_).substr(begin, end - begin);
}

size_t ListBlock::bytes() const {
  return kBlockBytes + data_.capacity() + ends_.capacity() * sizeof(ends_[0]);
}

std::shared_ptr<const ListBlock> ListCache::Find(uint64_t address, uint64_t first,
                                                 uint64_t count) const {
  const auto list = lists_.find(address);
  if (list == lists_.end()) return nullptr;
  auto after = list->second.upper_bound(first);
  if (after == list->second.begin()) return nullptr;
  const std::shared_ptr<const ListBlock>& block = (--after)->second;
  return block->Holds(first, count) ? block : nullptr;
}

void ListCache::Insert(uint64_t address, std::shared_ptr<const ListBlock> block) {
  if (block->bytes() > bytes_max_ || block->end() == block->first()) return;
  const uint64_t first = block->first();
  std::shared_ptr<const ListBlock>& place = lists_[address][first];
  if (place != nullptr && place->end() >= block->end()) return;
  if (place == nullptr) {
    oldest_.emplace_back(address, first);
  } else {
    bytes_ -= place->bytes();
  }
  bytes_ += block->bytes();
  place = std::move(block);
  while (bytes_ > bytes_max_) EvictOldest();
}

void ListCache::EvictOldest() {
  const auto [address, first] = oldest_.front();
  oldest_.pop_front();
  const auto list = lists_.find(address);
  const auto block = list->second.find(first);
  bytes_ -= block->second->bytes();
  list->second.erase(block);
  if (list->second.empty()) lists_.erase(list);
}

}  // namespace bue::worker
