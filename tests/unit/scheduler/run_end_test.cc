// What is told of a run that has ended, and when.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"
#include "tests/unit/scheduler/turns.h"

namespace bue::hub {
namespace {

class RunEndTest : public testing::Test {
 protected:
  RunEndTest() : scheduler_(SchedulerOptions{}) {}

  // Runs it to its end, each task's value being its lease's place. The last turn's effects.
  Effects Play(const std::string& text, int tasks) {
    Take(SubmitRun{.key = "k", .program = ParseProgramText(text)});
    Take(WorkerJoined{.worker = 1, .name = "w"});
    Effects effects = Take(WorkerReported{
        .worker = 1, .room = {{.pool = Pool::kThread, .room = {.leases = 100, .slots = 100}}}});
    WorkerReported report{.worker = 1, .report = 1};
    for (const GrantGroup& group : effects.outgoing.grants) {
      for (const uint64_t lease : group.lease) {
        report.outcomes.push_back({.lease = lease, .address = report.outcomes.size() + 1});
      }
    }
    EXPECT_EQ(report.outcomes.size(), static_cast<size_t>(tasks));
    return Take(std::move(report));
  }

  Effects Take(Command command) { return turns_.Take(std::move(command)); }

  Scheduler scheduler_;
  Turns turns_{&scheduler_};
};

TEST_F(RunEndTest, EndAndResultsArePromised) {
  const Effects effects = Play("node a\nnode b\n", 2);
  ASSERT_EQ(effects.outgoing.promises.ended.size(), 1u);
  const RunStatus& status = effects.outgoing.promises.ended[0];
  EXPECT_EQ(status.run, 1u);
  EXPECT_EQ(status.state, RunState::kSucceeded);
  ASSERT_TRUE(status.results.has_value());
  ASSERT_EQ(status.results->size(), 2u);
  EXPECT_EQ((*status.results)[1].step, "b");
  EXPECT_EQ((*status.results)[1].address, 2u);
}

TEST_F(RunEndTest, WhoAsksForTheEndWaitsForTheDisk) {
  Play("node a\n", 1);
  const Effects effects = Take(QueryRun{.request = 7, .run = 1});
  EXPECT_TRUE(effects.outgoing.answers.empty());
  ASSERT_EQ(effects.outgoing.promises.replies.size(), 1u);
  EXPECT_TRUE(std::get<RunStatus>(effects.outgoing.promises.replies[0].body).results.has_value());
}

TEST_F(RunEndTest, WhoAsksBeforeDoesNot) {
  Take(SubmitRun{.key = "k", .program = ParseProgramText("node a\n")});
  const Effects effects = Take(QueryRun{.request = 7, .run = 1});
  ASSERT_EQ(effects.outgoing.answers.size(), 1u);
  EXPECT_FALSE(std::get<RunStatus>(effects.outgoing.answers[0].body).results.has_value());
  EXPECT_TRUE(effects.outgoing.promises.ended.empty());
}

TEST_F(RunEndTest, SixteenResultsOfALoopAreFew) {
  const Effects effects = Play("loop in 0 over range:16\nnode a in 1 e1\n", 16);
  ASSERT_EQ(effects.outgoing.promises.ended.size(), 1u);
  ASSERT_TRUE(effects.outgoing.promises.ended[0].results.has_value());
  EXPECT_EQ(effects.outgoing.promises.ended[0].results->size(), 16u);
  EXPECT_EQ(effects.outgoing.promises.ended[0].results->back().item, "15");
}

TEST_F(RunEndTest, MoreAreNotNamed) {
  const Effects effects = Play("loop in 0 over range:17\nnode a in 1 e1\n", 17);
  ASSERT_EQ(effects.outgoing.promises.ended.size(), 1u);
  EXPECT_FALSE(effects.outgoing.promises.ended[0].results.has_value());
}

TEST_F(RunEndTest, NorAreThoseOfManyCalls) {
  std::string text;
  for (int i = 0; i < 65; ++i) absl::StrAppend(&text, "node a", i, "\n");
  const Effects effects = Play(text, 65);
  ASSERT_EQ(effects.outgoing.promises.ended.size(), 1u);
  EXPECT_FALSE(effects.outgoing.promises.ended[0].results.has_value());
}

// Somebody may wait for the end alone.
TEST_F(RunEndTest, ARunThatIsDeletedInTheTurnOfItsEndHasEnded) {
  Take(SubmitRun{.key = "k", .program = ParseProgramText("node a\n")});
  Effects effects;
  using Action = ControlRun::Action;
  Command cancel = ControlRun{.request = 1, .run = 1, .action = Action::kCancel};
  Command remove = ControlRun{.request = 2, .run = 1, .action = Action::kDelete};
  for (Command* command : {&cancel, &remove}) {
    scheduler_.Apply(*command, absl::UnixEpoch(), &effects);
  }
  scheduler_.Match(absl::UnixEpoch(), &effects);
  ASSERT_EQ(effects.outgoing.promises.ended.size(), 1u);
  EXPECT_EQ(effects.outgoing.promises.ended[0].state, RunState::kCancelled);
}

TEST_F(RunEndTest, ARetriedRunHasNotEnded) {
  Play("node a\n", 1);
  Take(SubmitRun{.key = "other", .program = ParseProgramText("node a\n")});
  Effects effects;
  using Action = ControlRun::Action;
  Command cancel = ControlRun{.request = 1, .run = 2, .action = Action::kCancel};
  Command retry = ControlRun{.request = 2, .run = 2, .action = Action::kRetry, .cancelled = true};
  for (Command* command : {&cancel, &retry}) {
    scheduler_.Apply(*command, absl::UnixEpoch(), &effects);
  }
  scheduler_.Match(absl::UnixEpoch(), &effects);
  EXPECT_TRUE(effects.outgoing.promises.ended.empty());
}

}  // namespace
}  // namespace bue::hub
