// Runs: their uploads, what people ask of them, their results.
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/simulation/history.h"

namespace bue::sim {

// Nobody has heard of a run of that number, unless a power cut took back the only one there was.
// Workers may still be at tasks of that: they are none of the new run's.
void History::TookIn(uint64_t number) {
  Run& run = runs_[number];
  if (run.promised || (run.upload != 0 && !run.may_have_gone)) {
    return Fail(absl::StrCat("an upload was given the number of another, r", number));
  }
  run = Run{.upload = run.upload + 1};
}

// What it undoes, it may have undone also if the hub dies before it says so.
void History::TookControl(const hub::ControlRun& command, absl::Time now) {
  Run& run = runs_[command.run];
  controls_[command.request] = {.command = command, .taken = now, .before = run};
  using Action = hub::ControlRun::Action;
  run.awake = false;
  ForgetWaits(command.run);
  const bool pauses = command.action == Action::kPause || command.action == Action::kResume;
  if (run.known != nullptr && !pauses) run.known->Blur();
  if (command.action == Action::kResume) run.paused = false;
  if (command.action == Action::kCancel || command.action == Action::kStop) {
    ++run.interruptions;
  }
  if (command.action != Action::kRetry) return;
  run.started_over = run.keeps_attempts = true;
  ++run.interruptions;
  // Their promises are still to come, but what they did is over.
  std::erase_if(controls_, [&](const auto& entry) {
    const hub::ControlRun& earlier = entry.second.command;
    return earlier.run == command.run &&
           (earlier.action == Action::kCancel || earlier.action == Action::kStop ||
            earlier.action == Action::kPause);
  });
  run.cancelled = run.paused = run.stops = run.stopped = false;
  run.stop_at = absl::InfiniteFuture();
}

void History::Answered(const hub::Reply& reply) {
  const auto found = controls_.find(reply.request);
  if (found == controls_.end()) return;
  const Control& control = found->second;
  Run& run = runs_[control.command.run];
  using Action = hub::ControlRun::Action;
  if (control.command.action == Action::kStop && reply.status.ok()) {
    run.stops = true;
    run.stop_at = control.taken + control.command.grace;
  }
  if (control.command.action == Action::kRetry && !reply.status.ok()) run = control.before;
}

// Every turn ends what its time has come for.
void History::CheckStops(const std::vector<uint64_t>& ended, absl::Time now) {
  for (const uint64_t number : ended) {
    runs_[number].stop_at = absl::InfiniteFuture();
    ++runs_[number].interruptions;
    // Nothing of it is ready any more, be it because a task lost too many workers.
    runs_[number].awake = false;
    ForgetWaits(number);
  }
  for (const auto& [number, run] : runs_) {
    if (run.stop_at > now) continue;
    Fail(absl::StrCat("r", number, " was to stop by ", absl::FormatDuration(now - run.stop_at),
                      " ago, and goes on"));
  }
}

bool History::IsOfThisUpload(const Task& task) const {
  const auto run = runs_.find(task.run);
  return run != runs_.end() && run->second.upload == task.upload;
}

void History::UploadAcked(const std::string& key, uint64_t run) {
  const auto [known, is_new] = run_of_key_.emplace(key, run);
  if (known->second != run) {
    Fail(absl::StrCat("upload ", key, " made run r", known->second, " and later run r", run));
  }
}

bool History::CancelAcked(uint64_t run) const {
  const auto found = runs_.find(run);
  return found != runs_.end() && found->second.cancelled;
}

bool History::StopAcked(uint64_t run) const {
  const auto found = runs_.find(run);
  return found != runs_.end() && found->second.stopped;
}

void History::ResultListed(uint64_t run, const TaskName& task, uint64_t address) {
  if (address == 0) return;
  const std::string name =
      absl::StrCat("result of r", run, " node ", task.node, "[", task.item, "], object ", address);
  const Object* object = bucket_->Find(address);
  if (object == nullptr) return Fail(name + ", never was");
  if (!object->there) return Fail(name + ", was deleted");
  if (object->run != run || object->task != task) {
    return Fail(absl::StrCat(name, ", was made by node ", object->task.node, "[", object->task.item,
                             "] of r", object->run));
  }
  if (!reported_.contains(address)) return Fail(name + ", was never reported");
  if (refused_.contains(address)) return Fail(name + ", is of an item whose id is another's");
  const auto lease = leases_.find(object->lease);
  if (lease == leases_.end()) return Fail(name + ", was made without a lease");
  if (!IsOfThisUpload(lease->second.task)) {
    return Fail(name + ", was made for a run that a power cut took back");
  }
  const TaskState& state = tasks_[lease->second.task];
  if (state.over && state.value != address) {
    Fail(absl::StrCat(name, ", is not the acknowledged one, object ", state.value));
  }
}

}  // namespace bue::sim
