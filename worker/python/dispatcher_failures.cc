// Time running out, runners dying, stopping. See dispatcher.h.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "worker/python/dispatcher.h"

namespace bue::worker {
namespace {

constexpr absl::Duration kLong = absl::Seconds(1);  // Calls that run for less are not told of.
constexpr int kFailedStartsMax = 3;                 // In a row; then calls fail rather than wait.
constexpr absl::Duration kExitGrace = absl::Seconds(2);  // For finalize hooks, when stopping.

}  // namespace

void Dispatcher::NextDeadline(absl::Time deadline) {
  next_deadline_ = std::min(next_deadline_, deadline);
}

void Dispatcher::BeginTime(InFlight* in_flight) {
  in_flight->started = now_;
  in_flight->deadline = now_ + absl::Seconds(in_flight->call.step->step.timeout_s);
  NextDeadline(in_flight->deadline);
}

void Dispatcher::HandleLookOver() {
  std::vector<StartedCall> started;
  uint32_t ghosts = 0;
  for (const auto& [lease, in_flight] : calls_) {
    if (in_flight->cancelled && in_flight->runner != nullptr) ++ghosts;
    // Not while its value is being finished, nor while it waits to run again apart.
    absl::Time since = in_flight->closing.has_value() ? absl::InfiniteFuture() : in_flight->started;
    if (since > now_ - kLong) since = absl::InfiniteFuture();
    if (std::exchange(in_flight->told_started, since) == since) continue;
    started.push_back({.lease = lease, .started = since});
  }
  for (const auto& runner : runners_) ghosts += runner->stuck.size();
  ghosts_ = ghosts;
  if (!started.empty()) events_->OnStarted(std::move(started));
}

void Dispatcher::HandleTimers() {
  if (now_ < next_deadline_) return;
  next_deadline_ = absl::InfiniteFuture();
  std::vector<InFlight*> late;
  for (const auto& [lease, in_flight] : calls_) {
    if (in_flight->deadline <= now_) {
      late.push_back(in_flight.get());
    } else {
      NextDeadline(in_flight->deadline);
    }
  }
  for (InFlight* in_flight : late) {
    if (in_flight->cancelled || in_flight->timed_out) {
      Overdue(in_flight);
    } else {
      TimeOut(in_flight);
    }
  }
  for (const auto& runner : runners_) {
    if (runner->deadline <= now_) {
      dying_.push_back(runner->number);
    } else {
      NextDeadline(runner->deadline);
    }
  }
  if (!forgotten_runs_.empty()) NextDeadline(forget_at_);
  if (!stopping_) return;
  if (now_ < stop_deadline_) {
    NextDeadline(stop_deadline_);
    return;
  }
  while (!calls_.empty()) GiveBack(calls_.begin()->second.get());
}

// --- Calls

void Dispatcher::HandleCancel(uint64_t lease) {
  const auto found = calls_.find(lease);
  if (found == calls_.end()) return;
  InFlight* in_flight = found->second.get();
  if (std::exchange(in_flight->cancelled, true) || in_flight->timed_out) return;
  Runner* runner = in_flight->runner;
  if (runner == nullptr || in_flight->closing.has_value()) {
    GiveBack(in_flight);
  } else if (runner->role == Role::kProcess) {
    GiveBack(in_flight);
    runner->stopping = true;
    dying_.push_back(runner->number);
  } else {
    AppendCancel(lease, /*timeout=*/false, runner->process->outgoing());
    in_flight->deadline = now_ + options_.abandon_after;
    NextDeadline(in_flight->deadline);
  }
}

void Dispatcher::TimeOut(InFlight* in_flight) {
  in_flight->timed_out = true;
  Runner* runner = in_flight->runner;
  if (runner->role == Role::kProcess) {
    FailTimedOut(in_flight, "");
    runner->stopping = true;
    dying_.push_back(runner->number);
    return;
  }
  AppendCancel(in_flight->call.lease, /*timeout=*/true, runner->process->outgoing());
  in_flight->deadline = now_ + options_.stuck_after;
  NextDeadline(in_flight->deadline);
}

void Dispatcher::FailTimedOut(InFlight* in_flight, std::string traceback, bool goes_on) {
  CallResult result;
  result.goes_on = goes_on;
  result.kind = CallResult::Kind::kFailed;
  result.run_time = absl::Seconds(in_flight->call.step->step.timeout_s);
  result.error = CallError{.action = "timeout",
                           .message = absl::StrCat("not done after !timeout ",
                                                   in_flight->call.step->step.timeout_text, " s"),
                           .traceback = std::move(traceback)};
  Complete(in_flight, std::move(result));
}

// It was cancelled and has not ended. Its runner knows why; one that does not even answer is ended,
// and what ran in it runs again apart until the one is found that did it.
void Dispatcher::Overdue(InFlight* in_flight) {
  Runner* runner = in_flight->runner;
  if (!runner->ready) {
    GiveBack(in_flight);
  } else if (!in_flight->probed) {
    in_flight->probed = true;
    in_flight->deadline =
        now_ + (in_flight->timed_out ? options_.stuck_after : options_.abandon_after);
    NextDeadline(in_flight->deadline);
    AppendProbe(in_flight->call.lease, runner->process->outgoing());
  } else {
    Freeze(in_flight);
  }
}

// One of its runner's calls is in the way of all, and nobody knows which.
void Dispatcher::Freeze(InFlight* in_flight) {
  Runner* runner = in_flight->runner;
  if (runner->calls == 1 && runner->stuck.empty()) {
    StuckCall(in_flight, /*has_loop=*/false);
    return;
  }
  in_flight->deadline = absl::InfiniteFuture();
  runner->frozen = true;
  dying_.push_back(runner->number);
}

// Not its fault: another call, or something, has taken the event loop and with it this call's time.
// It begins again elsewhere; here its cancellation stays.
void Dispatcher::HeldUpCall(InFlight* in_flight, uint64_t blocker) {
  Runner* runner = in_flight->runner;
  if (blocker == kUnknownBlocker) {
    Freeze(in_flight);
    return;
  }
  if (runner->blocker == 0 && Find(blocker, runner) != nullptr) {
    runner->blocker = blocker;
    const Call& call = calls_.at(blocker)->call;
    log::warn("step holds others up run={} step={} item={} pid={} action=run_them_elsewhere",
              call.task.run, call.step->step.name, call.task.item, runner->process->pid());
  }
  if (in_flight->progressed || in_flight->cancelled) {
    GiveBack(in_flight);
    return;
  }
  Release(in_flight);
  Requeue(in_flight);
  if (LeastBusy() == nullptr) Spawn(Role::kGeneral);
  PlaceGeneral({in_flight});
}

// Nothing interrupts it, and its runner, which can not be rid of it, takes no more calls. If it has
// the event loop's thread, nothing else on that loop will ever end.
void Dispatcher::StuckCall(InFlight* in_flight, bool has_loop) {
  Runner* runner = in_flight->runner;
  if (has_loop) {
    runner->deadline = std::min(runner->deadline, now_ + options_.stuck_after);
    NextDeadline(runner->deadline);
  }
  if (!in_flight->timed_out) return Abandon(in_flight);
  log::warn("step stuck run={} step={} item={} pid={} action=retire_runner",
            in_flight->call.task.run, in_flight->call.step->step.name, in_flight->call.task.item,
            runner->process->pid());
  Retire(runner);
  runner->stuck.push_back(in_flight->call.lease);
  FailTimedOut(in_flight, "", /*goes_on=*/true);
}

// It was cancelled and goes on. Nobody waits for it: it ends with its runner, which takes no more
// calls and ends when the others are done.
void Dispatcher::Abandon(InFlight* in_flight) {
  Runner* runner = in_flight->runner;
  log::info("step goes on though cancelled run={} step={} item={} pid={} action=retire_runner",
            in_flight->call.task.run, in_flight->call.step->step.name, in_flight->call.task.item,
            runner->process->pid());
  runner->retiring = true;
  runner->stuck.push_back(in_flight->call.lease);
  GiveBack(in_flight, /*goes_on=*/true);
}

void Dispatcher::GiveBack(InFlight* in_flight, bool goes_on) {
  std::erase(process_queue_, in_flight);
  std::erase(input_queue_, in_flight);
  CallResult result;
  result.kind = CallResult::Kind::kGivenBack;
  result.goes_on = goes_on;
  Complete(in_flight, std::move(result));
}

void Dispatcher::Fail(InFlight* in_flight, std::string action, std::string message) {
  CallResult result;
  result.kind = CallResult::Kind::kFailed;
  result.error = CallError{.action = std::move(action), .message = std::move(message)};
  Complete(in_flight, std::move(result));
}

// --- Runners

void Dispatcher::Retire(Runner* runner) {
  runner->retiring = true;
  runner->deadline = std::min(runner->deadline, now_ + options_.retire_after);
  NextDeadline(runner->deadline);
}

std::vector<Dispatcher::InFlight*> Dispatcher::CallsOf(const Runner* runner) {
  std::vector<InFlight*> calls;
  for (const auto& [lease, in_flight] : calls_) {
    if (in_flight->runner == runner) calls.push_back(in_flight.get());
  }
  return calls;
}

// The runner ended, or is to end now.
void Dispatcher::OnDeath(Runner* runner) {
  const auto entry = std::find_if(runners_.begin(), runners_.end(),
                                  [runner](const auto& one) { return one.get() == runner; });
  // No descriptor of it may be watched when the next runner gets the same numbers.
  for (const int fd :
       {runner->process->socket_fd(), runner->process->log_fd(), runner->process->exit_fd()}) {
    if (fd >= 0) Watch(fd, 0, 0);
  }
  ReadLog(runner);
  runner->process->Kill();
  over_.insert(over_.end(), runner->stuck.begin(), runner->stuck.end());
  // Values that runners no longer have a part in, the bucket alone finishes.
  std::vector<InFlight*> calls = CallsOf(runner);
  std::erase_if(calls, [](const InFlight* in_flight) { return in_flight->closing.has_value(); });
  const std::unique_ptr<Runner> dead = std::move(*entry);
  runners_.erase(entry);
  for (const auto& [lease, in_flight] : calls_) {
    if (in_flight->runner == runner && in_flight->closing.has_value()) in_flight->runner = nullptr;
  }
  if (runner->stopping && calls.empty()) return;
  if (runner->retiring) {
    log::info("runner retired pid={} given_back={}", runner->process->pid(), calls.size());
    for (InFlight* in_flight : calls) GiveBack(in_flight);
  } else if (!runner->ready) {
    OnDeathBeforeReady(*runner, std::move(calls));
  } else {
    OnCrash(*runner, std::move(calls));
  }
}

// The interpreter or our package does not even start: nothing of the calls ran.
void Dispatcher::OnDeathBeforeReady(const Runner& runner, std::vector<InFlight*> calls) {
  ++failed_starts_;
  log::error("runner does not start pid={} python={} ended={} last_words={}", runner.process->pid(),
             options_.python, runner.process->HowItEnded(), runner.process->last_words());
  std::vector<InFlight*> again;
  for (InFlight* in_flight : calls) {
    if (in_flight->cancelled) {
      GiveBack(in_flight);
    } else if (failed_starts_ >= kFailedStartsMax) {
      Fail(in_flight, "load",
           absl::StrCat("the Python runner does not start (", options_.python, ", ",
                        runner.process->HowItEnded(), "): ", runner.process->last_words()));
    } else {
      Requeue(in_flight);
      again.push_back(in_flight);
    }
  }
  if (again.empty()) return;
  switch (runner.role) {
    case Role::kGeneral:
      PlaceGeneral(std::move(again));
      return;
    case Role::kProcess:
      process_queue_.insert(process_queue_.begin(), again.begin(), again.end());
      return;
    case Role::kIsolated: {
      std::vector<uint64_t> group;
      for (const InFlight* in_flight : again) group.push_back(in_flight->call.lease);
      isolation_queue_.push_back(std::move(group));
      return;
    }
  }
}

// Whoever was alone has killed it. Of several anybody may have: they run again by halves.
void Dispatcher::OnCrash(const Runner& runner, std::vector<InFlight*> calls) {
  const std::string ended =
      runner.frozen ? "it answered nothing any more" : runner.process->HowItEnded();
  log::warn("runner died pid={} ended={} calls={} action={}", runner.process->pid(), ended,
            calls.size(), calls.size() > 1 ? "run_again_apart" : "fail_it");
  if (calls.size() == 1 && calls.front()->timed_out) {
    FailTimedOut(calls.front(), "");
    return;
  }
  if (calls.size() == 1 && calls.front()->cancelled) {
    GiveBack(calls.front());
    return;
  }
  if (calls.size() == 1) {
    std::string message = absl::StrCat("the step ended its runner: ", ended);
    const std::string words = runner.process->last_words();
    if (!words.empty()) absl::StrAppend(&message, "; its last words: ", words);
    Fail(calls.front(), "run", std::move(message));
    return;
  }
  std::vector<uint64_t> groups[2];
  for (size_t i = 0; i < calls.size(); ++i) {
    if (calls[i]->progressed) {
      GiveBack(calls[i]);  // The hub knows of its elements: it starts the source again.
    } else if (calls[i]->timed_out && !runner.frozen) {
      FailTimedOut(calls[i], "");
    } else if (calls[i]->cancelled) {
      GiveBack(calls[i]);
    } else {
      groups[i * 2 / calls.size()].push_back(calls[i]->call.lease);
      Requeue(calls[i]);
    }
  }
  for (std::vector<uint64_t>& group : groups) {
    if (!group.empty()) isolation_queue_.push_back(std::move(group));
  }
}

// As if it had never been sent.
void Dispatcher::Requeue(InFlight* in_flight) {
  in_flight->runner = nullptr;
  Release(in_flight);
  if (in_flight->printed) output_.Take(in_flight->call.lease);
  in_flight->printed = false;
  in_flight->deadline = absl::InfiniteFuture();
  in_flight->started = absl::InfiniteFuture();
  in_flight->timed_out = false;
  in_flight->probed = false;
  in_flight->elements = 0;
  in_flight->may_send = 0;
  in_flight->paused.reset();
}

// --- Stopping

void Dispatcher::HandleStop(absl::Duration grace) {
  if (stopping_) return;
  stopping_ = true;
  stop_deadline_ = now_ + grace;
  NextDeadline(stop_deadline_);
  std::vector<uint64_t> leases;
  for (const auto& [lease, in_flight] : calls_) leases.push_back(lease);
  for (const uint64_t lease : leases) HandleCancel(lease);
}

// Once all calls are answered: lets the runners run their finalize hooks, then ends.
void Dispatcher::FinishStop() {
  if (!calls_.empty()) return;
  for (const auto& runner : runners_) {
    if (runner->stopping) continue;
    runner->stopping = true;
    runner->deadline =
        runner->ready && !runner->retiring ? std::max(stop_deadline_, now_ + kExitGrace) : now_;
    NextDeadline(runner->deadline);
    AppendStop(runner->process->outgoing());
    runner->process->Send();
  }
  finished_ = runners_.empty();
}

}  // namespace bue::worker
