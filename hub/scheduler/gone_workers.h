// GoneWorkers remembers workers that are not connected any more, for a while and not too many: so
// that people see that one was lost, and one that comes back under its name goes on counting.
// Not stored: a restarted hub knows of none.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_GONE_WORKERS_H_
#define BUE_HUB_SCHEDULER_GONE_WORKERS_H_

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

class GoneWorkers {
 public:
  static constexpr size_t kMax = 100;
  static constexpr absl::Duration kKeep = absl::Hours(1);

  struct Entry {
    WorkerStatus status;  // As it was last, but that nothing runs there.
    bool lost = false;    // It was not stopped in order.
    absl::Time at;
  };

  void Add(WorkerStatus status, bool lost, absl::Time now) {
    status.alive = false;
    status.running = 0;
    status.ghosts = 0;
    Take(status.name);
    entries_.push_back({.status = std::move(status), .lost = lost, .at = now});
    if (entries_.size() > kMax) entries_.pop_front();
  }

  // It is back: what is known of it, which is forgotten here.
  std::optional<WorkerStatus> Take(const std::string& name) {
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.status.name == name; });
    if (found == entries_.end()) return std::nullopt;
    WorkerStatus status = std::move(found->status);
    entries_.erase(found);
    return status;
  }

  // The longest gone first.
  const std::deque<Entry>& entries(absl::Time now) {
    while (!entries_.empty() && entries_.front().at + kKeep <= now) entries_.pop_front();
    return entries_;
  }

 private:
  std::deque<Entry> entries_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_GONE_WORKERS_H_
