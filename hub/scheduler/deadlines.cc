// Ends what should have ended: tasks beyond their timeout that their worker did not end, and runs
// that are being stopped.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr absl::Duration kAskAgain = absl::Seconds(1);  // Workers say something that often.

}  // namespace

// The worker says that the lease's task has been running for `elapsed`; zero: that it is not
// running (any more).
void Scheduler::Impl::Started(struct Lease* lease, absl::Duration elapsed) {
  lease->started = elapsed > absl::ZeroDuration() ? now_ - elapsed : absl::InfiniteFuture();
  SetOverdue(lease);
}

// A streaming source has moved: its worker's clock for it stands still whenever it waits for
// readers.
void Scheduler::Impl::SourceMoved(struct Lease* lease) {
  if (lease->started == absl::InfiniteFuture()) return;
  lease->started = now_;
  SetOverdue(lease);
}

// Later than any worker takes to end the task by itself.
absl::Time Scheduler::Impl::DueAt(const struct Lease& lease) const {
  const Step& step = lease.run->StepOf(*lease.item, lease.vertex);
  return lease.started + absl::Seconds(step.timeout_s) + options_.timeout_backstop;
}

void Scheduler::Impl::SetOverdue(struct Lease* lease) {
  ClearOverdue(lease);
  if (lease->started == absl::InfiniteFuture() || lease->paused) return;
  lease->overdue_at = DueAt(*lease);
  overdue_.emplace(lease->overdue_at, lease->slot);
}

void Scheduler::Impl::ClearOverdue(struct Lease* lease) {
  if (lease->overdue_at == absl::InfiniteFuture()) return;
  overdue_.erase({lease->overdue_at, lease->slot});
  lease->overdue_at = absl::InfiniteFuture();
}

void Scheduler::Impl::EndOverdue() {
  while (!overdue_.empty() && overdue_.begin()->first <= now_) {
    struct Lease* lease = leases_.at(overdue_.begin()->second);
    // A hub that stood still has not read yet what its workers have said meanwhile.
    if (lease->worker->last_heard < DueAt(*lease)) {
      overdue_.erase(overdue_.begin());
      lease->overdue_at = now_ + kAskAgain;
      overdue_.emplace(lease->overdue_at, lease->slot);
      continue;
    }
    const uint64_t id = lease->id;
    Run* run = lease->run;
    Item* item = lease->item;
    const uint32_t v = lease->vertex;
    const std::string worker = lease->worker->name;
    ++lease->worker->failed;
    effects_->outgoing.revocations.push_back(Revocation{.worker = lease->worker->id, .lease = id});
    // A source's is when it last moved.
    const bool is_source = run->graph().vertex(item->instance->region, v).is_source;
    const int64_t started_us = is_source ? 0 : absl::ToUnixMicros(lease->started);
    AddGhost(*lease);
    FreeLease(lease, /*has_started=*/true);
    attempt_.started_us = started_us;
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
                   .a = static_cast<uint64_t>(run->stopped_by_failure() ? RunState::kFailed
                                                                        : RunState::kCancelled),
                   .c = absl::ToUnixMicros(now_)});
  }
}

}  // namespace bue::hub
