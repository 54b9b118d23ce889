// Taking statistics as grants and outcomes pass, and answering for them (see step_stats.h).
#include <algorithm>
#include <limits>
#include <utility>

#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

// Whether the step's own code was run to an end, so that its time says something.
bool SaysItsTime(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::kSucceeded:
    case Outcome::Kind::kPending:
    case Outcome::Kind::kReset:
    case Outcome::Kind::kCancel:
      return true;
    case Outcome::Kind::kFailed:
      return outcome.run_us > 0;  // Else it never came to the step's code.
    case Outcome::Kind::kGivenBack:
    case Outcome::Kind::kInputGone:
      return false;
  }
  return false;
}

uint64_t Since(int64_t then_us, int64_t now_us) {
  return static_cast<uint64_t>(std::max<int64_t>(0, now_us - then_us));
}

// Workers' figures end at 71 minutes, but they say when what runs for long had started.
uint64_t RunTime_us(const struct Lease& lease, const Outcome& outcome, int64_t now_us) {
  if (outcome.run_us < std::numeric_limits<uint32_t>::max()) return outcome.run_us;
  if (lease.started == absl::InfiniteFuture()) return outcome.run_us;
  return std::max<uint64_t>(outcome.run_us, Since(absl::ToUnixMicros(lease.started), now_us));
}

}  // namespace

void Scheduler::Impl::NoteGrant(struct Lease* lease) {
  lease->granted_us = now_us_;
  RunStats& stats = lease->run->stats;
  if (stats.recent == 0 || now_us_ >= stats.headway.due_us()) NoteRun(lease->run);
  ++stats.recent;
}

// Now and then, for many grants and outcomes.
void Scheduler::Impl::NoteRun(Run* run) {
  if (run->stats.recent == 0) noted_runs_.insert(run->number());
  if (now_us_ >= run->stats.headway.due_us()) run->stats.headway.Note(now_us_, run->Finished());
}

// Before the outcome is taken in: the lease ends with that. When the step's code began to run, as
// unix microseconds; 0: it did not, as far as is known.
int64_t Scheduler::Impl::NoteOutcome(const struct Lease& lease, const Outcome& outcome) {
  Run* run = lease.run;
  if (run->stats.recent == 0 || now_us_ >= run->stats.headway.due_us()) NoteRun(run);
  ++run->stats.recent;
  if (!SaysItsTime(outcome)) return 0;
  const Program& program = run->graph().program();
  const uint32_t step = program.nodes[run->NodeOf(*lease.item, lease.vertex)].step;
  if (step >= run->stats.steps.size() || run->stats.steps[step] == nullptr) {
    run->stats.Begin(step, program.steps.size());
  }
  const uint64_t run_us = RunTime_us(lease, outcome, now_us_);
  // One that its worker went on to by itself began before the hub knew.
  const uint64_t total_us = std::max(run_us, Since(lease.granted_us, now_us_));
  run->stats.steps[step]->Add(run_us, total_us, now_us_);
  return now_us_ - static_cast<int64_t>(std::min(run_us, total_us));
}

RunStatus Scheduler::Impl::ProgressOf(const Run& run) const {
  RunStatus status = run.Status();
  const Headway::Rate rate = run.stats.headway.RateAt(now_us_, run.Finished());
  if (status.state != RunState::kRunning || rate.tasks == 0) return status;
  status.tasks_per_s = static_cast<double>(rate.tasks) * 1e6 / static_cast<double>(rate.us);
  if (!status.tasks.total_unknown) {
    status.eta = TimeFor(status.tasks.waiting + status.tasks.running, rate);
  }
  return status;
}

void Scheduler::Impl::Handle(QueryStatistics& command) {
  std::vector<Run*> changed;
  for (const uint64_t number : std::exchange(noted_runs_, {})) {
    if (Run* run = FindRun(number)) changed.push_back(run);
  }
  const size_t shown = std::min(command.runs_max, changed.size());
  std::partial_sort(changed.begin(), changed.begin() + shown, changed.end(),
                    [](const Run* a, const Run* b) {
                      if (a->stats.recent != b->stats.recent) {
                        return a->stats.recent > b->stats.recent;
                      }
                      return a->number() < b->number();
                    });
  RunStatistics statistics{.others = changed.size() - shown};
  for (size_t i = 0; i < shown; ++i) statistics.busiest.push_back(ProgressOf(*changed[i]));
  for (Run* run : changed) run->stats.recent = 0;
  Answer(command.request, absl::OkStatus(), std::move(statistics));
}

}  // namespace bue::hub
