// ItemIds are the ids that items of one loop were given (`Result(id=…)`), so that a second item
// with the same one is noticed. The last million of them: an endless loop stays flat.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_ITEM_IDS_H_
#define BUE_HUB_SCHEDULER_ITEM_IDS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace bue::hub {

class ItemIds {
 public:
  static constexpr size_t kMost = 1'000'000;

  // The same in every process: it is stored instead of the id.
  static uint64_t HashOf(absl::string_view id) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : id) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdULL;
    return hash ^ hash >> 33;
  }

  // The item that has the id.
  std::optional<uint64_t> Find(uint64_t hash) const {
    const auto found = items_.find(hash);
    return found == items_.end() ? std::nullopt : std::optional<uint64_t>(found->second);
  }

  // Of an id that no item has.
  void Set(uint64_t hash, uint64_t item) {
    if (!items_.try_emplace(hash, item).second) return;
    oldest_.emplace_back(hash, item);
    if (oldest_.size() <= kMost) return;
    items_.erase(oldest_.front().first);
    oldest_.pop_front();
  }

  size_t size() const { return oldest_.size(); }

  // Oldest first.
  template <typename Visitor>
  void Visit(const Visitor& visit) const {
    for (const auto& [hash, item] : oldest_) visit(hash, item);
  }

 private:
  absl::flat_hash_map<uint64_t, uint64_t> items_;     // By hash. Never iterated.
  std::deque<std::pair<uint64_t, uint64_t>> oldest_;  // The same, as they came.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_ITEM_IDS_H_
