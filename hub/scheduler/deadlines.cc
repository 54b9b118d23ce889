// Ends what should have ended: tasks beyond their timeout that their worker did not end, and runs
// that are being stopped.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

// The worker says that the lease's task has been running for `elapsed`.
void Scheduler::Impl::Started(struct Lease* lease, absl::Duration elapsed) {
  lease->started = now_ - elapsed;
  overdue_.emplace(Overdue(*lease), lease->id);
}

// Later than any worker takes to end the task by itself.
absl::Time Scheduler::Impl::Overdue(const struct Lease& lease) const {
  if (lease.paused) return absl::InfiniteFuture();
  const Step& step = lease.run->StepOf(*lease.item, lease.vertex);
  return lease.started + absl::Seconds(step.timeout_s) + options_.timeout_backstop;
}

// An entry may be of a lease that has ended or moved on since; it is looked at when its time comes.
void Scheduler::Impl::EndOverdue() {
  while (!overdue_.empty() && overdue_.begin()->first <= now_) {
    const uint64_t id = overdue_.begin()->second;
    overdue_.erase(overdue_.begin());
    struct Lease* lease = leases_.Find(id);
    if (lease == nullptr) continue;
    if (const absl::Time due = Overdue(*lease); due > now_) {
      if (due != absl::InfiniteFuture()) overdue_.emplace(due, id);
      continue;
    }
    Run* run = lease->run;
    Item* item = lease->item;
    const uint32_t v = lease->vertex;
    const std::string worker = lease->worker->name;
    ++lease->worker->failed;
    effects_->outgoing.revocations.push_back(Revocation{.worker = lease->worker->id, .lease = id});
    FreeLease(lease);
    const Step& step = run->StepOf(*item, v);
    AttemptFailed(
        run, item, v,
        TaskError{.action = "timeout",
                  .message = absl::StrCat("not done after !timeout ", step.timeout_text,
                                          " s, and its worker "
                                          "did not end it either; it may still be running there")},
        worker, /*may_retry=*/true);
  }
}

// A run that is being stopped ends once nothing of it runs, or when its grace is over. After a
// restart workers may be running what the hub does not know of yet.
void Scheduler::Impl::StopRuns() {
  for (auto next = stopping_.begin(); next != stopping_.end();) {
    Run* run = FindRun(*next);
    if (run == nullptr || run->state() != RunState::kStopping) {
      next = stopping_.erase(next);
      continue;
    }
    if (run->stop_at() > now_ && (in_grace_ || run->AnyLeased())) {
      ++next;
      continue;
    }
    next = stopping_.erase(next);
    Do(run, Change{.kind = Change::Kind::kState,
                   .a = static_cast<uint64_t>(RunState::kCancelled),
                   .c = absl::ToUnixMicros(now_)});
  }
}

}  // namespace bue::hub
