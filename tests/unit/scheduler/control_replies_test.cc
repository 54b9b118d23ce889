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
    ASSERT_EQ(effects.outgoing.promises.size(), 2u);
    EXPECT_TRUE(effects.outgoing.promises[0].status.ok());
    EXPECT_FALSE(effects.outgoing.promises[1].status.ok());
  }

  Scheduler scheduler_;
};

TEST_F(ControlRepliesTest, ASecondPauseIsRefusedOnceTheFirstIsOnDisk) {
  ExpectToWait(Action::kPause);
}

TEST_F(ControlRepliesTest, ASecondCancelIsRefusedOnceTheFirstIsOnDisk) {
  ExpectToWait(Action::kCancel);
}

TEST_F(ControlRepliesTest, ADeletedRunIsMissedOnceItsDeletionIsOnDisk) {
  ExpectToWait(Action::kCancel);
  ExpectToWait(Action::kDelete);
}

}  // namespace
}  // namespace bue::hub
