// A lease that is over while its code goes on counts as running, until its worker says otherwise:
// nothing else keeps a step's limit when what hangs is cancelled, or outlasts its timeout.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

constexpr uint64_t kEpoch = 5;
// Leases that this scheduler has not given out itself.
constexpr uint64_t kFirst = (kEpoch << 48) + 77;

class GhostsTest : public testing::Test {
 protected:
  Effects Turn(Command command) {
    Effects effects;
    scheduler_.BeginTurn(++turn_);
    scheduler_.Apply(command, now_, &effects);
    scheduler_.Match(now_, &effects);
    scheduler_.CheckInvariants();
    scheduler_.Synced(turn_);
    Take(effects);
    return effects;
  }

  // A loop over a step with these limits.
  void Upload(const std::string& limits, const std::string& more = "", int items = 6) {
    const std::string key = std::to_string(turn_);
    Turn(SubmitRun{.key = key,
                   .program = ParseProgramText("step s " + limits +
                                               "\nloop in 0 over range:" + std::to_string(items) +
                                               "\nnode s in 1 e1" + more + "\n")});
    Rest();
  }
  void Join(uint64_t worker, std::vector<Ghost> ghosts = {}) {
    Turn(WorkerJoined{.worker = worker,
                      .name = "w" + std::to_string(worker),
                      .incarnation = worker,
                      .ghosts = std::move(ghosts)});
    Turn(WorkerReported{.worker = worker,
                        .room = {{.pool = Pool::kThread, .room = {.leases = 8, .slots = 8}}}});
    Rest();
  }
  void Control(ControlRun::Action action) {
    Turn(ControlRun{.run = 1, .action = action});
    Rest();
  }
  void SayOver(uint64_t worker, std::vector<uint64_t> leases) {
    Turn(WorkerReported{.worker = worker, .over = std::move(leases)});
    Rest();
  }
  // What waits for a turn of its own: items that begin once that is on disk.
  void Rest() {
    for (int i = 0; i < 3; ++i) Turn(QueryRuns{});
  }
  std::vector<uint64_t> TakeGranted() { return std::exchange(granted_, {}); }
  std::vector<uint64_t> TakeRevoked() { return std::exchange(revoked_, {}); }
  std::string WhyNot() {
    const Effects effects = Turn(QueryReasons{.run = 1, .step = "s"});
    const auto& reasons = std::get<Reasons>(effects.outgoing.answers.at(0).body);
    return reasons.entries.at(0).reasons.at(0);
  }

  Scheduler scheduler_{SchedulerOptions{.epoch = kEpoch}};
  absl::Time now_ = absl::UnixEpoch();

 private:
  void Take(const Effects& effects) {
    for (const GrantGroup& group : effects.outgoing.grants) {
      granted_.insert(granted_.end(), group.lease.begin(), group.lease.end());
    }
    for (const Revocation& one : effects.outgoing.revocations) revoked_.push_back(one.lease);
  }

  uint64_t turn_ = 0;
  std::vector<uint64_t> granted_;
  std::vector<uint64_t> revoked_;
};

TEST_F(GhostsTest, WhatWasCancelledCountsUntilItIsOver) {
  Upload("max_running=2");
  Join(1);
  const std::vector<uint64_t> first = TakeGranted();
  ASSERT_EQ(first.size(), 2u);
  Control(ControlRun::Action::kCancel);
  ASSERT_EQ(TakeRevoked(), first);
  Control(ControlRun::Action::kRetry);
  EXPECT_TRUE(TakeGranted().empty());
  EXPECT_EQ(WhyNot(),
            "!max_running 2: 2 run, 2 of which nobody waits for any more: cancelled or timed out, "
            "and not ended so far (GHOSTS in bue workers)");
  SayOver(1, {first[0]});
  EXPECT_EQ(TakeGranted().size(), 1u);
  SayOver(1, {first[0]});  // Heard before.
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(1, {first[1]});
  EXPECT_EQ(TakeGranted().size(), 1u);
}

TEST_F(GhostsTest, WhatNothingCouldInterruptCountsUntilItIsOver) {
  Upload("max_running=1 retries=0");
  Join(1);
  const std::vector<uint64_t> first = TakeGranted();
  ASSERT_EQ(first.size(), 1u);
  Outcome stuck{.lease = first[0], .kind = Outcome::Kind::kFailed, .goes_on = true};
  stuck.error = std::make_unique<TaskError>(TaskError{.action = "timeout"});
  WorkerReported report{.worker = 1, .report = 1};
  report.outcomes.push_back(std::move(stuck));
  Turn(std::move(report));
  Rest();
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(1, first);
  EXPECT_EQ(TakeGranted().size(), 1u);
}

TEST_F(GhostsTest, AKeyCountsThemForOtherRuns) {
  Upload("max_running=1@db");
  Join(1);
  const std::vector<uint64_t> first = TakeGranted();
  Control(ControlRun::Action::kCancel);
  Upload("max_running=1@db");
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(1, first);
  EXPECT_EQ(TakeGranted().size(), 1u);
}

TEST_F(GhostsTest, AValueCountsItsOwn) {
  Upload("max_running=1%", " by e1");
  Join(1);
  const std::vector<uint64_t> first = TakeGranted();
  ASSERT_EQ(first.size(), 6u);
  Control(ControlRun::Action::kCancel);
  Control(ControlRun::Action::kRetry);
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(1, {first[4], first[2]});
  EXPECT_EQ(TakeGranted().size(), 2u);
}

TEST_F(GhostsTest, AHubThatKnowsNothingIsTold) {
  Upload("max_running=2");
  Join(1, {{.lease = kFirst, .run = 1, .node = 0},
           {.lease = kFirst + 1, .run = 1, .node = 0},
           {.lease = kFirst + 2, .run = 1, .node = 99},  // There is no such node,
           {.lease = kFirst + 3, .run = 99, .node = 0},  // and no such run;
           {.lease = 77, .run = 1, .node = 0}});         // and this is of another one's.
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(1, {kFirst, kFirst + 2, kFirst + 3});
  EXPECT_EQ(TakeGranted().size(), 1u);
}

TEST_F(GhostsTest, AReconnectLosesNoneWhoseRunIsGone) {
  Upload("max_running=1@db");
  Join(1);
  const std::vector<uint64_t> first = TakeGranted();
  Control(ControlRun::Action::kCancel);
  Control(ControlRun::Action::kDelete);
  Upload("max_running=1@db");
  Turn(WorkerGone{.worker = 1});
  Turn(WorkerJoined{.worker = 2,
                    .name = "w1",
                    .incarnation = 1,
                    .ghosts = {{.lease = first[0], .run = 1, .node = 0}}});
  Turn(WorkerReported{.worker = 2,
                      .room = {{.pool = Pool::kThread, .room = {.leases = 8, .slots = 8}}}});
  Rest();
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(2, first);
  EXPECT_EQ(TakeGranted().size(), 1u);
}

TEST_F(GhostsTest, TheyEndWithTheirWorker) {
  Upload("max_running=2");
  Join(1, {{.lease = kFirst, .run = 1, .node = 0}, {.lease = kFirst + 1, .run = 1, .node = 0}});
  Join(2);
  EXPECT_TRUE(TakeGranted().empty());
  SayOver(2, {kFirst, kFirst + 1});  // They are not its own.
  EXPECT_TRUE(TakeGranted().empty());
  Turn(WorkerReported{.worker = 1, .goodbye = true});
  Rest();
  EXPECT_EQ(TakeGranted().size(), 2u);
}

TEST_F(GhostsTest, ALimitThatIsSetWhileTheyGoOnCountsThem) {
  Upload("", "", 10);
  Join(1, {{.lease = kFirst, .run = 1, .node = 0}});
  ASSERT_EQ(TakeGranted().size(), 8u);  // No limit, no matter.
  Turn(SetLimits{.run = 1, .step = "s", .max_running = 1});
  EXPECT_EQ(WhyNot().substr(0, 34), "!max_running 1: 9 run, 1 of which ");
}

}  // namespace
}  // namespace bue::hub
