#include "worker/core/sql_executor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/support/patience.h"
#include "tests/unit/worker/fake_bucket.h"

namespace bue::worker {
namespace {

class Events final : public ExecutorEvents {
 public:
  void OnDone(std::vector<CallResult> results) override {
    absl::MutexLock lock(&mutex_);
    for (CallResult& result : results) done_[result.lease] = std::move(result);
  }
  void OnStoring(uint64_t lease) override {
    absl::MutexLock lock(&mutex_);
    storing_.insert(lease);
  }
  void OnProgress(uint64_t, uint64_t, const Yielded&) override {}
  void OnLearnedMode(uint64_t, uint32_t, Pool) override {}
  void OnStarting(std::vector<uint64_t>) override {}
  void OnStarted(std::vector<StartedCall>) override {}
  void OnOver(std::vector<uint64_t>) override {}
  void OnHookFailed(uint64_t, uint32_t, const CallError&) override {}

  CallResult Wait(uint64_t lease) {
    absl::MutexLock lock(&mutex_);
    const auto is_done = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return done_.contains(lease); };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&is_done), Patience(absl::Seconds(60))));
    return done_[lease];
  }
  bool WaitForStoring(uint64_t lease) {
    absl::MutexLock lock(&mutex_);
    const auto stores = [&]()
                            ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return storing_.contains(lease); };
    return mutex_.AwaitWithTimeout(absl::Condition(&stores), Patience(absl::Seconds(60)));
  }
  bool IsDone(uint64_t lease) {
    absl::MutexLock lock(&mutex_);
    return done_.contains(lease);
  }
  bool IsStoring(uint64_t lease) {
    absl::MutexLock lock(&mutex_);
    return storing_.contains(lease);
  }

 private:
  absl::Mutex mutex_;
  std::map<uint64_t, CallResult> done_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> storing_ ABSL_GUARDED_BY(mutex_);
};

constexpr char kSmall[] = "select 1 as x";
// A million and more bytes.
constexpr char kLarge[] =
    "with recursive c(i) as (select 1 union all select i + 1 from c where i < 20000) "
    "select i, 'a text of fifty characters, so that there are many' as text from c";

class SqlExecutorTest : public testing::Test {
 protected:
  void Start(uint64_t lease, const std::string& code) {
    auto step = std::make_shared<LoadedStep>();
    step->step.name = "query";
    step->step.language = Language::kSqlite;
    step->step.timeout_s = 60;
    step->step.code = code;
    std::vector<Call> calls;
    calls.push_back({.lease = lease, .step = std::move(step)});
    executor_.Start(std::move(calls));
  }

  Events events_;
  FakeBucket bucket_;
  SqlExecutor executor_{{.threads = 1}, &events_, &bucket_};
};

TEST_F(SqlExecutorTest, SmallRowsAreHandedOver) {
  Start(1, kSmall);
  const CallResult result = events_.Wait(1);
  EXPECT_EQ(result.kind, CallResult::Kind::kSucceeded);
  EXPECT_FALSE(result.stored);
  EXPECT_EQ(result.elements, 1);
  EXPECT_FALSE(events_.IsStoring(1));
}

TEST_F(SqlExecutorTest, NextStatementRunsWhileRowsAreStored) {
  bucket_.HoldWriters(true);
  Start(1, kLarge);
  EXPECT_TRUE(events_.WaitForStoring(1));
  Start(2, kSmall);
  events_.Wait(2);
  EXPECT_FALSE(events_.IsDone(1));
  bucket_.HoldWriters(false);
  const CallResult result = events_.Wait(1);
  EXPECT_EQ(result.kind, CallResult::Kind::kSucceeded);
  EXPECT_TRUE(result.stored);
  EXPECT_EQ(result.value_kind, ObjectKind::kList);
  EXPECT_EQ(result.elements, 20'000);
  EXPECT_EQ(bucket_.Read(result.address).elements, 20'000);
}

TEST_F(SqlExecutorTest, NoMoreResultsWaitForTheBucketThanThereAreSlots) {
  bucket_.HoldWriters(true);
  Start(1, kLarge);
  EXPECT_TRUE(events_.WaitForStoring(1));
  Start(2, kLarge);  // It keeps its slot, so that no third one comes to be.
  Start(3, kSmall);
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_FALSE(events_.IsStoring(2));
  EXPECT_FALSE(events_.IsDone(3));
  bucket_.HoldWriters(false);
  for (const uint64_t lease : {1, 2, 3}) {
    EXPECT_EQ(events_.Wait(lease).kind, CallResult::Kind::kSucceeded) << lease;
  }
  EXPECT_EQ(bucket_.size(), 2);
}

TEST_F(SqlExecutorTest, FailureOfALargeQueryIsNotStored) {
  Start(1, absl::StrCat(kLarge, "; select * from nothing"));
  EXPECT_EQ(events_.Wait(1).kind, CallResult::Kind::kFailed);
  EXPECT_EQ(bucket_.size(), 0);
}

TEST_F(SqlExecutorTest, StopWaitsForWhatIsStored) {
  Start(1, kLarge);
  EXPECT_TRUE(events_.WaitForStoring(1));
  executor_.Stop(absl::ZeroDuration());
  EXPECT_TRUE(events_.IsDone(1));
}

}  // namespace
}  // namespace bue::worker
