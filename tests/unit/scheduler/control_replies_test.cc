// Whoever asks again because a reply was lost is told that there is nothing to do: that must not
// leave before what he asked for first is on disk, or a power cut makes it untrue.
#include <memory>
#include <utility>

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

  // Asks twice in one turn. Nothing is answered at once, the second time is refused.
  void ExpectToWait(Action action) {
    Effects effects;
    for (const uint64_t request : {1, 2}) {
      Command command = ControlRun{.request = request, .run = 1, .action = action};
      scheduler_.Apply(command, absl::UnixEpoch(), &effects);
    }
    EXPECT_TRUE(effects.outgoing.answers.empty());
    ASSERT_EQ(effects.outgoing.promises.replies.size(), 2u);
    EXPECT_TRUE(effects.outgoing.promises.replies[0].status.ok());
    EXPECT_FALSE(effects.outgoing.promises.replies[1].status.ok());
  }

  Scheduler scheduler_;
};

TEST_F(ControlRepliesTest, ASecondPauseIsRefusedOnceTheFirstIsOnDisk) {
  ExpectToWait(Action::kPause);
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
