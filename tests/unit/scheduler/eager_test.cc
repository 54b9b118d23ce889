// Eager starts: a worker goes on to the next task of a chain by itself, where nothing else waits.
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

constexpr char kChain[] = "node a\nnode b a\nnode c b\n";

class EagerTest : public testing::Test {
 protected:
  Effects Turn(Command command) {
    Effects effects;
    scheduler_.BeginTurn(++turn_);
    scheduler_.Apply(command, absl::UnixEpoch(), &effects);
    scheduler_.Match(absl::UnixEpoch(), &effects);
    scheduler_.CheckInvariants();
    scheduler_.Synced(turn_);
    return effects;
  }

  void Join(uint64_t worker, uint32_t leases = 4) {
    Turn(Hello(worker));
    Turn(WorkerReported{.worker = worker,
                        .room = {Room(Pool::kThread, leases), Room(Pool::kSql, 1)}});
  }
  static WorkerJoined Hello(uint64_t worker, std::vector<HeldLease> held = {}) {
    return {.worker = worker, .name = "w", .incarnation = 1, .held = std::move(held)};
  }
  static RoomChange Room(Pool pool, uint32_t leases) {
    return {.pool = pool, .room = {.leases = leases, .slots = leases}};
  }

  Effects Upload(const std::string& program) {
    return Turn(SubmitRun{.key = std::to_string(turn_), .program = ParseProgramText(program)});
  }

  // As the worker says it that the task it was offered has begun, with `input`.
  static HeldLease Begun(const GrantGroup& offer, uint64_t input) {
    return {.lease = offer.lease[0],
            .run = offer.run,
            .instance = offer.instance,
            .item = offer.item[0],
            .node = offer.node,
            .pass = offer.pass[0],
            .attempt = offer.attempt[0],
            .handbacks = offer.handbacks[0],
            .pool = offer.pool,
            .after = offer.after,
            .input = input};
  }
  static HeldLease Held(const GrantGroup& grant) {
    HeldLease held = Begun(grant, 0);
    held.after = 0;
    return held;
  }
  static Outcome Success(uint64_t lease, uint64_t address) {
    return {.lease = lease, .kind = Outcome::Kind::kSucceeded, .address = address};
  }
  WorkerReported Report(std::vector<std::pair<uint64_t, uint64_t>> successes,
                        std::vector<HeldLease> eager, uint64_t worker = 1) {
    WorkerReported report{.worker = worker, .eager = std::move(eager), .report = ++report_};
    for (const auto& [lease, address] : successes) {
      report.outcomes.push_back(Success(lease, address));
    }
    return report;
  }

  Scheduler scheduler_{SchedulerOptions{.epoch = 5}};

 private:
  uint64_t turn_ = 0;
  uint64_t report_ = 0;
};

// The first task of a chain is granted, the second offered.
class EagerChainTest : public EagerTest {
 protected:
  EagerChainTest() {
    Join(1);
    const Effects first = Upload(kChain);
    a_ = first.outgoing.grants.at(0);
    b_ = first.outgoing.eager.at(0);
  }

  GrantGroup a_;
  GrantGroup b_;
};

TEST_F(EagerTest, EachTaskOfAChainIsOfferedAfterTheOneBefore) {
  Join(1);
  const Effects first = Upload(kChain);
  ASSERT_EQ(first.outgoing.grants.size(), 1u);
  ASSERT_EQ(first.outgoing.eager.size(), 1u);
  const GrantGroup& b = first.outgoing.eager[0];
  EXPECT_EQ(b.worker, 1u);
  EXPECT_EQ(b.node, 1u);
  EXPECT_EQ(b.after, first.outgoing.grants[0].lease[0]);
  ASSERT_EQ(b.inputs.size(), 1u);

  const Effects second = Turn(Report({{b.after, 100}}, {Begun(b, 100)}));
  EXPECT_TRUE(second.outgoing.grants.empty());
  EXPECT_TRUE(second.outgoing.revocations.empty());
  ASSERT_EQ(second.outgoing.eager.size(), 1u);
  const GrantGroup& c = second.outgoing.eager[0];
  EXPECT_EQ(c.node, 2u);
  EXPECT_EQ(c.after, b.lease[0]);
  EXPECT_NE(c.lease, b.lease);

  // It is over before the hub heard of it.
  const Effects third = Turn(Report({{c.lease[0], 102}, {b.lease[0], 101}}, {Begun(c, 101)}));
  EXPECT_TRUE(third.outgoing.revocations.empty());
  EXPECT_TRUE(third.outgoing.eager.empty());
  ASSERT_EQ(third.outgoing.promises.ended.size(), 1u);
  EXPECT_EQ(third.outgoing.promises.ended[0].state, RunState::kSucceeded);
}

TEST_F(EagerTest, AnOfferNotTakenUpIsAGrantLater) {
  Join(1);
  const Effects first = Upload(kChain);
  const Effects second = Turn(Report({{first.outgoing.eager.at(0).after, 100}}, {}));
  ASSERT_EQ(second.outgoing.grants.size(), 1u);
  EXPECT_EQ(second.outgoing.grants[0].node, 1u);
}

TEST_F(EagerTest, WhatOnlyTheHubCanDecideOnIsNotOffered) {
  Join(1);
  for (const std::string program :
       {"node a\nnode b a\nnode c a\n",                      // Two take the value.
        "node a\nnode x\nnode b a x\n",                      // It takes another one, too.
        "step b max_running=1\nnode a\nnode b a\n",          // A limit counts it.
        "step b rate=5/1\nnode a\nnode b a\n",               //
        "step b scope=elsewhere\nnode a\nnode b a\n",        // Others may serve its scope.
        "node a\nloop in 0 over a\nnode b in 1 e1\n",        // A loop over it.
        "loop in 0 over range:3\nnode a in 1\nnode b a\n"})  // All of them.
  {
    EXPECT_TRUE(Upload(program).outgoing.eager.empty()) << program;
  }
}

TEST_F(EagerTest, WhereOthersWaitNothingIsOffered) {
  Join(1, /*leases=*/1);
  EXPECT_EQ(Upload(kChain).outgoing.eager.size(), 1u);
  Join(2, /*leases=*/1);
  EXPECT_EQ(Upload("node a\nnode b a\nnode c\n").outgoing.eager.size(), 0u);
}

TEST_F(EagerTest, WhatWasCalledWithAnotherValueIsRevoked) {
  Join(1);
  const Effects first = Upload(kChain);
  const GrantGroup& b = first.outgoing.eager.at(0);
  const Effects second = Turn(Report({{b.after, 100}}, {Begun(b, 99)}));
  ASSERT_EQ(second.outgoing.revocations.size(), 1u);
  EXPECT_EQ(second.outgoing.revocations[0].lease, b.lease[0]);
  ASSERT_EQ(second.outgoing.grants.size(), 1u);
  EXPECT_EQ(second.outgoing.grants[0].node, 1u);
  // What it comes to is nobody's.
  const Effects third = Turn(Report({{b.lease[0], 101}}, {}));
  EXPECT_EQ(third.outgoing.promises.deletions, std::vector<uint64_t>{101});
}

TEST_F(EagerTest, WhatFollowsATaskThatIsNotTheWorkersAnyMoreIsRevoked) {
  Join(1);
  const Effects first = Upload(kChain);
  const GrantGroup& b = first.outgoing.eager.at(0);
  Turn(ControlRun{.run = 1, .action = ControlRun::Action::kCancel});
  const Effects second = Turn(Report({{b.after, 100}, {b.lease[0], 101}}, {Begun(b, 100)}));
  ASSERT_EQ(second.outgoing.revocations.size(), 1u);
  EXPECT_EQ(second.outgoing.revocations[0].lease, b.lease[0]);
  EXPECT_EQ(second.outgoing.promises.deletions, (std::vector<uint64_t>{100, 101}));
}

TEST_F(EagerTest, WhatCannotHaveBeenOfferedIsRevoked) {
  Join(1);
  const Effects first = Upload(kChain);
  HeldLease senseless = Begun(first.outgoing.eager.at(0), 100);
  for (const uint32_t node : {0u, 2u, 99u}) {
    senseless.node = node;
    EXPECT_EQ(Turn(Report({}, {senseless})).outgoing.revocations.size(), 1u);
  }
  senseless.run = 99;
  EXPECT_EQ(Turn(Report({}, {senseless})).outgoing.revocations.size(), 1u);
}

TEST_F(EagerTest, ALimitThatIsSetTakesOffersBack) {
  Join(1);
  const Effects first = Upload("step s\nnode a\nnode s a\n");
  ASSERT_EQ(first.outgoing.eager.size(), 1u);
  const Effects set = Turn(SetLimits{.run = 1, .step = "s", .max_running = 1});
  ASSERT_EQ(set.outgoing.recalls.size(), 1u);
  EXPECT_EQ(set.outgoing.recalls[0].worker, 1u);
}

TEST_F(EagerChainTest, APauseTakesOffersBackAndLetsWhatHasBegunGoOn) {
  const Effects paused = Turn(ControlRun{.run = 1, .action = ControlRun::Action::kPause});
  EXPECT_EQ(paused.outgoing.recalls.size(), 1u);
  const Effects second = Turn(Report({{b_.after, 100}}, {Begun(b_, 100)}));
  EXPECT_TRUE(second.outgoing.revocations.empty());
  EXPECT_TRUE(second.outgoing.eager.empty());
}

// ------------------------------------------------------------------ a stream or a hub that breaks

TEST_F(EagerChainTest, AReturningWorkersNextTaskWaitsForWhatItFollows) {
  const Effects back = Turn(Hello(2, {Held(a_), Begun(b_, 100)}));
  ASSERT_EQ(back.outgoing.welcomes.size(), 1u);
  EXPECT_TRUE(back.outgoing.welcomes[0].dropped.empty());
  const Effects told = Turn(Report({{b_.after, 100}}, {Begun(b_, 100)}, /*worker=*/2));
  EXPECT_TRUE(told.outgoing.revocations.empty());
  EXPECT_TRUE(told.outgoing.grants.empty());
}

TEST_F(EagerChainTest, AReturningWorkersNextTaskIsItsOwnIfTheHubHasHeard) {
  const Effects heard = Turn(Report({{b_.after, 100}}, {Begun(b_, 100)}));
  const GrantGroup& c = heard.outgoing.eager.at(0);
  // Nothing was acknowledged, and of the last one the hub does not know.
  const Effects back = Turn(Hello(2, {Held(a_), Begun(b_, 100), Begun(c, 101)}));
  EXPECT_EQ(back.outgoing.welcomes.at(0).dropped, a_.lease);
  const Effects told =
      Turn(Report({{b_.lease[0], 101}}, {Begun(b_, 100), Begun(c, 101)}, /*worker=*/2));
  EXPECT_TRUE(told.outgoing.revocations.empty());
  EXPECT_TRUE(told.outgoing.grants.empty());
}

TEST_F(EagerTest, WhatIsSaidAgainDoesNotStartAnew) {
  Join(1);
  const Effects first = Upload("step s timeout=10\nnode a\nnode s a\n");
  const GrantGroup& b = first.outgoing.eager.at(0);
  HeldLease held = Begun(b, 100);
  Turn(Report({{b.after, 100}}, {held}));
  held.elapsed = absl::Seconds(9);
  Turn(Hello(2, {held}));
  EXPECT_LT(scheduler_.NextDeadline(), absl::InfiniteFuture());  // The end of its time.
  held.elapsed = absl::ZeroDuration();
  Turn(Report({}, {held}, /*worker=*/2));
  EXPECT_LT(scheduler_.NextDeadline(), absl::InfiniteFuture());
}

TEST_F(EagerChainTest, AReturningWorkersNextTaskIsNotWhatSomebodyElseWasGivenInBetween) {
  Turn(Report({{b_.after, 100}}, {}));  // Of another worker's attempt, say.
  const Effects back = Turn(Hello(2, {Held(a_), Begun(b_, 99)}));
  EXPECT_EQ(back.outgoing.welcomes.at(0).dropped,
            (std::vector<uint64_t>{a_.lease[0], b_.lease[0]}));
}

}  // namespace
}  // namespace bue::hub
