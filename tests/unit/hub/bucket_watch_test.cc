#include "hub/service/bucket_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const absl::Time kStart = absl::UnixEpoch() + absl::Hours(1);

class BucketWatchTest : public testing::Test {
 protected:
  void LookAt(int second) { watch_.Look(kStart + absl::Seconds(second)); }

  std::vector<std::string> Away() const {
    std::vector<std::string> names;
    for (const AwayBucket& bucket : watch_.Away()) {
      names.push_back(bucket.bucket + " since " +
                      std::to_string(absl::ToInt64Seconds(bucket.since - kStart)));
    }
    return names;
  }

  std::set<size_t> dead_;
  BucketWatch watch_{BucketWatchOptions{.misses = 2}, {"a:1", "b:2"}, [this](size_t bucket) {
                       return dead_.contains(bucket) ? absl::UnavailableError("no")
                                                     : absl::OkStatus();
                     }};
};

TEST_F(BucketWatchTest, BucketThatAnswersIsNotAway) {
  LookAt(0);
  LookAt(1);
  EXPECT_THAT(Away(), IsEmpty());
}

TEST_F(BucketWatchTest, OneMissIsNotAway) {
  dead_ = {1};
  LookAt(0);
  EXPECT_THAT(Away(), IsEmpty());
  dead_ = {};
  LookAt(1);
  dead_ = {1};
  LookAt(2);
  EXPECT_THAT(Away(), IsEmpty());
}

TEST_F(BucketWatchTest, BucketIsAwaySinceItsFirstMissUntilItAnswers) {
  LookAt(0);
  dead_ = {1};
  for (int second = 1; second < 5; ++second) LookAt(second);
  EXPECT_THAT(Away(), ElementsAre("b:2 since 1"));
  dead_ = {};
  LookAt(5);
  EXPECT_THAT(Away(), IsEmpty());
}

TEST_F(BucketWatchTest, EachBucketIsLookedAt) {
  dead_ = {0, 1};
  LookAt(3);
  LookAt(4);
  EXPECT_THAT(Away(), ElementsAre("a:1 since 3", "b:2 since 3"));
}

}  // namespace
}  // namespace bue::hub
