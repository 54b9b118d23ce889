// What the driver's workers report of their tasks.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "tests/support/scheduler_driver.h"

namespace bue::hub {

uint64_t SchedulerDriver::LeaseOf(const std::string& worker, const std::string& task) {
  FakeWorker& fake = workers_.at(worker);
  const auto found = fake.leases.find(task);
  if (found == fake.leases.end()) {
    lines_.push_back(absl::StrCat("(", worker, " does not hold ", task, ")"));
    return 1;
  }
  return found->second;
}

void SchedulerDriver::Succeed(const std::string& worker, const std::string& task,
                              int64_t list_elements, const ResultExtra& extra) {
  const uint64_t lease = LeaseOf(worker, task);
  FakeWorker& fake = workers_.at(worker);
  WorkerReported reported{.worker = fake.stream, .report = ++fake.report};
  // A source that has written elements ends the object that they are in.
  const auto source = fake.sources.find(lease);
  const bool begun = source != fake.sources.end() && source->second.first != 0;
  if (const auto held = fake.held.find(lease); held != fake.held.end()) {
    reported_[{reported.worker, reported.report}] = {
        .address = begun ? source->second.first : next_value_,
        .run = held->second.run,
        .instance = held->second.instance,
        .item = held->second.item,
        .node = held->second.node};
  }
  reported.outcomes.push_back(Outcome{.lease = lease,
                                      .address = begun ? source->second.first : next_value_++,
                                      .elements = static_cast<uint64_t>(list_elements + 1),
                                      .extra = std::make_unique<ResultExtra>(extra)});
  Forget(lease);
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

void SchedulerDriver::SucceedWithNone(const std::string& worker, const std::string& task) {
  const uint64_t lease = LeaseOf(worker, task);
  FakeWorker& fake = workers_.at(worker);
  WorkerReported reported{.worker = fake.stream, .report = ++fake.report};
  reported.outcomes.push_back(Outcome{.lease = lease});
  Forget(lease);
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

void SchedulerDriver::Report(const std::string& worker, const std::string& task, Outcome::Kind kind,
                             const std::string& message) {
  const uint64_t lease = LeaseOf(worker, task);
  FakeWorker& fake = workers_.at(worker);
  WorkerReported reported{.worker = fake.stream, .report = ++fake.report};
  Outcome outcome{.lease = lease, .kind = kind};
  if (kind == Outcome::Kind::kFailed) {
    outcome.error = std::make_unique<TaskError>(TaskError{.action = "run", .message = message});
  }
  reported.outcomes.push_back(std::move(outcome));
  Forget(lease);
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

void SchedulerDriver::ReportUnheard(const std::string& worker, const std::string& task,
                                    Outcome::Kind kind) {
  FakeWorker& fake = workers_.at(worker);
  const uint64_t lease = LeaseOf(worker, task);
  const HeldLease held = fake.held[lease];
  Report(worker, task, kind, "unheard");
  fake.held[lease] = held;
  fake.leases[task] = lease;
}

void SchedulerDriver::Progress(const std::string& worker, const std::string& task,
                               uint64_t elements) {
  FakeWorker& fake = workers_.at(worker);
  const uint64_t lease = LeaseOf(worker, task);
  WorkerReported reported{.worker = fake.stream};
  auto& [address, made] = fake.sources[lease];
  if (address == 0) address = next_value_++;
  made = elements;
  reported.progress.push_back(
      SourceProgress{.lease = lease, .address = address, .elements = elements, .hash = 1});
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

void SchedulerDriver::Learn(const std::string& worker, uint64_t run, const std::string& step,
                            hub::Pool pool) {
  WorkerReported reported{.worker = workers_.at(worker).stream};
  const std::vector<Step>& steps = programs_.at(run)->steps;
  for (uint32_t i = 0; i < steps.size(); ++i) {
    if (steps[i].name != step) continue;
    reported.learned.push_back(LearnedMode{.run = run, .step = i, .pool = pool});
  }
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

std::optional<uint64_t> SchedulerDriver::Made(const std::string& worker, const std::string& task) {
  const FakeWorker& fake = workers_.at(worker);
  const auto found = fake.sources.find(fake.leases.at(task));
  if (found == fake.sources.end()) return std::nullopt;
  return found->second.second;
}

bool SchedulerDriver::Gone(const std::string& worker, const std::string& task, size_t which,
                           bool store) {
  const uint64_t lease = LeaseOf(worker, task);
  FakeWorker& fake = workers_.at(worker);
  std::vector<uint64_t> inputs = fake.inputs[lease];
  std::erase(inputs, 0);
  if (inputs.empty()) return false;
  WorkerReported reported{.worker = fake.stream, .report = ++fake.report};
  reported.outcomes.push_back(Outcome{.lease = lease,
                                      .kind = Outcome::Kind::kInputGone,
                                      .address = inputs[which % inputs.size()],
                                      .store_gone = store});
  Forget(lease);
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
  return true;
}

void SchedulerDriver::Started(const std::string& worker, const std::string& task,
                              absl::Duration elapsed) {
  WorkerReported reported{.worker = workers_.at(worker).stream};
  reported.started.push_back(StartedTask{.lease = LeaseOf(worker, task), .elapsed = elapsed});
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

void SchedulerDriver::Starting(const std::string& worker, const std::string& task) {
  const uint64_t lease = LeaseOf(worker, task);
  workers_.at(worker).held.at(lease).not_started = false;
  workers_.at(worker).started[lease] = now_;
  WorkerReported reported{.worker = workers_.at(worker).stream};
  reported.starting.push_back(lease);
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

}  // namespace bue::hub
