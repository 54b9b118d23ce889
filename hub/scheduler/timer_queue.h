// TimerQueue wakes delayed tasks: retries after their backoff, pending ones after their poll time.
//
// An entry can be out of date; whoever takes it checks. Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_TIMER_QUEUE_H_
#define BUE_HUB_SCHEDULER_TIMER_QUEUE_H_

#include <cstdint>
#include <queue>
#include <vector>

#include "absl/time/time.h"

namespace bue::hub {

class TimerQueue {
 public:
  struct Timer {
    int64_t due_us = 0;  // Unix microseconds.
    uint64_t order = 0;  // Equal times wake in order of setting.
    uint64_t run = 0;
    uint64_t instance = 0;
    uint64_t item = 0;
    uint64_t serial = 0;
    uint32_t vertex = 0;
  };

  void Set(Timer timer) {
    timer.order = next_order_++;
    timers_.push(timer);
  }

  // Takes the first timer that is due at `now`. False: none is.
  bool TakeDue(absl::Time now, Timer* timer) {
    if (timers_.empty() || timers_.top().due_us > absl::ToUnixMicros(now)) return false;
    *timer = timers_.top();
    timers_.pop();
    return true;
  }

  absl::Time Next() const {
    return timers_.empty() ? absl::InfiniteFuture() : absl::FromUnixMicros(timers_.top().due_us);
  }

 private:
  struct Later {
    bool operator()(const Timer& a, const Timer& b) const {
      return a.due_us != b.due_us ? a.due_us > b.due_us : a.order > b.order;
    }
  };
  std::priority_queue<Timer, std::vector<Timer>, Later> timers_;
  uint64_t next_order_ = 0;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_TIMER_QUEUE_H_
