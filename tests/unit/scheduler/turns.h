// Turns drives a Scheduler one command a turn, each durable before the next.
//
// Not thread-safe.
#ifndef BUE_TESTS_UNIT_SCHEDULER_TURNS_H_
#define BUE_TESTS_UNIT_SCHEDULER_TURNS_H_

#include <cstdint>

#include "hub/scheduler/scheduler.h"

namespace bue::hub {

class Turns {
 public:
  explicit Turns(Scheduler* scheduler) : scheduler_(scheduler) {}

  Effects Take(Command command) {
    Effects effects;
    scheduler_->BeginTurn(++turn_);
    scheduler_->Apply(command, absl::UnixEpoch(), &effects);
    scheduler_->Match(absl::UnixEpoch(), &effects);
    scheduler_->Synced(turn_);
    return effects;
  }

 private:
  Scheduler* const scheduler_;
  uint64_t turn_ = 0;
};

}  // namespace bue::hub

#endif  // BUE_TESTS_UNIT_SCHEDULER_TURNS_H_
