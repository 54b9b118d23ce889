// TurnHistory is what a turn has to tell of tasks and items that came to their end: for people who
// ask later when a step was queued, started and done (`bue results --json`, `--follow`). Nothing is
// decided by it, so a store may drop what is old.
//
// Plain data.
#ifndef BUE_HUB_SCHEDULER_TURN_HISTORY_H_
#define BUE_HUB_SCHEDULER_TURN_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bue::hub {

// A task came to its end, or an item did, or an item with its last task.
struct HistoryEvent {
  enum class End : uint8_t { kNone, kSucceeded, kFailed, kFiltered };
  static constexpr End kLastEnd = End::kFiltered;

  uint64_t run = 0;
  uint64_t instance = 0;  // 0: the top level.
  uint64_t item = 0;      // Of the instance; at the top level: the unit (run_graph.h).
  uint32_t node = 0;
  uint32_t attempts = 0;      // Of the task's last pass, this one included.
  End task = End::kNone;      // kNone: no task's; `node` and what else is of a task is 0.
  End item_end = End::kNone;  // kNone: the item goes on.
  bool is_result = false;     // No other step takes the task's value:
  uint64_t address = 0;       // that lies here.
  uint32_t prefix = 0;        // 1 + index of what the item's name begins with; 0: nothing.
  uint32_t id = 0;            // 1 + index of the id that the task gave its item; 0: none.
  int64_t queued_us = 0;      // When the last attempt could have started; 0: not known.
  int64_t started_us = 0;     // When its step's code did; 0: not known, or never.
  int64_t ended_us = 0;       // When the hub heard of it. All unix microseconds.

  friend bool operator==(const HistoryEvent&, const HistoryEvent&) = default;
};

struct TurnHistory {
  // Of nested loops' items: "4." for those within item 4. Those of an instance may occur again.
  struct Prefix {
    uint64_t run = 0;
    uint64_t instance = 0;
    std::string text;
  };
  std::vector<HistoryEvent> events;
  std::vector<Prefix> prefixes;
  std::vector<std::string> ids;

  bool empty() const { return events.empty(); }
  void Clear() {  // Keeps capacity.
    events.clear();
    prefixes.clear();
    ids.clear();
  }

  // For the next event of that instance.
  uint32_t PrefixFor(uint64_t run, uint64_t instance, const std::string& text) {
    if (text.empty()) return 0;
    if (prefixes.empty() || prefixes.back().run != run || prefixes.back().instance != instance) {
      prefixes.push_back({run, instance, text});
    }
    return static_cast<uint32_t>(prefixes.size());
  }

  // Of the last event's item.
  void GiveId(const std::string& id) {
    ids.push_back(id);
    events.back().id = static_cast<uint32_t>(ids.size());
  }

  void Append(const TurnHistory& later) {
    const uint32_t ids_before = static_cast<uint32_t>(ids.size());
    const uint32_t base = static_cast<uint32_t>(prefixes.size());
    for (HistoryEvent event : later.events) {
      if (event.prefix != 0) event.prefix += base;
      if (event.id != 0) event.id += ids_before;
      events.push_back(event);
    }
    prefixes.insert(prefixes.end(), later.prefixes.begin(), later.prefixes.end());
    ids.insert(ids.end(), later.ids.begin(), later.ids.end());
  }
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_TURN_HISTORY_H_
