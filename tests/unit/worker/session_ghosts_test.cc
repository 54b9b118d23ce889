// Leases that are over while their code goes on.
#include "gtest/gtest.h"
#include "tests/unit/worker/session_testing.h"
#include "worker/core/session.h"

namespace bue::worker {
namespace {

TEST_F(SessionTest, WhatWasRevokedIsOverOnceItsCodeIs) {
  session_.OnGrant(Group({1, 2, 3}));
  EXPECT_EQ(Starts(), (Leases{1, 2}));
  EXPECT_TRUE(session_.HandOver(1));
  session_.TakeMessage(kStart);
  EXPECT_EQ(Revoke({1, 3, 99}), Leases{1});
  ASSERT_TRUE(session_.HasNews());
  EXPECT_EQ(session_.TakeMessage(kStart).over, (Leases{3, 99}));  // Neither of them runs.
  EXPECT_EQ(session_.Ghosts().size(), 1u);
  EXPECT_EQ(session_.Ghosts()[0].lease, 1u);
  EXPECT_EQ(session_.Ghosts()[0].run, 7u);
  EXPECT_FALSE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  ASSERT_TRUE(session_.HasNews());
  EXPECT_EQ(session_.TakeMessage(kStart).over, Leases{1});
  EXPECT_TRUE(session_.Ghosts().empty());
  session_.OnOver(1);
  session_.OnOver(2);  // Held, and no ghost.
  EXPECT_TRUE(session_.TakeMessage(kStart).over.empty());
}

TEST_F(SessionTest, WhatWasRevokedBeforeItWasHandedOverNeverBegan) {
  session_.OnGrant(Group({1}));
  Starts();  // Its inputs may be long in coming.
  EXPECT_EQ(Revoke({1}), Leases{1});
  EXPECT_EQ(session_.TakeMessage(kStart).over, Leases{1});
  EXPECT_FALSE(session_.HandOver(1));
  EXPECT_TRUE(session_.TakeMessage(kStart).over.empty());
}

TEST_F(SessionTest, WhatWasRevokedWhileItsValueWasStoredIsOver) {
  session_.OnGrant(Group({1}));
  Starts();
  ASSERT_TRUE(session_.OnExecuted(1, absl::Milliseconds(1)).has_value());
  EXPECT_EQ(Revoke({1}), Leases{});
  EXPECT_EQ(session_.TakeMessage(kStart).over, Leases{1});
  EXPECT_FALSE(session_.OnSucceeded(1, 1001, 0, 5));
  EXPECT_TRUE(session_.TakeMessage(kStart).over.empty());
}

TEST_F(SessionTest, WhatFailedAndGoesOnSaysSoUntilItIsOver) {
  session_.OnGrant(Group({1, 2}));
  Starts();
  for (const uint64_t lease : {1, 2}) {
    ASSERT_TRUE(session_.OnExecuted(lease, absl::Milliseconds(1), /*goes_on=*/true).has_value());
    ASSERT_TRUE(session_.OnOutcome({.lease = lease, .goes_on = true}));
  }
  session_.OnOver(2);  // Before anybody was told of it.
  const Session::Message message = session_.TakeMessage(kStart);
  ASSERT_EQ(message.report->outcomes.size(), 2u);
  EXPECT_TRUE(message.report->outcomes[0].goes_on);
  EXPECT_FALSE(message.report->outcomes[1].goes_on);
  // The same again after the stream broke: what is over by then is no ghost.
  session_.OnDisconnected();
  EXPECT_EQ(session_.Ghosts().size(), 1u);
  session_.OnOver(1);
  Welcome({});
  const Session::Message again = session_.TakeMessage(kStart);
  ASSERT_EQ(again.report->outcomes.size(), 2u);
  EXPECT_FALSE(again.report->outcomes[0].goes_on);
}

TEST_F(SessionTest, AGhostsOutcomeThatGoesOnLeavesItOne) {
  session_.OnGrant(Group({1}));
  Starts();
  EXPECT_TRUE(session_.HandOver(1));
  EXPECT_EQ(Revoke({1}), Leases{1});
  EXPECT_FALSE(session_.OnExecuted(1, absl::Milliseconds(1), /*goes_on=*/true).has_value());
  EXPECT_TRUE(session_.TakeMessage(kStart).over.empty());
  EXPECT_EQ(session_.Ghosts().size(), 1u);
  session_.OnOver(1);
  EXPECT_EQ(session_.TakeMessage(kStart).over, Leases{1});
}

TEST_F(SessionTest, WhatAWelcomeDroppedIsOverOnceItsCodeIs) {
  session_.OnGrant(Group({1, 2}));
  Starts();
  EXPECT_TRUE(session_.HandOver(1));
  Succeed(2);
  session_.OnDisconnected();
  EXPECT_EQ(Welcome({1, 2}), Leases{1});
  EXPECT_EQ(session_.TakeMessage(kStart).over, Leases{2});
  session_.OnDisconnected();
  ASSERT_EQ(session_.Ghosts().size(), 1u);  // The next hello says it.
  session_.OnExecuted(1, absl::Milliseconds(1));
  Welcome({});
  EXPECT_EQ(session_.TakeMessage(kStart).over, Leases{1});
}

}  // namespace
}  // namespace bue::worker
