// Tasks that the worker goes on to by itself.
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/worker/session_testing.h"
#include "worker/core/session.h"

namespace bue::worker {
namespace {

std::shared_ptr<GrantGroup> Offer(uint64_t after, uint64_t lease) {
  std::shared_ptr<GrantGroup> group = Group({lease});
  group->after = after;
  group->inputs.push_back({.address = {0}});
  return group;
}

Leases LeasesOf(const std::vector<HeldLease>& list) {
  Leases leases;
  for (const HeldLease& held : list) leases.push_back(held.lease);
  return leases;
}

TEST_F(SessionTest, TheNextOfAChainStartsOnceTheValueIsStoredAndTheHubIsTold) {
  session_.OnGrant(Group({1}));
  session_.OnEager(Offer(1, 2));
  EXPECT_EQ(Starts(), Leases{1});
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  EXPECT_EQ(Starts(), Leases{});
  ASSERT_TRUE(session_.OnSucceeded(1, 1001, 0, 5));
  EXPECT_EQ(Starts(), Leases{});  // The hub is told first.
  EXPECT_TRUE(session_.MayGoOn());
  const Session::Message message = session_.TakeMessage(kStart);
  EXPECT_FALSE(session_.MayGoOn());
  EXPECT_EQ(Starts(), Leases{2});
  ASSERT_EQ(LeasesOf(message.report->eager), Leases{2});
  EXPECT_EQ(message.report->eager[0].after, 1u);
  EXPECT_EQ(message.report->eager[0].input, 1001u);
  Succeed(2);
  EXPECT_TRUE(session_.TakeMessage(kStart).report->eager.empty());
}

TEST_F(SessionTest, ASuccessWithMoreToSayIsFollowed) {
  session_.OnGrant(Group({1}));
  session_.OnEager(Offer(1, 2));
  Starts();
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  ASSERT_TRUE(session_.OnOutcome(
      {.lease = 1, .kind = Outcome::Kind::kSucceeded, .output = 7, .address = 1001}));
  EXPECT_EQ(session_.TakeMessage(kStart).report->eager.at(0).input, 1001u);
  EXPECT_EQ(Starts(), Leases{2});
}

// The hub may find that another item has it, and refuses the success.
TEST_F(SessionTest, NothingFollowsASuccessThatGivesItsItemAnId) {
  session_.OnGrant(Group({1}));
  session_.OnEager(Offer(1, 2));
  Starts();
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  ASSERT_TRUE(session_.OnOutcome(
      {.lease = 1, .kind = Outcome::Kind::kSucceeded, .address = 1001, .item_id = "me"}));
  EXPECT_TRUE(session_.TakeMessage(kStart).report->eager.empty());
  EXPECT_EQ(Starts(), Leases{});
}

TEST_F(SessionTest, NothingFollowsAnyOtherOutcome) {
  session_.OnGrant(Group({1, 2}));
  session_.OnEager(Offer(1, 11));
  session_.OnEager(Offer(2, 12));
  session_.OnEager(Offer(3, 13));  // Not held.
  Starts();
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  ASSERT_TRUE(session_.OnOutcome({.lease = 1, .kind = Outcome::Kind::kPending}));
  EXPECT_EQ(Revoke({2}), Leases{2});
  EXPECT_TRUE(session_.TakeMessage(kStart).report->eager.empty());
  EXPECT_EQ(Starts(), Leases{});
  EXPECT_TRUE(session_.quiet());
}

TEST_F(SessionTest, ARecallABrokenStreamAndAStopTakeOffersBack) {
  const auto begins = [this] {
    const Session::Message message = session_.TakeMessage(kStart);
    return message.report != nullptr && !message.report->eager.empty();
  };
  session_.OnGrant(Group({1, 2}));
  Starts();
  session_.OnEager(Offer(1, 11));
  session_.OnRecalled(8);  // Another run.
  session_.OnRecalled(7);
  Succeed(1);
  EXPECT_FALSE(begins());
  session_.OnEager(Offer(2, 12));
  session_.OnDisconnected();
  Welcome({});
  Succeed(2);
  EXPECT_FALSE(begins());
  // The same once its turn had come.
  session_.OnGrant(Group({3, 4}));
  Starts();
  session_.OnEager(Offer(3, 13));
  Succeed(3);
  session_.OnRecalled(7);
  EXPECT_FALSE(begins());
  session_.OnEager(Offer(4, 14));
  Succeed(4);
  session_.OnDisconnected();
  Welcome({});
  EXPECT_FALSE(begins());
  session_.OnGrant(Group({5, 6}));
  Starts();
  session_.OnEager(Offer(5, 15));
  session_.OnEager(Offer(6, 16));
  Succeed(5);
  session_.Stop();
  Succeed(6);
  EXPECT_FALSE(begins());
  EXPECT_TRUE(session_.quiet());
}

TEST_F(SessionTest, WhatTheHubHasNotHeardOfEndsWithItsRun) {
  session_.OnGrant(Group({1, 2, 3}));
  session_.OnEager(Offer(1, 11));
  session_.OnEager(Offer(2, 12));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);
  EXPECT_EQ(Starts(), Leases{3});  // 11 waits behind it.
  EXPECT_EQ(Revoke({1, 2, 3}), (Leases{2, 3}));
  session_.OnRunEnded(7);
  EXPECT_EQ(Starts(), Leases{});
  EXPECT_TRUE(session_.quiet());
}

TEST_F(SessionTest, AHelloNamesThemAfterWhatTheyFollowAndTheReportSaysThemAgain) {
  session_.OnEager(Offer(90, 9));
  session_.OnGrant(Group({8, 1}));
  session_.OnEager(Offer(8, 9));
  Starts();
  Succeed(8);
  session_.TakeMessage(kStart);
  EXPECT_EQ(Starts(), Leases{9});
  session_.OnEager(Offer(9, 10));
  Succeed(9);
  session_.TakeMessage(kStart);
  session_.OnDisconnected();
  const std::vector<HeldLease> held = session_.Held(kStart);
  EXPECT_EQ(LeasesOf(held), (Leases{8, 1, 9, 10}));
  EXPECT_EQ(held[3].after, 9u);
  EXPECT_EQ(held[3].input, 1009u);
  Welcome({});
  const Session::Message again = session_.TakeMessage(kStart);
  EXPECT_EQ(again.report->succeeded.lease, (Leases{8, 9}));
  EXPECT_EQ(LeasesOf(again.report->eager), (Leases{9, 10}));
}

// A hub that had a power cut may not know of the revocation any more, but would take it for held.
TEST_F(SessionTest, WhatWasRevokedIsNotSaidToHaveBegunAgain) {
  session_.OnGrant(Group({1}));
  session_.OnEager(Offer(1, 2));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);
  EXPECT_EQ(Starts(), Leases{2});
  EXPECT_EQ(Revoke({2}), Leases{2});
  session_.OnDisconnected();
  EXPECT_EQ(HeldLeases(), Leases{1});
  Welcome({});
  const Session::Message again = session_.TakeMessage(kStart);
  EXPECT_EQ(again.report->succeeded.lease, Leases{1});
  EXPECT_TRUE(again.report->eager.empty());
}

TEST_F(SessionTest, WhatIsSaidAgainSaysHowLongItHasRun) {
  session_.OnGrant(Group({1}));
  session_.OnEager(Offer(1, 2));
  Starts();
  Succeed(1);
  EXPECT_EQ(session_.TakeMessage(kStart).report->eager.at(0).elapsed_ms, 0u);
  Starts();
  session_.OnStarted(2, kStart, kStart + absl::Seconds(1));
  session_.OnDisconnected();
  Welcome({});
  const Session::Message again = session_.TakeMessage(kStart + absl::Seconds(9));
  EXPECT_EQ(again.report->eager.at(0).elapsed_ms, 9000u);
}

TEST_F(SessionTest, WhatAWelcomeDroppedIsNotSaidToHaveBegun) {
  session_.OnGrant(Group({1}));
  session_.OnEager(Offer(1, 2));
  Starts();
  Succeed(1);
  session_.TakeMessage(kStart);
  Starts();
  session_.OnEager(Offer(2, 3));
  Succeed(2);
  session_.TakeMessage(kStart);
  session_.OnDisconnected();
  EXPECT_EQ(Welcome({1, 2, 3}), Leases{});
  EXPECT_EQ(session_.TakeMessage(kStart).report, nullptr);
  EXPECT_TRUE(session_.quiet());
}

SessionOptions OneOutcomeAMessage() {
  SessionOptions options = SmallOptions();
  options.message_outcomes_max = 1;
  return options;
}

class SmallMessagesTest : public SessionTest {
 protected:
  // 1 and 2 have succeeded, and 3 may follow 2.
  SmallMessagesTest() : SessionTest(OneOutcomeAMessage()) {
    session_.OnGrant(Group({1, 2}));
    session_.OnEager(Offer(2, 3));
    Starts();
    Succeed(1);
    Succeed(2);
  }
};

TEST_F(SmallMessagesTest, WhatBeginsIsSaidWithWhatItFollows) {
  EXPECT_TRUE(session_.TakeMessage(kStart).report->eager.empty());
  EXPECT_FALSE(session_.Holds(3));
  const Session::Message message = session_.TakeMessage(kStart);
  EXPECT_EQ(message.report->succeeded.lease, Leases{2});
  EXPECT_EQ(LeasesOf(message.report->eager), Leases{3});
}

// The hub then takes neither: better run again than lost.
TEST_F(SmallMessagesTest, WhatBeganIsSaidAgainNoLaterThanItsOwnOutcome) {
  session_.TakeMessage(kStart);
  session_.TakeMessage(kStart);
  EXPECT_EQ(Starts(), Leases{3});
  ASSERT_TRUE(session_.OnExecuted(3, absl::Milliseconds(1)).has_value());
  ASSERT_TRUE(session_.OnOutcome({.lease = 3, .kind = Outcome::Kind::kPending}));
  session_.OnDisconnected();
  Welcome({});
  const Session::Message message = session_.TakeMessage(kStart);
  EXPECT_EQ(message.report->succeeded.lease, Leases{1});
  EXPECT_EQ(message.report->outcomes.at(0).lease, 3u);
  EXPECT_EQ(LeasesOf(message.report->eager), Leases{3});
}

}  // namespace
}  // namespace bue::worker
