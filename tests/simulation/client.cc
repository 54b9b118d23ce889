#include "tests/simulation/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/simulation/hub_process.h"

namespace bue::sim {

Client::Client(World* world, std::shared_ptr<const Plan> plan)
    : world_(world),
      plan_(std::move(plan)),
      exact_(plan_->exact()),
      ends_exactly_(plan_->ends_exactly()),
      expected_(plan_->expected()) {}

void Client::Fail(const std::string& what) {
  world_->history.Fail(absl::StrCat("run r", run_, " (", plan_->key(), "): ", what));
}

std::string Client::Describe() const {
  const hub::Counts& tasks = status_.tasks;
  return absl::StrCat("run r", run_, " (", plan_->key(), ") state=", status_.state,
                      " total=", tasks.total, " done=", tasks.done, " failed=", tasks.failed,
                      " filtered=", tasks.filtered, " skipped=", tasks.skipped,
                      " running=", tasks.running, " waiting=", tasks.waiting);
}

void Client::Again(void (Client::*what)()) {
  world_->events.After(world_->random.Between(absl::Milliseconds(100), absl::Seconds(1)),
                       [this, what] { (this->*what)(); });
}

// ------------------------------------------------------------------------------------ the upload

void Client::Upload() {
  world_->Ask(hub::SubmitRun{.key = plan_->key(),
                             .name = plan_->key(),
                             .weight = plan_->weight(),
                             .program = plan_->program(),
                             .program_bytes = plan_->bytes()},
              [this](std::optional<hub::Reply> reply) {
                if (!reply.has_value()) return Again(&Client::Upload);
                if (!reply->status.ok()) return Fail("refused: " + reply->status.ToString());
                Uploaded(std::get<hub::RunAccepted>(reply->body).run);
              });
}

void Client::Uploaded(uint64_t run) {
  world_->history.UploadAcked(plan_->key(), run);
  world_->Trace(plan_->key(), " is run r", run, ":\n", plan_->text());
  run_ = run;
  Watch();
  if (plan_->limited() && world_->faults) ChangeLimits();
  if (!world_->faults || !world_->random.Chance(world_->config.control_percent)) return;
  const absl::Duration wait = world_->random.Skewed(absl::ZeroDuration(), absl::Seconds(6));
  if (world_->random.Chance(40)) {
    world_->events.After(wait, [this] { PauseForAWhile(); });
    return;
  }
  hub::ControlRun command{.action = Action::kCancel};
  if (world_->random.Chance(60)) {
    command.action = Action::kStop;
    command.grace = world_->random.Between(absl::ZeroDuration(), absl::Seconds(8));
  }
  world_->events.After(wait, [this, command] { Control(command, [](bool) {}); });
}

// An answer that refuses is one, too: the first reply may have been lost.
void Client::Control(hub::ControlRun command, std::function<void(bool ok)> done) {
  world_->Trace(plan_->key(), ": control ", static_cast<int>(command.action));
  command.run = run_;
  world_->Ask(command, [this, command, done = std::move(done)](std::optional<hub::Reply> reply) {
    if (reply.has_value()) return done(reply->status.ok());
    world_->events.After(absl::Milliseconds(500),
                         [this, command, done] { Control(command, done); });
  });
}

void Client::ChangeLimits() {
  Random random(Mix(run_, 0x6368));
  const std::vector<Step>& steps = plan_->program()->steps;
  if (steps.empty() || !random.Chance(40)) return;
  hub::SetLimits command{.run = run_, .step = steps[random.Below(steps.size())].name};
  if (random.Chance(60)) command.max_running = random.Below(4);
  if (random.Chance(40)) command.queue = random.Below(4);
  world_->events.After(random.Skewed(absl::ZeroDuration(), absl::Seconds(6)),
                       [this, command] { world_->Ask(command, [](std::optional<hub::Reply>) {}); });
}

void Client::PauseForAWhile() {
  Control({.action = Action::kPause}, [this](bool) {
    world_->events.After(world_->random.Between(absl::ZeroDuration(), absl::Seconds(15)),
                         [this] { Control({.action = Action::kResume}, [](bool) {}); });
  });
}

// ------------------------------------------------------------------------------------- to its end

void Client::Watch() {
  const bool was_cancelled = world_->history.CancelAcked(run_);
  const bool was_stopped = world_->history.StopAcked(run_);
  world_->Ask(hub::QueryRun{.run = run_}, [=, this](std::optional<hub::Reply> reply) {
    if (!reply.has_value()) return Again(&Client::Watch);
    if (!reply->status.ok()) {
      return Fail("its upload was acknowledged, and now: " + reply->status.ToString());
    }
    const hub::RunStatus& status = std::get<hub::RunStatus>(reply->body);
    if (was_cancelled && status.state != hub::RunState::kCancelled) {
      return Fail("its cancel was acknowledged, but its state is another");
    }
    if (was_stopped &&
        (status.state == hub::RunState::kRunning || status.state == hub::RunState::kPaused)) {
      return Fail("its stop was acknowledged, but it goes on");
    }
    Saw(status);
  });
}

void Client::Saw(const hub::RunStatus& status) {
  status_ = status;
  const bool ended = !hub::IsActive(status.state);
  if (!ended) return Again(&Client::Watch);
  world_->Trace(Describe());
  CheckEnd();
  if (!world_->history.failed()) ListResults("");
}

void Client::CheckEnd() {
  CheckErrors();
  CheckRefusals();
  const hub::Counts& tasks = status_.tasks;
  if (tasks.running != 0 || tasks.waiting != 0 || tasks.total_unknown ||
      tasks.total != tasks.done + tasks.failed + tasks.filtered + tasks.skipped) {
    return Fail("it ended, but its counts do not add up: " + Describe());
  }
  if (status_.state == hub::RunState::kCancelled || !ends_exactly_) return;
  const Expected& expected = expected_;
  if ((status_.state == hub::RunState::kFailed) != expected.failed) {
    return Fail(absl::StrCat("it should have ", expected.failed ? "failed" : "succeeded"));
  }
  // What was undone because a loop ran again stays counted.
  if (exact_ && plan_->counts_exact() && !expected.stops && !expected.unread_source &&
      retries_left_ == kRetries &&
      (tasks.total != expected.tasks || tasks.done != expected.done ||
       tasks.failed != expected.tasks_failed || tasks.skipped != expected.skipped)) {
    Fail(absl::StrCat("counts: ", Describe(), ", expected total=", expected.tasks,
                      " done=", expected.done, " failed=", expected.tasks_failed,
                      " skipped=", expected.skipped));
  }
}

void Client::CheckErrors() {
  if (world_->hub == nullptr) return;
  std::string cursor;
  (void)world_->hub->store()->ReadErrors(run_, &cursor, [this](const hub::ErrorRecord& error) {
    if (error.action == "input") {
      Fail(absl::StrCat("an input was gone: ", error.step, "[", error.item, "] ", error.message));
    } else if (error.action == "worker_lost") {
      if (world_->config.scheduler.losses_max > 100) Fail("a loss became a failure");
      exact_ = ends_exactly_ = false;
    } else if (error.action == "timeout" && error.message != "no luck") {
      // The hub's own: news of the task's end did not come in time.
      exact_ = ends_exactly_ = false;
    } else if (error.action != "timeout" && error.message != "no luck" &&
               error.message.find("handed back") == std::string::npos && !IsRefusedId(error)) {
      Fail(absl::StrCat("an error that no step made: ", error.message));
    }
    return true;
  });
}

// Only if another item of the loop does give that id.
bool Client::IsRefusedId(const hub::ErrorRecord& error) {
  const std::vector<std::string> words = absl::StrSplit(error.message, ' ');
  if (words.size() < 8 || words[0] != "the" || words[1] != "id" || words[6] != "item") return false;
  const Program& program = *plan_->program();
  TaskName task{.item = error.item};
  while (program.steps[program.nodes[task.node].step].name != error.step) ++task.node;
  const TaskName first{.node = task.node, .item = words[7]};
  const std::string id = plan_->Of(task, {}).id;
  const auto outer = [](const std::string& item) { return item.substr(0, item.rfind('.') + 1); };
  if (first.item == task.item || outer(first.item) != outer(task.item) || id.empty() ||
      plan_->Of(first, {}).id != id || words[2] != absl::StrCat("'", id, "'")) {
    return false;
  }
  refused_[task] = first;
  return true;
}

// Who was the first keeps it. Where a loop starts over there is another first.
void Client::CheckRefusals() {
  if (plan_->resets() || retries_left_ != kRetries) return;
  for (const auto& [task, first] : refused_) {
    if (!refused_.contains(first)) continue;
    return Fail(absl::StrCat("the items ", task.item, " and ", first.item,
                             " both failed because the other has their id"));
  }
}

void Client::ListResults(const std::string& start) {
  world_->Ask(hub::QueryResults{.run = run_, .start = start}, [this, start](
                                                                  std::optional<hub::Reply> reply) {
    if (!reply.has_value()) {
      world_->events.After(absl::Milliseconds(300), [this, start] { ListResults(start); });
      return;
    }
    if (!reply->status.ok()) return Fail("results: " + reply->status.ToString());
    const hub::ResultPage& page = std::get<hub::ResultPage>(reply->body);
    const Program& program = *plan_->program();
    for (const hub::ResultEntry& entry : page.results) {
      TaskName name{.item = entry.item};
      while (program.steps[program.nodes[name.node].step].name != entry.step) {
        ++name.node;
      }
      const bool is_new = results_.emplace(name, entry.address).second;
      if (!is_new && start.empty()) {
        return Fail(absl::StrCat("two results of ", entry.step, "[", entry.item, "]"));
      }
    }
    if (!page.next.empty()) return ListResults(page.next);
    ConfirmEnd();
  });
}

// An answer promises nothing: a power cut may have taken the end back before the results were
// listed.
void Client::ConfirmEnd() {
  world_->Ask(hub::QueryRun{.run = run_}, [this](std::optional<hub::Reply> reply) {
    if (!reply.has_value()) return Again(&Client::ConfirmEnd);
    if (!reply->status.ok()) return Fail("it has ended, and now: " + reply->status.ToString());
    const hub::RunStatus& status = std::get<hub::RunStatus>(reply->body);
    if (status.state == status_.state && status.ended == status_.ended) return CheckResults();
    results_.clear();
    Watch();
  });
}

void Client::CheckResults() {
  for (const auto& [name, address] : results_) world_->history.ResultListed(run_, name, address);
  CheckUntouched();
  if (exact_ && status_.state != hub::RunState::kCancelled) {
    const std::map<TaskName, Content>& expected = expected_.results;
    for (const auto& [name, content] : expected) {
      const auto found = results_.find(name);
      if (found == results_.end() && expected_.stops) continue;
      if (found == results_.end()) {
        return Fail(absl::StrCat("no result of node ", name.node, "[", name.item, "]"));
      }
      const Object* object = world_->bucket.Find(found->second);
      if ((object == nullptr ? kNone : object->content) != content) {
        return Fail(absl::StrCat("the result of node ", name.node, "[", name.item,
                                 "] is wrong: object ", found->second));
      }
    }
    for (const auto& [name, address] : results_) {
      if (!expected.contains(name) && !expected_.stops) {
        return Fail(absl::StrCat("a result too many: node ", name.node, "[", name.item, "]"));
      }
    }
  }
  GoOn();
}

void Client::CheckUntouched() {
  if (!exact_) return;
  for (const auto& [name, address] : untouched_) {
    const auto found = results_.find(name);
    if (found != results_.end() && found->second == address) continue;
    return Fail(absl::StrCat("a retry did not leave the result of node ", name.node, "[", name.item,
                             "] alone, object ", address));
  }
}

// ------------------------------------------------------------------------------- after its end

void Client::GoOn() {
  if (status_.state != hub::RunState::kSucceeded && retries_left_ > 0 &&
      world_->random.Chance(60)) {
    --retries_left_;
    return Retry();
  }
  if (world_->random.Chance(40)) return Delete();
  done_ = true;
}

// Of a run that failed by itself somebody may have mended the steps first. One that was cancelled
// may have failures under way that are not mended.
void Client::Retry() {
  Random& random = world_->random;
  const bool cancelled = status_.state == hub::RunState::kCancelled;
  hub::ControlRun command{.action = Action::kRetry};
  if (cancelled) {
    command.cancelled = random.Chance(70);
    command.failed = command.cancelled && random.Chance(50);
  } else {
    command.failed = random.Chance(50);
  }
  std::vector<std::string> failed;
  for (const hub::StepStatus& step : status_.steps) {
    if (step.counts.failed > 0) failed.push_back(step.name);
  }
  if (!cancelled && !failed.empty() && random.Chance(50)) {
    command.step = failed[random.Below(failed.size())];
  }
  Steps retried;
  const std::vector<Step>& steps = plan_->program()->steps;
  for (uint32_t s = 0; s < steps.size(); ++s) {
    if (command.cancelled && !command.failed) break;
    if (command.step.empty() || command.step == steps[s].name) retried.insert(s);
  }
  Steps& mended = world_->mended[plan_->key()];
  const std::set<TaskName> stay = plan_->Untouched(mended, retried);
  untouched_.clear();
  for (const auto& [name, address] : std::exchange(results_, {})) {
    if (!plan_->resets() && stay.contains(name)) untouched_.emplace(name, address);
  }
  if (!cancelled && random.Chance(75)) mended.insert(retried.begin(), retried.end());
  expected_ = plan_->ExpectedWith(mended);
  Control(command, [this](bool) { Watch(); });
}

void Client::Delete() {
  Control({.action = Action::kDelete}, [this](bool) {
    world_->history.DeleteAcked(run_);
    world_->Ask(hub::QueryRun{.run = run_}, [this](std::optional<hub::Reply> reply) {
      if (reply.has_value() && reply->status.ok()) Fail("it was deleted and is there again");
      done_ = true;
    });
  });
}

}  // namespace bue::sim
