// ByHashes keeps what is known of the values that a run's limits go by (`!max_running 2 by
// account`): a hash for each. Of a value nobody has hashed yet it says who has been asked.
//
// A value is that of an item, for all tasks of the item and of those within it. Soft: a restarted
// hub asks again.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_BY_HASHES_H_
#define BUE_HUB_SCHEDULER_BY_HASHES_H_

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/program/program.h"

namespace bue::hub {

class ByHashes {
 public:
  struct Entry {
    uint64_t hash = 0;      // 0: asked for.
    uint64_t address = 0;   // Of the value it is of: another one takes its place when it is made
                            // again. Of an element: 0.
    uint64_t ask = 0;       // The request that asks for it,
    uint32_t position = 0;  // and where in it.
  };

  // `item`: the serial of the one that has the value. Null: nothing is known.
  Entry* Find(uint64_t item, const Input& input, uint64_t address) {
    const auto found = entries_.find(KeyOf(item, input));
    return found == entries_.end() || found->second.address != address ? nullptr : &found->second;
  }
  void Set(uint64_t item, const Input& input, const Entry& entry) {
    entries_[KeyOf(item, input)] = entry;
  }
  void Forget(uint64_t item, const Input& input) { entries_.erase(KeyOf(item, input)); }
  // The request will not be answered.
  void ForgetAsk(uint64_t item, const Input& input, uint64_t ask) {
    const auto found = entries_.find(KeyOf(item, input));
    if (found == entries_.end()) return;
    if (found->second.hash == 0 && found->second.ask == ask) entries_.erase(found);
  }
  // None will.
  void ForgetAsked() {
    absl::erase_if(entries_, [](const auto& entry) { return entry.second.hash == 0; });
  }

 private:
  using Key = std::pair<uint64_t, uint64_t>;

  static Key KeyOf(uint64_t item, const Input& input) {
    return {item, uint64_t{static_cast<uint8_t>(input.kind)} << 32 | input.index};
  }

  absl::flat_hash_map<Key, Entry> entries_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_BY_HASHES_H_
