// ItemHistory gathers what a hub tells of tasks and items that ended, item by item: when each step
// was queued, started and done. For the lines of `bue results`.
//
// Bounded: beyond `tasks_max` tasks nothing is known of further items.
// Not thread-safe.
#ifndef BUE_CLI_ITEM_HISTORY_H_
#define BUE_CLI_ITEM_HISTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "bue/v1/hub.pb.h"
#include "cli/run_times.h"

namespace bue::cli {

class ItemHistory {
 public:
  struct Task {
    std::string step;
    uint32_t node = 0;
    uint32_t attempts = 0;
    double queued_unix_s = 0;  // These three: 0: not known.
    double started_unix_s = 0;
    double ended_unix_s = 0;
    bool failed = false;
    bool is_result = false;
    uint64_t address = 0;
    std::string error;
  };
  struct Item {
    std::vector<Task> tasks;  // In the order in which they ended.
    v1::HistoryRecord::End end = v1::HistoryRecord::GOES_ON;
    double ended_unix_s = 0;
    std::string id;  // Empty: none.

    // Without those that have ended again since.
    std::vector<const Task*> LastTasks() const;
  };

  explicit ItemHistory(size_t tasks_max = kTasksMax) : tasks_max_(tasks_max) {}

  void Add(const v1::HistoryRecord& record);

  // Null: nothing is known of it. Valid until the next Add or Forget.
  const Item* Find(uint64_t instance, uint64_t index) const;
  void Forget(uint64_t instance, uint64_t index);

  // Whether there was more than it holds.
  bool is_full() const { return full_; }
  size_t tasks_max() const { return tasks_max_; }

 private:
  static constexpr size_t kTasksMax = 1'000'000;
  using Key = std::pair<uint64_t, uint64_t>;

  const size_t tasks_max_;
  size_t tasks_ = 0;
  bool full_ = false;
  absl::flat_hash_map<Key, Item> items_;
};

// The fields id, total_duration, started, completed, steps (cli/README.md). Null: of an item of
// which nothing is known.
Json TimesOfItem(const ItemHistory::Item* item);

}  // namespace bue::cli

#endif  // BUE_CLI_ITEM_HISTORY_H_
