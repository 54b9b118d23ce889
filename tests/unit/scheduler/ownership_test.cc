// Which objects a sweep may take. That nothing wanted is ever disowned, whatever happens, is
// checked in random_run_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/support/scheduler_driver.h"

namespace bue::hub {
namespace {

class OwnershipTest : public testing::Test {
 protected:
  // The verdict on an object, by where it says it comes from.
  Ownership Of(uint64_t address, uint32_t node, uint64_t item = 0, uint64_t instance = 0,
               uint64_t run = 1) {
    return driver_
        .AskOwnership(
            {{.address = address, .run = run, .instance = instance, .item = item, .node = node}})
        .at(0);
  }

  SchedulerDriver driver_;
};

constexpr char kChain[] =
    "step a retries=1 backoff=1\n"
    "step b\n"
    "node a in 0\n"
    "node b in 0 0\n";

TEST_F(OwnershipTest, ATaskThatHasNotEndedMayStillReportAnything) {
  driver_.Run(kChain);
  EXPECT_EQ(Of(77, 0), Ownership::kWanted);
  driver_.Join("w", {.threads = 1});
  EXPECT_EQ(Of(77, 0), Ownership::kWanted);
  driver_.Report("w", "a", Outcome::Kind::kFailed, "no luck");
  EXPECT_EQ(Of(77, 0), Ownership::kWanted);
}

TEST_F(OwnershipTest, OnceItHasEndedOnlyItsValueIsWanted) {
  driver_.Run(kChain);
  driver_.Join("w", {.threads = 1});
  driver_.Succeed("w", "a");
  EXPECT_EQ(Of(1, 0), Ownership::kWanted);
  EXPECT_EQ(Of(77, 0), Ownership::kUnclaimed);
  driver_.Succeed("w", "b");
  EXPECT_EQ(Of(1, 0), Ownership::kUnclaimed);  // Nobody reads it any more.
  EXPECT_EQ(Of(2, 1), Ownership::kWanted);     // A result.
}

TEST_F(OwnershipTest, OfRunsThatAreGoneNothingIsWanted) {
  driver_.Run(kChain);
  EXPECT_EQ(Of(1, 0, 0, 0, /*run=*/2), Ownership::kGone);
  driver_.Control(1, ControlRun::Action::kCancel);
  EXPECT_EQ(Of(1, 0), Ownership::kUnclaimed);
  driver_.Control(1, ControlRun::Action::kDelete);
  EXPECT_EQ(Of(1, 0), Ownership::kGone);
}

TEST_F(OwnershipTest, KeptValuesOfEndedItemsAreFound) {
  driver_.Run(
      "step x\n"
      "loop in 0 over range:2000\n"
      "node x in 1 e1\n");
  driver_.Join("w", {.threads = 10});
  for (int i = 0; i < 2000; ++i) {
    const std::string task = driver_.granted("w").begin()->first;
    driver_.Succeed("w", task);
  }
  std::vector<QueryOwnership::Object> objects = driver_.Values();
  ASSERT_EQ(objects.size(), 2000u);
  for (const Ownership verdict : driver_.AskOwnership(objects)) {
    EXPECT_EQ(verdict, Ownership::kWanted);
  }
  for (QueryOwnership::Object& object : objects) object.address += 100'000;
  for (const Ownership verdict : driver_.AskOwnership(objects)) {
    EXPECT_EQ(verdict, Ownership::kUnclaimed);
  }
}

TEST_F(OwnershipTest, OneQuestionUnpacksABoundedNumberOfBlocks) {
  driver_.Run(
      "step x\n"
      "loop in 0 over range:2050\n"
      "node x in 1 e1\n");
  driver_.Join("w", {.threads = 10});
  for (int i = 0; i < 2050; ++i) driver_.Succeed("w", driver_.granted("w").begin()->first);
  // Back and forth between two blocks: neighbours share nothing.
  std::vector<QueryOwnership::Object> objects;
  const std::vector<QueryOwnership::Object> values = driver_.Values();
  for (int i = 0; i < 200; ++i) {
    QueryOwnership::Object object = values[0];
    object.item = i % 2 == 0 ? 0 : 1024;
    objects.push_back(object);
  }
  const std::vector<Ownership> verdicts = driver_.AskOwnership(objects);
  EXPECT_EQ(verdicts.front(), Ownership::kWanted);
  EXPECT_EQ(verdicts[198], Ownership::kAskAgain);  // Not the block that was read last.
}

TEST_F(OwnershipTest, ASourceThatWasTriedAgainKeepsTheElementsOfBothObjects) {
  driver_.Run(
      "step gen retries=1 backoff=1\n"
      "step x\n"
      "node gen in 0\n"
      "loop in 0 over 0\n"
      "node x in 1 e1\n");
  driver_.Join("w", {.threads = 10});
  driver_.Progress("w", "gen", 3);  // Object 1, which the test's worker then loses.
  driver_.Report("w", "gen", Outcome::Kind::kFailed, "no luck");
  EXPECT_EQ(Of(1, 0), Ownership::kWanted);
  driver_.Advance(absl::Seconds(5));
  driver_.Succeed("w", "gen", 5);  // Object 2.
  EXPECT_EQ(Of(1, 0), Ownership::kWanted);
  EXPECT_EQ(Of(2, 0), Ownership::kWanted);
  EXPECT_EQ(Of(3, 0), Ownership::kUnclaimed);
}

TEST_F(OwnershipTest, AfterARestartEverythingIsWantedUntilTheWorkersAreBack) {
  driver_.Run(kChain);
  driver_.Join("w", {.threads = 1});
  driver_.Succeed("w", "a");
  driver_.Restart(/*checkpoint_first=*/true);
  EXPECT_EQ(Of(77, 0), Ownership::kWanted);
  driver_.Return("w");
  EXPECT_EQ(Of(77, 0), Ownership::kUnclaimed);
  EXPECT_EQ(Of(1, 0), Ownership::kWanted);
}

}  // namespace
}  // namespace bue::hub
