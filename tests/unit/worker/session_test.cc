#include "worker/core/session.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/worker/session_testing.h"

namespace bue::worker {
namespace {

TEST_F(SessionTest, StartsInGrantOrderUpToTheSlots) {
  session_.OnGrant(Group({1, 2, 3}));
  session_.OnGrant(Group({4}));
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  EXPECT_EQ(Starts(), Leases{});
  Succeed(2);
  EXPECT_EQ(Starts(), Leases{3});
  Succeed(1);
  EXPECT_EQ(Starts(), Leases{4});
}

TEST_F(SessionTest, ALowerRankOvertakesWhatWaits) {
  const auto ranked = [](Leases leases, const Rank& rank) {
    const std::shared_ptr<GrantGroup> group = Group(std::move(leases));
    group->rank = rank;
    return group;
  };
  session_.OnGrant(ranked({1, 2, 3, 4}, {.first = 1}));
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  session_.OnGrant(ranked({5}, {.first = 1, .then = -9}));
  session_.OnGrant(ranked({6}, {.first = 0, .then = 7}));
  Revoke({4});
  Succeed(1);
  Succeed(2);
  EXPECT_EQ(Starts(), (Leases{6, 5}));
  Succeed(5);
  Succeed(6);
  EXPECT_EQ(Starts(), Leases{3});
}

TEST_F(SessionTest, PoolsDoNotWaitForEachOther) {
  session_.OnGrant(Group({1, 2, 3}, Pool::kThread));
  session_.OnGrant(Group({4, 5}, Pool::kSql));
  EXPECT_EQ(Starts(), (Leases{1, 2, 4}));
}

TEST_F(SessionTest, StoringATaskTakesNoSlot) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  EXPECT_EQ(Starts(), Leases{3});
  EXPECT_TRUE(session_.Holds(1));
}

TEST_F(SessionTest, TaskWhoseExecutorStoresTakesNoSlot) {
  session_.OnGrant(Group({1, 2, 3, 4}));
  Starts();
  session_.OnStoring(1);
  session_.OnStoring(1);
  session_.OnStoring(99);  // It is not held.
  EXPECT_EQ(Starts(), Leases{3});
  EXPECT_EQ(Starts(), Leases{});
  EXPECT_TRUE(session_.Holds(1));
  Succeed(1);
  EXPECT_EQ(Starts(), Leases{});  // Its slot was free already.
  Revoke({2});
  EXPECT_EQ(Starts(), Leases{4});
}

TEST_F(SessionTest, RoomAloneIsWorthNoMessageWhileTheHubMayGrantMore) {
  session_.OnGrant(Group({1, 2}));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);  // 2 + 20 ahead.
  ASSERT_TRUE(session_.OnExecuted(2, absl::Milliseconds(1)).has_value());
  EXPECT_FALSE(session_.HasNews());
  // Not half of what it asks ahead can still come.
  session_.OnGrant(Group({3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
  Starts();
  for (uint64_t lease = 3; lease < 12; ++lease) {
    EXPECT_FALSE(session_.HasNews());
    ASSERT_TRUE(session_.OnExecuted(lease, absl::Milliseconds(1)).has_value());
    Starts();
  }
  EXPECT_TRUE(session_.HasNews());
}

TEST_F(SessionTest, FirstMessageStatesAllRoom) {
  ASSERT_TRUE(session_.HasNews());
  const Session::Message message = session_.TakeMessage(kStart);
  EXPECT_EQ(message.rooms.size(), 4u);
  EXPECT_EQ(RoomOf(message, Pool::kThread), 3u);  // Two slots and one ahead.
  EXPECT_EQ(message.report, nullptr);
  EXPECT_FALSE(session_.HasNews());
}

TEST_F(SessionTest, AsksAheadForTenMillisecondsOfWork) {
  session_.TakeMessage(kStart);
  session_.OnGrant(Group({1}));
  Starts();
  Succeed(1, absl::Milliseconds(1));
  EXPECT_EQ(RoomOf(session_.TakeMessage(kStart), Pool::kThread), 2u + 20u);
}

TEST_F(SessionTest, DoesNotAskAheadForLongTasks) {
  session_.OnGrant(Group({1}));
  Starts();
  Succeed(1, absl::Milliseconds(99));
  EXPECT_EQ(session_.WantedRoom(Pool::kThread).leases, 3u);
  for (int i = 0; i < 20; ++i) {
    session_.OnGrant(Group({uint64_t{2} + i}));
    Starts();
    Succeed(uint64_t{2} + i, absl::Hours(1));
  }
  EXPECT_EQ(session_.WantedRoom(Pool::kThread).leases, 2u);
}

TEST_F(SessionTest, AskAheadIsCapped) {
  session_.OnGrant(Group({1}));
  Starts();
  Succeed(1, absl::Nanoseconds(1));
  EXPECT_EQ(session_.WantedRoom(Pool::kThread).leases, 2u + 512u);
}

TEST_F(SessionTest, ReportsSuccessesAsColumnsAndTheRestAsOutcomes) {
  session_.OnGrant(Group({1, 2}));
  Starts();
  Succeed(1);
  ASSERT_TRUE(session_.OnOutcome({.lease = 2, .kind = Outcome::Kind::kPending}));
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_NE(message.report, nullptr);
  EXPECT_EQ(message.report->number, 1u);
  EXPECT_EQ(message.report->succeeded.lease, Leases{1});
  EXPECT_EQ(message.report->succeeded.address, Leases{1001});
  ASSERT_EQ(message.report->outcomes.size(), 1u);
  EXPECT_EQ(message.report->outcomes[0].kind, Outcome::Kind::kPending);
}

TEST_F(SessionTest, OutcomesAreKeptUntilAcknowledged) {
  session_.OnGrant(Group({1}));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);
  EXPECT_EQ(HeldLeases(), Leases{1});
  session_.OnAcked(1);
  EXPECT_EQ(HeldLeases(), Leases{});
  EXPECT_EQ(session_.unacknowledged(), 0u);
}

TEST_F(SessionTest, UnacknowledgedOutcomesAreSentAgainUnderNewNumbers) {
  session_.OnGrant(Group({1, 2}));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);
  Succeed(2);
  session_.TakeMessage(kStart);
  session_.OnAcked(1);
  session_.OnDisconnected();
  EXPECT_FALSE(session_.HasNews());
  EXPECT_EQ(HeldLeases(), Leases{2});
  Welcome({});
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_NE(message.report, nullptr);
  EXPECT_EQ(message.report->number, 3u);
  EXPECT_EQ(message.report->succeeded.lease, Leases{2});
  EXPECT_EQ(message.rooms.size(), 4u);
}

TEST_F(SessionTest, AStartIsToldOnceIfTheGrantAsksForIt) {
  const std::shared_ptr<GrantGroup> paced = Group({1, 2, 3});
  paced->tells_start = true;
  session_.OnGrant(paced);
  session_.OnGrant(Group({4}));
  Starts();
  session_.TakeMessage(kStart);
  session_.OnStarting(1, kStart);
  EXPECT_TRUE(session_.HasNews());
  session_.OnStarting(1, kStart + absl::Seconds(1));
  session_.OnStarting(3, kStart);   // It waits.
  session_.OnStarting(99, kStart);  // It is not held.
  EXPECT_EQ(session_.TakeMessage(kStart).starting, Leases{1});
  EXPECT_EQ(session_.TakeMessage(kStart).starting, Leases{});
  // Whoever did not hear it is told with the next hello, also of what has ended.
  session_.OnStarting(2, kStart);
  Succeed(1);
  Starts();
  session_.OnDisconnected();
  const std::vector<HeldLease> held = session_.Held(kStart + absl::Seconds(2));
  ASSERT_EQ(held.size(), 4u);
  EXPECT_EQ(held[0].started_ago_ms, 2000u);
  EXPECT_EQ(held[1].started_ago_ms, 2000u);
  EXPECT_FALSE(held[1].not_started);
  EXPECT_TRUE(held[2].not_started);
  EXPECT_FALSE(held[3].not_started) << "nobody asked";
  EXPECT_EQ(held[3].started_ago_ms, 0u);
  Welcome({});
  EXPECT_EQ(session_.TakeMessage(kStart).starting, Leases{});
}

TEST_F(SessionTest, WhatHasFinishedIsNotSaidToRun) {
  session_.OnGrant(Group({1}));
  Starts();
  session_.OnStarted(1, kStart, kStart + absl::Seconds(1));
  Succeed(1);
  session_.OnDisconnected();
  const std::vector<HeldLease> held = session_.Held(kStart + absl::Seconds(60));
  ASSERT_EQ(held.size(), 1u);
  EXPECT_EQ(held[0].elapsed_ms, 0u);
}

TEST_F(SessionTest, AReconnectListsWhatWaitsRunsAndFinished) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  Succeed(1);
  session_.OnStarted(2, kStart, kStart + absl::Seconds(1));
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_EQ(message.started.size(), 1u);
  EXPECT_EQ(message.started[0].lease, 2u);
  EXPECT_EQ(message.started[0].elapsed_ms, 1000u);
  session_.OnDisconnected();
  const std::vector<HeldLease> held = session_.Held(kStart + absl::Seconds(2));
  ASSERT_EQ(held.size(), 3u);
  EXPECT_EQ(held[1].lease, 2u);
  EXPECT_EQ(held[1].run, 7u);
  EXPECT_EQ(held[1].item, 20u);
  EXPECT_EQ(held[1].elapsed_ms, 2000u);
  EXPECT_EQ(held[2].lease, 3u);
  EXPECT_EQ(held[2].elapsed_ms, 0u);
}

TEST_F(SessionTest, DroppedLeasesAreCancelledAndTheirOutcomesForgotten) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);
  session_.OnDisconnected();
  EXPECT_EQ(Welcome({1, 2, 3}), Leases{2});
  EXPECT_EQ(HeldLeases(), Leases{});
  EXPECT_EQ(session_.TakeMessage(kStart).report, nullptr);
  EXPECT_FALSE(session_.OnExecuted(2, absl::Seconds(1)).has_value());
  EXPECT_FALSE(session_.OnSucceeded(2, 5, 0, 0));
}

TEST_F(SessionTest, LeasesSurviveAHubRestartUnlessDropped) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  session_.OnDisconnected();
  EXPECT_EQ(Welcome({2}), Leases{2});
  EXPECT_EQ(Starts(), Leases{3});
  Succeed(1);
  EXPECT_EQ(session_.TakeMessage(kStart).report->succeeded.lease, Leases{1});
}

TEST_F(SessionTest, RevokedWaitingLeasesNeverStart) {
  session_.OnGrant(Group({1, 2, 3, 4}));
  Starts();
  EXPECT_EQ(Revoke({3}), Leases{});
  Succeed(1);
  Succeed(2);
  EXPECT_EQ(Starts(), Leases{4});
  EXPECT_EQ(session_.waiting(Pool::kThread), 0u);
}

TEST_F(SessionTest, ARevokedLeaseFreesItsSlot) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  EXPECT_EQ(Revoke({1, 99}), Leases{1});
  EXPECT_EQ(Starts(), Leases{3});
}

TEST_F(SessionTest, WhatWaitsOfARecalledRunIsGivenBack) {
  auto other = Group({4, 5});
  other->run = 8;
  session_.OnGrant(Group({1, 2, 3}));
  session_.OnGrant(other);
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  session_.OnRecalled(7);
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_NE(message.report, nullptr);
  ASSERT_EQ(message.report->outcomes.size(), 1);
  EXPECT_EQ(message.report->outcomes[0].lease, 3);
  EXPECT_EQ(message.report->outcomes[0].kind, Outcome::Kind::kGivenBack);
  Succeed(1);
  Succeed(2);
  EXPECT_EQ(Starts(), (Leases{4, 5}));
  session_.OnRecalled(9);
  EXPECT_EQ(session_.waiting(Pool::kThread), 0);
}

TEST_F(SessionTest, RecalledLeasesAreGivenBackUnlessTheyHaveStarted) {
  session_.OnGrant(Group({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  EXPECT_EQ(Revoke({4}), Leases{});
  session_.OnRecalled(Leases{2, 4, 5, 6, 99});
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_NE(message.report, nullptr);
  Leases back;
  for (const Outcome& outcome : message.report->outcomes) {
    EXPECT_EQ(outcome.kind, Outcome::Kind::kGivenBack);
    back.push_back(outcome.lease);
  }
  EXPECT_EQ(back, (Leases{5, 6}));
  session_.OnRecalled(Leases{5, 6});  // Again: they are not held any more.
  EXPECT_EQ(session_.waiting(Pool::kThread), 1u);
  Succeed(1);
  Succeed(2);
  EXPECT_EQ(Starts(), Leases{3});
  session_.OnAcked(message.report->number);
  EXPECT_EQ(HeldLeases(), (Leases{1, 2, 3}));
}

TEST_F(SessionTest, ALearnedModeMovesWaitingCalls) {
  session_.OnGrant(Group({1, 2, 3, 4}));
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  session_.OnLearnedMode({.run = 7, .step = 1, .pool = Pool::kAsync});
  EXPECT_EQ(session_.running(Pool::kThread), 0u);
  EXPECT_EQ(Starts(), (Leases{3, 4}));
  EXPECT_EQ(session_.running(Pool::kAsync), 4u);
  session_.OnGrant(Group({5}));  // Sent before the hub knew.
  EXPECT_EQ(session_.waiting(Pool::kAsync), 1u);
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_EQ(message.learned.size(), 1u);
  EXPECT_EQ(message.learned[0].pool, Pool::kAsync);
}

TEST_F(SessionTest, ALearnedModeIsToldToEveryNewStream) {
  session_.OnLearnedMode({.run = 7, .step = 1, .pool = Pool::kAsync});
  session_.TakeMessage(kStart);
  session_.OnDisconnected();
  Welcome({});
  EXPECT_EQ(session_.TakeMessage(kStart).learned.size(), 1u);
  session_.OnRunEnded(7);
  session_.OnDisconnected();
  Welcome({});
  EXPECT_EQ(session_.TakeMessage(kStart).learned.size(), 0u);
}

TEST_F(SessionTest, APausedSourceHoldsNoSlot) {
  auto source = Group({1});
  source->is_source = true;
  source->source_credit = 100;
  session_.OnGrant(source);
  session_.OnGrant(Group({2, 3}));
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  session_.OnProgress({.lease = 1, .address = 50, .elements = 99});
  EXPECT_EQ(Starts(), Leases{});
  session_.OnProgress({.lease = 1, .address = 50, .elements = 100});
  EXPECT_EQ(Starts(), Leases{3});
  session_.OnCredit(1, 200);
  EXPECT_EQ(session_.running(Pool::kThread), 3u);
  Succeed(1);
  EXPECT_EQ(session_.running(Pool::kThread), 2u);
}

TEST_F(SessionTest, CreditTakesNoSlotForASourceThatIsBeingStored) {
  auto source = Group({1});
  source->is_source = true;
  source->source_credit = 100;
  session_.OnGrant(source);
  session_.OnGrant(Group({2, 3}));
  Starts();
  session_.OnStoring(1);
  EXPECT_EQ(Starts(), Leases{3});
  session_.OnCredit(1, 200);
  EXPECT_EQ(session_.running(Pool::kThread), 2u);
}

TEST_F(SessionTest, OnlyTheLatestProgressIsSentAndAgainAfterAReconnect) {
  auto source = Group({1});
  source->is_source = true;
  source->source_credit = 100;
  session_.OnGrant(source);
  Starts();
  session_.OnProgress({.lease = 1, .address = 50, .elements = 10});
  session_.OnProgress({.lease = 1, .address = 50, .elements = 20});
  Session::Message message = session_.TakeMessage(kStart);
  ASSERT_EQ(message.progress.size(), 1u);
  EXPECT_EQ(message.progress[0].elements, 20u);
  EXPECT_FALSE(session_.HasNews());
  session_.OnDisconnected();
  Welcome({});
  message = session_.TakeMessage(kStart);
  ASSERT_EQ(message.progress.size(), 1u);
  EXPECT_EQ(message.progress[0].elements, 20u);
}

TEST_F(SessionTest, AStopGivesBackWhatHasNotStartedAndAsksForNothing) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  session_.TakeMessage(kStart);
  session_.Stop();
  Session::Message message = session_.TakeMessage(kStart);
  EXPECT_EQ(RoomOf(message, Pool::kThread), 0u);
  ASSERT_EQ(message.report->outcomes.size(), 1u);
  EXPECT_EQ(message.report->outcomes[0].lease, 3u);
  EXPECT_EQ(message.report->outcomes[0].kind, Outcome::Kind::kGivenBack);
  EXPECT_FALSE(message.goodbye);
  EXPECT_FALSE(session_.quiet());
}

TEST_F(SessionTest, GrantsThatArriveDuringAStopAreGivenBack) {
  session_.Stop();
  session_.OnGrant(Group({1}));
  EXPECT_EQ(Starts(), Leases{});
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_EQ(message.report->outcomes.size(), 1u);
  EXPECT_EQ(message.report->outcomes[0].kind, Outcome::Kind::kGivenBack);
}

TEST_F(SessionTest, GoodbyeGoesWithTheLastOutcomes) {
  session_.OnGrant(Group({1, 2}));
  Starts();
  session_.Stop();
  session_.TakeMessage(kStart);
  Succeed(1);
  EXPECT_FALSE(session_.TakeMessage(kStart).goodbye);
  Leases cancelled;
  session_.GiveBackRest(&cancelled);
  EXPECT_EQ(cancelled, Leases{2});
  const Session::Message message = session_.TakeMessage(kStart);
  EXPECT_TRUE(message.goodbye);
  EXPECT_EQ(message.report->outcomes[0].lease, 2u);
  EXPECT_FALSE(session_.finished());
  session_.OnAcked(message.report->number);
  EXPECT_TRUE(session_.finished());
  EXPECT_FALSE(session_.HasNews());
}

TEST_F(SessionTest, WhatCannotBeStoredIsGivenBackAtTheEnd) {
  session_.OnGrant(Group({1}));
  Starts();
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  session_.Stop();
  EXPECT_FALSE(session_.quiet());
  Leases cancelled;
  session_.GiveBackRest(&cancelled);
  EXPECT_EQ(cancelled, Leases{});
  EXPECT_TRUE(session_.TakeMessage(kStart).goodbye);
  EXPECT_FALSE(session_.OnSucceeded(1, 5, 0, 0));
}

TEST_F(SessionTest, TooManyUnacknowledgedOutcomesCloseTheRoom) {
  SessionOptions options = SmallOptions();
  options.unacked_max = 2;
  Session session(options);
  Leases cancelled;
  session.OnWelcome({}, &cancelled);
  session.OnGrant(Group({1, 2}));
  std::vector<StartBatch> batches;
  session.TakeStarts(&batches);
  for (const uint64_t lease : {1, 2}) {
    ASSERT_TRUE(session.OnExecuted(lease, absl::Milliseconds(1)).has_value());
    ASSERT_TRUE(session.OnSucceeded(lease, 1, 0, 1));
  }
  EXPECT_EQ(session.WantedRoom(Pool::kThread).leases, 0u);
  session.TakeMessage(kStart);
  session.OnAcked(1);
  EXPECT_GT(session.WantedRoom(Pool::kThread).leases, 2u);
}

TEST_F(SessionTest, LongReportsAreCutIntoMessages) {
  SessionOptions options = SmallOptions();
  options.message_outcomes_max = 2;
  Session session(options);
  Leases cancelled;
  session.OnWelcome({}, &cancelled);
  session.OnGrant(Group({1, 2, 3}, Pool::kAsync));
  std::vector<StartBatch> batches;
  session.TakeStarts(&batches);
  for (const uint64_t lease : {1, 2, 3}) {
    ASSERT_TRUE(session.OnExecuted(lease, absl::Milliseconds(1)).has_value());
    ASSERT_TRUE(session.OnSucceeded(lease, 1, 0, 1));
  }
  EXPECT_EQ(session.TakeMessage(kStart).report->succeeded.lease, (Leases{1, 2}));
  EXPECT_TRUE(session.HasNews());
  EXPECT_EQ(session.TakeMessage(kStart).report->succeeded.lease, Leases{3});
  session.OnAcked(2);
  EXPECT_EQ(session.Held(kStart).size(), 0u);
}

TEST_F(SessionTest, AnInputThatCannotBeReadFreesTheSlot) {
  session_.OnGrant(Group({1, 2, 3}));
  Starts();
  ASSERT_TRUE(session_.OnOutcome({.lease = 1, .kind = Outcome::Kind::kInputGone, .gone = 77}));
  EXPECT_EQ(Starts(), Leases{3});
}

TEST_F(SessionTest, RecordsAreUsedAgain) {
  for (uint64_t lease = 1; lease <= 10000; ++lease) {
    session_.OnGrant(Group({lease}));
    ASSERT_EQ(Starts(), Leases{lease});
    Succeed(lease);
    session_.OnAcked(session_.TakeMessage(kStart).report->number);
  }
  EXPECT_EQ(HeldLeases(), Leases{});
}

}  // namespace
}  // namespace bue::worker
