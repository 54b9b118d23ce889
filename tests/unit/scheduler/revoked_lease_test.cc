// What a cancel revoked stays revoked when the run goes on: the worker may have reported an outcome
// meanwhile, whose value was deleted because nobody wanted it, and not know that.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

class RevokedLeaseTest : public testing::Test {
 protected:
  RevokedLeaseTest() : scheduler_(SchedulerOptions{}) {}

  Effects Turn(Command command) {
    Effects effects;
    scheduler_.BeginTurn(++turn_);
    scheduler_.Apply(command, now_, &effects);
    scheduler_.Match(now_, &effects);
    scheduler_.Synced(turn_);
    return effects;
  }

  void Upload() {
    Program program = *ParseProgramText("step s\nnode s\n");
    Turn(SubmitRun{.key = "k", .program = std::make_shared<const Program>(std::move(program))});
  }
  // The one lease, as a worker that comes back tells of it.
  HeldLease GrantOne() {
    Turn(WorkerJoined{.worker = 1, .name = "w", .incarnation = 1});
    const Effects granted = Turn(WorkerReported{
        .worker = 1, .room = {{.pool = Pool::kThread, .room = {.leases = 1, .slots = 1}}}});
    const GrantGroup& group = granted.outgoing.grants.at(0);
    return HeldLease{.lease = group.lease[0], .run = 1, .pass = group.pass[0]};
  }
  std::vector<uint64_t> DroppedOf(const HeldLease& held) {
    return Turn(WorkerJoined{.worker = 2, .name = "w", .incarnation = 1, .held = {held}})
        .outgoing.welcomes.at(0)
        .dropped;
  }

  const absl::Time now_ = absl::UnixEpoch();
  Scheduler scheduler_;
  uint64_t turn_ = 0;
};

TEST_F(RevokedLeaseTest, ItIsNotTakenUpAgainWhenTheRunGoesOn) {
  Upload();
  const HeldLease held = GrantOne();
  Turn(WorkerGone{.worker = 1});
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kCancel});
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kRetry});
  EXPECT_EQ(DroppedOf(held), std::vector<uint64_t>{held.lease});
}

TEST_F(RevokedLeaseTest, ItsValueGoesButNotAListThatALoopMayRead) {
  Upload();
  const HeldLease held = GrantOne();
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kCancel});
  const auto report = [&](uint64_t address, uint64_t elements) {
    WorkerReported reported{.worker = 1};
    reported.outcomes.push_back(
        Outcome{.lease = held.lease, .address = address, .elements = elements});
    return Turn(std::move(reported)).outgoing.promises.deletions;
  };
  EXPECT_EQ(report(7, 0), std::vector<uint64_t>{7});
  EXPECT_TRUE(report(8, 1 + 3).empty());
}

TEST_F(RevokedLeaseTest, WithoutACancelItIs) {
  Upload();
  const HeldLease held = GrantOne();
  Turn(WorkerGone{.worker = 1});
  EXPECT_TRUE(DroppedOf(held).empty());
}

}  // namespace
}  // namespace bue::hub
