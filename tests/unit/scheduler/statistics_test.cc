// What the scheduler knows of a run's times and pace.
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

constexpr char kLoop[] = "step s\nloop in 0 over range:100\nnode s in 1 e1\n";

class StatisticsTest : public testing::Test {
 protected:
  StatisticsTest() : scheduler_(std::make_unique<Scheduler>(SchedulerOptions{})) {}

  Effects Turn(Command command) {
    Effects effects;
    scheduler_->BeginTurn(++turn_);
    scheduler_->Apply(command, now_, &effects);
    scheduler_->Match(now_, &effects);
    scheduler_->Synced(turn_);
    for (const GrantGroup& group : effects.outgoing.grants) {
      leases_.insert(leases_.end(), group.lease.begin(), group.lease.end());
    }
    return effects;
  }

  void Upload(const std::string& text) {
    program_ = std::make_shared<const Program>(*ParseProgramText(text));
    Turn(SubmitRun{.key = "k", .program = program_});
  }
  void Join(uint32_t slots) {
    Turn(WorkerJoined{.worker = 1, .name = "w", .incarnation = 1});
    Turn(WorkerReported{
        .worker = 1, .room = {{.pool = Pool::kThread, .room = {.leases = slots, .slots = slots}}}});
  }
  // Of the longest granted task.
  Effects Report(Outcome outcome) {
    outcome.lease = leases_.front();
    leases_.erase(leases_.begin());
    WorkerReported report{.worker = 1};
    report.outcomes.push_back(std::move(outcome));
    return Turn(std::move(report));
  }
  RunStatus Status(uint64_t run = 1) {
    Outgoing told = Turn(QueryRun{.run = run}).outgoing;
    if (told.answers.empty()) std::swap(told.answers, told.promises.replies);  // It has ended.
    return std::get<RunStatus>(told.answers.at(0).body);
  }
  RunStatistics Changed(size_t runs_max = 20) {
    return std::get<RunStatistics>(
        Turn(QueryStatistics{.runs_max = runs_max}).outgoing.answers.at(0).body);
  }
  // As the next hub reads it.
  absl::Status Load(std::string state) {
    StoredRun stored{.added = {.run = 1, .key = "k"}, .program = program_};
    stored.state = std::move(state);
    HubSnapshot snapshot;
    snapshot.runs.push_back(std::move(stored));
    scheduler_ = std::make_unique<Scheduler>(SchedulerOptions{.epoch = 2});
    return scheduler_->Load(std::move(snapshot), now_);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::unique_ptr<Scheduler> scheduler_;
  std::shared_ptr<const Program> program_;
  std::vector<uint64_t> leases_;
  uint64_t turn_ = 0;
};

TEST_F(StatisticsTest, RunTimeAndOverheadOfAStep) {
  Upload(kLoop);
  Join(1);
  now_ += absl::Milliseconds(130);
  Report({.address = 1, .run_us = 100'000});
  now_ += absl::Milliseconds(150);
  Report({.address = 2, .run_us = 110'000});
  const RunStatus status = Status();
  const Timing& timing = status.steps.at(0).timing;
  EXPECT_EQ(timing.attempts, 2);
  EXPECT_EQ(timing.run_us, 210'000);
  EXPECT_EQ(timing.total_us, 280'000);
  EXPECT_EQ(timing.run_min_us, 100'000);
  EXPECT_EQ(timing.run_max_us, 110'000);
  EXPECT_EQ(timing.last_result, now_);
  EXPECT_EQ(status.timing.total_us, 280'000);
}

TEST_F(StatisticsTest, NothingIsKnownBeforeTheFirstOutcome) {
  Upload(kLoop);
  Join(1);
  now_ += absl::Seconds(1);
  const RunStatus status = Status();
  EXPECT_EQ(status.timing.attempts, 0);
  EXPECT_FALSE(status.eta.has_value());
  EXPECT_EQ(status.tasks_per_s, 0);
}

TEST_F(StatisticsTest, TimeLeftAtThePaceSinceTheFirstGrant) {
  Upload(kLoop);
  now_ += absl::Hours(1);  // Until there is a worker.
  Join(2);
  for (int i = 1; i <= 25; ++i) {
    now_ += absl::Milliseconds(200);
    Report({.address = 1, .run_us = 200'000});
    Report({.address = 2, .run_us = 200'000});
  }
  EXPECT_EQ(Status().eta, absl::Seconds(5));
  EXPECT_DOUBLE_EQ(Status().tasks_per_s, 10);
}

TEST_F(StatisticsTest, NoTimeLeftIsSaidWhileTheTotalIsUnknown) {
  Upload("step src\nstep s\nnode src in 0\nloop in 0 over 0\nnode s in 1 e1\n");
  Join(2);
  now_ += absl::Seconds(1);
  WorkerReported progress{.worker = 1};
  progress.progress.push_back({.lease = leases_.at(0), .address = 1, .elements = 10});
  Turn(std::move(progress));
  Turn(QueryRuns{});  // The loop's beginning is on disk now.
  ASSERT_EQ(leases_.size(), 2);
  std::swap(leases_[0], leases_[1]);
  now_ += absl::Seconds(1);
  Report({.address = 2, .run_us = 5});
  EXPECT_TRUE(Status().tasks.total_unknown);
  EXPECT_FALSE(Status().eta.has_value());
  EXPECT_GT(Status().tasks_per_s, 0);
  Report({.address = 1, .elements = 1 + 10, .run_us = 5});
  EXPECT_FALSE(Status().tasks.total_unknown);
  EXPECT_TRUE(Status().eta.has_value());
}

TEST_F(StatisticsTest, APausedRunHasNoPaceAndBeginsANewOne) {
  Upload(kLoop);
  Join(1);
  now_ += absl::Seconds(1);
  Report({.address = 1, .run_us = 5});
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kPause});
  EXPECT_FALSE(Status().eta.has_value());
  now_ += absl::Hours(10);
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kResume});
  Report({.address = 2, .run_us = 5});
  now_ += absl::Seconds(1);
  Report({.address = 3, .run_us = 5});
  now_ += absl::Seconds(1);
  EXPECT_DOUBLE_EQ(Status().tasks_per_s, 1);
}

TEST_F(StatisticsTest, WhatDidNotRunHasNoTime) {
  Upload(kLoop);
  Join(1);
  now_ += absl::Seconds(1);
  Report({.kind = Outcome::Kind::kGivenBack, .run_us = 7});
  Report({.kind = Outcome::Kind::kFailed});
  EXPECT_EQ(Status().timing.attempts, 0);
  Report({.kind = Outcome::Kind::kFailed, .run_us = 7});
  EXPECT_EQ(Status().timing.attempts, 1);
}

TEST_F(StatisticsTest, WhatRunsForLongerThanAWorkerCanSayIsTimedHere) {
  Upload("step s timeout=36000\nnode s\n");
  Join(1);
  now_ += absl::Hours(3);
  WorkerReported started{.worker = 1};
  started.started.push_back({.lease = leases_.at(0), .elapsed = absl::Hours(2)});
  Turn(std::move(started));
  Report({.address = 1, .run_us = UINT32_MAX});
  EXPECT_EQ(Status().timing.run_us, absl::ToInt64Microseconds(absl::Hours(2)));
  EXPECT_EQ(Status().timing.total_us, absl::ToInt64Microseconds(absl::Hours(3)));
}

TEST_F(StatisticsTest, StepsOfOneNameAreShownAsOne) {
  Upload("step s\nnode s\n");
  Program program = *program_;
  program.steps.push_back(program.steps[0]);
  program.nodes.push_back(program.nodes[0]);
  program.nodes[1].step = 1;
  program_ = std::make_shared<const Program>(std::move(program));
  Turn(SubmitRun{.key = "other", .program = program_});
  Join(4);
  ASSERT_EQ(leases_.size(), 3);
  for (uint32_t us : {10, 20, 40}) Report({.address = us, .run_us = us});
  const RunStatus status = Status(2);
  ASSERT_EQ(status.steps.size(), 1);
  EXPECT_EQ(status.steps[0].timing.attempts, 2);
  EXPECT_EQ(status.steps[0].timing.run_us, 60);
  EXPECT_EQ(status.steps[0].timing.run_min_us, 20);
}

TEST_F(StatisticsTest, TheyOutliveTheHub) {
  Upload(kLoop);
  Join(1);
  now_ += absl::Milliseconds(130);
  Report({.address = 1, .run_us = 100'000});
  const absl::Time last = now_;
  const std::string state = scheduler_->SnapshotRun(1).state;
  now_ += absl::Minutes(1);
  ASSERT_TRUE(Load(state).ok());
  const RunStatus status = Status();
  EXPECT_EQ(status.steps.at(0).timing.attempts, 1);
  EXPECT_EQ(status.steps.at(0).timing.run_us, 100'000);
  EXPECT_EQ(status.steps.at(0).timing.total_us, 130'000);
  EXPECT_EQ(status.steps.at(0).timing.last_result, last);
}

TEST_F(StatisticsTest, StatesFromBeforeThereWereAnyLoad) {
  Upload(kLoop);
  std::string state = scheduler_->SnapshotRun(1).state;
  ASSERT_EQ(state.front(), 5);
  ASSERT_EQ(state.substr(state.size() - 3), std::string(3, '\0'));  // No step's, calls or ids.
  state.front() = 3;
  state.resize(state.size() - 3);
  ASSERT_TRUE(Load(state).ok());
  EXPECT_EQ(Status().timing.attempts, 0);
  EXPECT_EQ(Status().tasks.total, 100);
}

TEST_F(StatisticsTest, OnlyRunsWhoseNumbersChangedAreToldOf) {
  Upload(kLoop);
  EXPECT_TRUE(Changed().busiest.empty());
  Join(1);
  ASSERT_EQ(Changed().busiest.size(), 1);
  EXPECT_TRUE(Changed().busiest.empty());
  Report({.address = 1, .run_us = 5});
  ASSERT_EQ(Changed().busiest.size(), 1);
  Report({.address = 2, .run_us = 5});
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kCancel});
  EXPECT_TRUE(Changed().busiest.empty());  // It has ended.
}

TEST_F(StatisticsTest, TheBusiestRunsComeFirstAndTheOthersAreCounted) {
  Upload("step s\nnode s\n");
  for (const char* key : {"a", "b"}) {
    Turn(SubmitRun{.key = key, .program = program_});
  }
  Upload(kLoop);  // Known.
  const auto loop = std::make_shared<const Program>(*ParseProgramText(kLoop));
  Turn(SubmitRun{.key = "c", .program = loop});
  Join(50);
  const RunStatistics changed = Changed(2);
  ASSERT_EQ(changed.busiest.size(), 2);
  EXPECT_EQ(changed.busiest[0].run, 4);
  EXPECT_EQ(changed.busiest[1].run, 1);
  EXPECT_EQ(changed.others, 2);
}

}  // namespace
}  // namespace bue::hub
