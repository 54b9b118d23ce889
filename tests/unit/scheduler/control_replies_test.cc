// Whoever asks again because a reply was lost is told that there is nothing to do: that must not
// leave before what he asked for first is on disk, or a power cut makes it untrue.
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

using Action = ControlRun::Action;

class ControlRepliesTest : public testing::Test {
 protected:
  ControlRepliesTest() : scheduler_(SchedulerOptions{}) {
    Program program = *ParseProgramText("step s\nnode s\n");
    Command upload =
        SubmitRun{.key = "k", .program = std::make_shared<const Program>(std::move(program))};
    Effects effects;
    scheduler_.Apply(upload, absl::UnixEpoch(), &effects);
  }

  // Asks twice in one turn. Nothing is answered at once.
  std::vector<Reply> AskTwice(Action action) {
    Effects effects;
    for (const uint64_t request : {1, 2}) {
      Command command = ControlRun{.request = request, .run = 1, .action = action};
      scheduler_.Apply(command, absl::UnixEpoch(), &effects);
    }
    EXPECT_TRUE(effects.outgoing.answers.empty());
    EXPECT_EQ(effects.outgoing.promises.replies.size(), 2u);
    return effects.outgoing.promises.replies;
  }

  // The second time is refused.
  void ExpectToWait(Action action) {
    const std::vector<Reply> replies = AskTwice(action);
    EXPECT_TRUE(replies[0].status.ok());
    EXPECT_FALSE(replies[1].status.ok());
  }

  // The second time changes nothing, and says so.
  void ExpectToBeSoAlready(Action action) {
    const std::vector<Reply> replies = AskTwice(action);
    EXPECT_FALSE(std::get<Controlled>(replies[0].body).already);
    EXPECT_TRUE(std::get<Controlled>(replies[1].body).already);
  }

  Scheduler scheduler_;
};

TEST_F(ControlRepliesTest, ASecondPauseOrResumeIsAnsweredOnceTheFirstIsOnDisk) {
  ExpectToBeSoAlready(Action::kPause);
  ExpectToBeSoAlready(Action::kResume);
}

TEST_F(ControlRepliesTest, ACancelledRunIsToldHowManyTasksGoOn) {
  Effects effects;
  Command end = ControlRun{.request = 1, .run = 1, .action = Action::kCancel};
  Command go_on = ControlRun{.request = 2, .run = 1, .action = Action::kRetry};
  for (Command* command : {&end, &go_on}) {
    scheduler_.Apply(*command, absl::UnixEpoch(), &effects);
  }
  const Controlled& controlled = std::get<Controlled>(effects.outgoing.promises.replies[1].body);
  EXPECT_EQ(controlled.tasks, 0u);
  EXPECT_EQ(controlled.waiting, 1u);
}

TEST_F(ControlRepliesTest, ASecondCancelIsRefusedOnceTheFirstIsOnDisk) {
  ExpectToWait(Action::kCancel);
}

TEST_F(ControlRepliesTest, ARunThatWasNotCancelledIsToldSo) {
  Effects effects;
  Command end = ControlRun{.request = 1, .run = 1, .action = Action::kCancel};
  Command go_on = ControlRun{.request = 2, .run = 1, .action = Action::kRetry, .cancelled = true};
  Command join = WorkerJoined{.worker = 1, .name = "w"};
  Command room = WorkerReported{
      .worker = 1, .room = {{.pool = Pool::kThread, .room = {.leases = 1, .slots = 1}}}};
  for (Command* command : {&end, &go_on, &join, &room}) {
    scheduler_.Apply(*command, absl::UnixEpoch(), &effects);
  }
  EXPECT_TRUE(effects.outgoing.promises.replies[1].status.ok());
  scheduler_.Match(absl::UnixEpoch(), &effects);
  ASSERT_EQ(effects.outgoing.grants.size(), 1u);
  Command fail = WorkerReported{.worker = 1, .report = 1};
  std::get<WorkerReported>(fail).outcomes.push_back(
      Outcome{.lease = effects.outgoing.grants[0].lease[0], .kind = Outcome::Kind::kFailed});
  effects.Clear();
  scheduler_.Apply(fail, absl::UnixEpoch(), &effects);
  go_on = ControlRun{.request = 3, .run = 1, .action = Action::kRetry, .cancelled = true};
  scheduler_.Apply(go_on, absl::UnixEpoch(), &effects);
  ASSERT_EQ(effects.outgoing.promises.replies.size(), 1u);
  EXPECT_EQ(effects.outgoing.promises.replies[0].status.message(),
            "run r1 has ended and was not cancelled; without --cancelled, retry runs again what "
            "failed");
}

TEST_F(ControlRepliesTest, ADeletedRunIsMissedOnceItsDeletionIsOnDisk) {
  ExpectToWait(Action::kCancel);
  ExpectToWait(Action::kDelete);
}

}  // namespace
}  // namespace bue::hub
