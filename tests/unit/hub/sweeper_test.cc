#include "hub/service/sweeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A bucket and a hub in memory.
class SweeperTest : public testing::Test {
 protected:
  void Add(uint64_t sequence, uint64_t run, absl::Duration age = absl::Hours(1)) {
    objects_.push_back({.address = MakeAddress(7, sequence),
                        .origin = {.run = run},
                        .bytes = 10,
                        .finished = true,
                        .age = age});
  }

  Sweeper::Counts Sweep(SweeperOptions options = {}) {
    options.pause = absl::ZeroDuration();
    SweeperParts parts;
    parts.buckets = [this]() -> absl::StatusOr<std::vector<BucketInfo>> { return buckets_; };
    parts.list = [this](uint64_t after, size_t limit) -> absl::StatusOr<std::vector<ListedObject>> {
      if (StoreOf(after) != 7) return absl::UnavailableError("away");
      std::vector<ListedObject> listed;
      for (const ListedObject& object : objects_) {
        if (object.address > after && listed.size() < limit) listed.push_back(object);
      }
      return listed;
    };
    parts.remove = [this](std::vector<uint64_t> addresses) {
      for (const uint64_t address : addresses) removed_.push_back(SequenceOf(address));
      return absl::OkStatus();
    };
    parts.ask = [this](QueryOwnership query) -> absl::StatusOr<OwnershipList> {
      asked_.push_back(query.objects.size());
      if (!ask_status_.ok()) return ask_status_;
      OwnershipList list;
      for (const QueryOwnership::Object& object : query.objects) {
        auto& verdicts = verdicts_[SequenceOf(object.address)];
        list.verdicts.push_back(verdicts.empty() ? Ownership::kWanted : verdicts.front());
        if (verdicts.size() > 1) verdicts.erase(verdicts.begin());
      }
      return list;
    };
    parts.outputs = [this](uint64_t run, const std::function<void(uint64_t)>& visit) {
      ++output_scans_;
      for (const uint64_t sequence : outputs_[run]) visit(MakeAddress(7, sequence));
      return absl::OkStatus();
    };
    Sweeper sweeper(options, std::move(parts));
    const Sweeper::Counts counts = sweeper.Sweep();
    std::sort(removed_.begin(), removed_.end());
    return counts;
  }

  std::vector<BucketInfo> buckets_ = {{.bucket = "b", .store = 7}};
  std::vector<ListedObject> objects_;
  std::map<uint64_t, std::vector<Ownership>> verdicts_;  // By sequence; the last one stays.
  std::map<uint64_t, std::vector<uint64_t>> outputs_;
  absl::Status ask_status_;
  std::vector<uint64_t> removed_;
  std::vector<size_t> asked_;
  int output_scans_ = 0;
};

TEST_F(SweeperTest, OnlyWhatTheHubDisownsGoes) {
  for (uint64_t i = 1; i <= 4; ++i) Add(i, 1);
  verdicts_[2] = {Ownership::kGone};
  verdicts_[3] = {Ownership::kUnclaimed};
  const Sweeper::Counts counts = Sweep();
  EXPECT_THAT(removed_, ElementsAre(2, 3));
  EXPECT_EQ(counts.objects, 4u);
  EXPECT_EQ(counts.deleted, 2u);
  EXPECT_EQ(counts.bytes, 20u);
}

TEST_F(SweeperTest, YoungObjectsAreNotAskedAbout) {
  Add(1, 1, absl::Seconds(10));
  Add(2, 1, absl::Hours(1));
  verdicts_[1] = verdicts_[2] = {Ownership::kGone};
  EXPECT_EQ(Sweep({.grace = absl::Minutes(1)}).young, 1u);
  EXPECT_THAT(removed_, ElementsAre(2));
  EXPECT_THAT(asked_, ElementsAre(1));
}

TEST_F(SweeperTest, CapturedOutputIsKept) {
  for (uint64_t i = 1; i <= 3; ++i) Add(i, 5);
  for (uint64_t i = 1; i <= 3; ++i) verdicts_[i] = {Ownership::kUnclaimed};
  outputs_[5] = {2, 99};
  Sweep();
  EXPECT_THAT(removed_, ElementsAre(1, 3));
  EXPECT_EQ(output_scans_, 1);
}

TEST_F(SweeperTest, MemoryIsBounded) {
  for (uint64_t i = 1; i <= 10; ++i) Add(i, i % 2);
  for (uint64_t i = 1; i <= 10; ++i) verdicts_[i] = {Ownership::kUnclaimed};
  Sweep({.batch = 2, .unclaimed_max = 4});
  EXPECT_EQ(removed_.size(), 10u);
  EXPECT_THAT(asked_, ElementsAre(2, 2, 2, 2, 2));
  EXPECT_EQ(output_scans_, 6);  // Two runs, each time four addresses were there, and at the end.
}

TEST_F(SweeperTest, WhatIsTooMuchForOneTurnIsAskedAgain) {
  Add(1, 1);
  Add(2, 1);
  verdicts_[1] = {Ownership::kAskAgain, Ownership::kGone};
  verdicts_[2] = {Ownership::kWanted};
  Sweep();
  EXPECT_THAT(removed_, ElementsAre(1));
  EXPECT_THAT(asked_, ElementsAre(2, 1));
}

TEST_F(SweeperTest, WithoutAnAnswerNothingGoes) {
  Add(1, 1);
  verdicts_[1] = {Ownership::kGone};
  ask_status_ = absl::UnavailableError("the hub is stopping");
  Sweep();
  EXPECT_THAT(removed_, IsEmpty());
}

TEST_F(SweeperTest, ABucketThatIsAwayDoesNotKeepTheOthersFromBeingSwept) {
  buckets_ = {{.bucket = "away", .store = 3}, {.bucket = "b", .store = 7}};
  Add(1, 1);
  verdicts_[1] = {Ownership::kGone};
  Sweep();
  EXPECT_THAT(removed_, ElementsAre(1));
}

}  // namespace
}  // namespace bue::hub
