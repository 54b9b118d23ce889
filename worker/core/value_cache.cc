#include "worker/core/value_cache.h"

#include <utility>

namespace bue::worker {
namespace {

// What an entry costs beside its data: table slot, queue entry, two allocations.
constexpr size_t kEntryBytes = 192;

}  // namespace

const CachedValue* ValueCache::Find(uint64_t address) {
  const auto found = entries_.find(address);
  if (found == entries_.end()) return nullptr;
  found->second.asked = true;
  return &found->second.value;
}

void ValueCache::Insert(uint64_t address, CachedValue value) {
  const size_t bytes = BytesOf(value);
  if (bytes > bytes_max_) return;
  const auto [place, is_new] = entries_.try_emplace(address);
  if (!is_new) return;
  place->second.value = std::move(value);
  queue_.push_back(address);
  bytes_ += bytes;
  while (bytes_ > bytes_max_) Evict();
}

// Second chance: an entry that was asked for goes to the back once.
void ValueCache::Evict() {
  while (true) {
    const uint64_t address = queue_.front();
    queue_.pop_front();
    const auto found = entries_.find(address);
    if (found->second.asked) {
      found->second.asked = false;
      queue_.push_back(address);
      continue;
    }
    bytes_ -= BytesOf(found->second.value);
    entries_.erase(found);
    return;
  }
}

size_t ValueCache::BytesOf(const CachedValue& value) {
  return kEntryBytes + (value.data == nullptr ? 0 : value.data->capacity());
}

}  // namespace bue::worker
