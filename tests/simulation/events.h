// Events is the simulated time: what is to happen when, in order. Events of one moment happen in
// the order in which they were set.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_EVENTS_H_
#define BUE_TESTS_SIMULATION_EVENTS_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace bue::sim {

class Events {
 public:
  using Action = std::function<void()>;

  absl::Time now() const { return now_; }
  uint64_t taken() const { return taken_; }

  void After(absl::Duration wait, Action action) { At(now_ + wait, std::move(action)); }
  void At(absl::Time when, Action action) {
    heap_.push_back({std::max(when, now_), next_++, std::move(action)});
    std::push_heap(heap_.begin(), heap_.end());
  }

  // Lets the next one happen if it is due by `until`; else time goes on to `until`, and false.
  bool RunOne(absl::Time until) {
    if (heap_.empty() || heap_.front().when > until) {
      now_ = std::max(now_, until);
      return false;
    }
    std::pop_heap(heap_.begin(), heap_.end());
    Event event = std::move(heap_.back());
    heap_.pop_back();
    now_ = event.when;
    ++taken_;
    event.action();
    return true;
  }

 private:
  struct Event {
    absl::Time when;
    uint64_t order = 0;
    Action action;

    bool operator<(const Event& other) const {  // For a heap with the first one on top.
      return when != other.when ? when > other.when : order > other.order;
    }
  };

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  uint64_t next_ = 0;
  uint64_t taken_ = 0;
  std::vector<Event> heap_;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_EVENTS_H_
