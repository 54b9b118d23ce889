// What people do to a run: cancel, stop, pause, resume, retry, delete.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

void Scheduler::Impl::Handle(ControlRun& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) {
    Promise(command.request, NoRun(command.run), Done{});
    return;
  }
  const auto refuse = [&](absl::string_view why) { RefuseControl(command, why); };
  const auto already = [&] {
    Promise(command.request, absl::OkStatus(), Controlled{.already = true});
  };
  const auto set = [&](RunState state) {
    Do(run, Change{.kind = Change::Kind::kState,
                   .a = static_cast<uint64_t>(state),
                   .c = absl::ToUnixMicros(now_)});
  };
  switch (command.action) {
    case ControlRun::Action::kCancel:
      if (!run->active()) return refuse("has ended already");
      set(RunState::kCancelled);
      break;
    case ControlRun::Action::kPause:
      if (run->state() == RunState::kPaused) return already();
      if (!run->active()) return refuse("has ended already");
      if (run->state() != RunState::kRunning) return refuse("is being stopped");
      set(RunState::kPaused);
      ready_.Suspend(run);
      Recall(run);
      break;
    case ControlRun::Action::kStop:
      if (!run->active()) return refuse("has ended already");
      StopRun(run, command.grace, /*failed=*/false);
      break;
    case ControlRun::Action::kRetry:
      return RetryRun(run, command);
    case ControlRun::Action::kResume:
      if (run->state() == RunState::kRunning) return already();
      if (!run->active()) return refuse("has ended already: retry lets it go on");
      if (run->state() != RunState::kPaused) return refuse("is being stopped");
      set(RunState::kRunning);
      ready_.Resume(run);
      run->stats.headway.Restart();
      break;
    case ControlRun::Action::kDelete:
      if (run->active()) return refuse("is still under way; cancel it first");
      DeleteRun(run);
      break;
  }
  Promise(command.request, absl::OkStatus(), Controlled());
}

// A refusal is a promise, too: that it is so already may not be on disk yet.
void Scheduler::Impl::RefuseControl(const ControlRun& command, absl::string_view why) {
  Promise(command.request,
          absl::FailedPreconditionError(absl::StrCat("run r", command.run, " ", why)), Done{});
}

// Nothing more of it starts. The first failure decides how the run ends, unless somebody has
// stopped it before.
void Scheduler::Impl::StopRun(Run* run, absl::Duration grace, bool failed) {
  if (failed && (!run->active() || run->state() == RunState::kStopping)) return;
  Do(run, Change{.kind = Change::Kind::kState,
                 .item = failed || run->stopped_by_failure() ? uint64_t{1} : 0,
                 .a = static_cast<uint64_t>(RunState::kStopping),
                 .b = static_cast<uint64_t>(absl::ToUnixMicros(now_ + grace)),
                 .c = absl::ToUnixMicros(now_)});
  ready_.Suspend(run);
  Recall(run);
  stopping_.insert(run->number());
}

// Workers have asked ahead: what they were given and have not started comes back.
void Scheduler::Impl::Recall(const Run* run) {
  for (const auto& [id, worker] : workers_.all()) {
    const struct Lease* lease = worker->first_lease;
    while (lease != nullptr && lease->run != run) lease = lease->next;
    if (lease == nullptr) continue;
    effects_->outgoing.recalls.push_back({.worker = id, .run = run->number()});
  }
}

// An ended run is under way again first; then what failed is. Asked twice, the second finds nothing
// to do and says so with a count of 0, unless the run has ended well meanwhile.
void Scheduler::Impl::RetryRun(Run* run, const ControlRun& command) {
  const bool both = !command.failed && !command.cancelled;
  const bool failed = command.failed || both;
  uint32_t step = Run::kNoStep;
  if (!command.step.empty()) {
    const std::vector<Step>& steps = run->graph().program().steps;
    const auto found = std::find_if(steps.begin(), steps.end(),
                                    [&](const Step& s) { return s.name == command.step; });
    if (found == steps.end()) {
      return RefuseControl(command, absl::StrCat("has no step '", command.step, "'"));
    }
    step = static_cast<uint32_t>(found - steps.begin());
  }
  if (run->state() == RunState::kStopping) {
    return RefuseControl(command, "is stopping; once it has, retry lets it go on");
  }
  if (run->expired()) return RefuseControl(command, "ended so long ago that its values are gone");
  const uint64_t tasks = failed ? run->CountFailed(step) : 0;
  const bool cancelled = run->state() == RunState::kCancelled;
  const bool cut_off = run->IsCutOff();
  if (cancelled && !command.cancelled && !both) {
    return RefuseControl(command, "was cancelled: --cancelled lets it go on");
  }
  uint64_t waiting = 0;
  if (!run->active()) {
    if (!cut_off && !failed) {
      return RefuseControl(command,
                           "has ended and was not cancelled; without --cancelled, retry runs "
                           "again what failed");
    }
    if (!cut_off && tasks == 0) {
      return RefuseControl(command, command.step.empty()
                                        ? "has ended, and nothing in it failed"
                                        : absl::StrCat("has ended, and no task of step '",
                                                       command.step, "' failed"));
    }
    if (active_runs_ >= options_.runs_max)
      return RefuseControl(command, "has to wait: too many are under way");
    ReviveRun(run);
    if (cancelled) waiting = run->Status().tasks.waiting;
  }
  if (tasks > 0) {
    Do(run,
       Change{.kind = Change::Kind::kRetry, .a = step == Run::kNoStep ? 0 : uint64_t{step} + 1});
  }
  Promise(command.request, absl::OkStatus(), Controlled{.tasks = tasks, .waiting = waiting});
}

void Scheduler::Impl::ReviveRun(Run* run) {
  expiries_.erase({run->ended() + options_.keep_results, run->number()});
  Do(run, Change{.kind = Change::Kind::kState,
                 .a = static_cast<uint64_t>(RunState::kRunning),
                 .c = absl::ToUnixMicros(now_)});
  ++active_runs_;
  run->announced = false;
  run->starts_unknown_until = now_;
  run->Revive();
}

void Scheduler::Impl::DeleteRun(Run* run) {
  run->VisitAddresses([this](uint64_t address) { OnDelete(address); });
  effects_->record.changes.push_back(Change{.kind = Change::Kind::kDeleted, .run = run->number()});
  // It may have ended in this turn; who waits for that would not be told.
  effects_->outgoing.promises.ended.push_back(run->Status());
  run_of_key_.erase(run->added().key);
  ready_.Drop(run);
  ForgetAsks(run);
  runs_.erase(run->number());
}

}  // namespace bue::hub
