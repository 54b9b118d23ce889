// TSan with tsan_locks.cc is neither blind nor noisy: it reports threads that share a number
// without a lock, with different ones, or after they unlocked, and none that hand it over by a
// mutex, a condition, a condition variable or a notification. Only in TSan builds.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace bue {
namespace {

constexpr int kRounds = 1000;
constexpr int kReported = 66;  // How a process ends in which TSan reported something.

struct Shared {
  absl::Mutex mutex;
  absl::Mutex another;
  absl::CondVar changed;
  absl::Notification told;
  int number = 0;
};

void InTwoThreads(const std::function<void()>& first, const std::function<void()>& second) {
  std::thread one(first);
  std::thread two(second);
  one.join();
  two.join();
}

// Ends the process as TSan says. Abseil's own search for deadlocks would do so before.
void Share(void (*first)(Shared*), void (*second)(Shared*)) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  {
    Shared shared;
    InTwoThreads([&] { first(&shared); }, [&] { second(&shared); });
  }
  std::exit(0);
}

void Count(Shared* shared) { ++shared->number; }
void CountLocked(Shared* shared) {
  for (int i = 0; i < kRounds; ++i) {
    absl::MutexLock lock(&shared->mutex);
    ++shared->number;
  }
}
void CountUnderAnother(Shared* shared) {
  absl::MutexLock lock(&shared->another);
  ++shared->number;
}
void CountAfterUnlocking(Shared* shared) {
  { absl::MutexLock lock(&shared->mutex); }
  ++shared->number;
}
void CountAfterWaiting(Shared* shared) {
  {
    absl::MutexLock lock(&shared->mutex);
    shared->changed.WaitWithTimeout(&shared->mutex, absl::Milliseconds(1));
  }
  ++shared->number;
}
void LockBoth(Shared* shared) {
  absl::MutexLock lock(&shared->mutex);
  absl::MutexLock lock_another(&shared->another);
}
void LockBothTheOtherWay(Shared* shared) {
  absl::MutexLock lock_another(&shared->another);
  absl::MutexLock lock(&shared->mutex);
}

class TsanReports : public testing::Test {
 protected:
  TsanReports() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(TsanReports, NoLock) {
  EXPECT_EXIT(Share(Count, Count), testing::ExitedWithCode(kReported), "data race");
}

TEST_F(TsanReports, ALockOnOneSideOnly) {
  EXPECT_EXIT(Share(CountLocked, Count), testing::ExitedWithCode(kReported), "data race");
}

TEST_F(TsanReports, DifferentLocks) {
  EXPECT_EXIT(Share(CountLocked, CountUnderAnother), testing::ExitedWithCode(kReported),
              "data race");
}

TEST_F(TsanReports, WhatComesAfterUnlocking) {
  EXPECT_EXIT(Share(CountAfterUnlocking, CountAfterUnlocking), testing::ExitedWithCode(kReported),
              "data race");
}

TEST_F(TsanReports, WhatComesAfterWaiting) {
  EXPECT_EXIT(Share(CountAfterWaiting, CountAfterWaiting), testing::ExitedWithCode(kReported),
              "data race");
}

TEST_F(TsanReports, LocksTakenInTwoOrders) {
  EXPECT_EXIT(Share(LockBoth, LockBothTheOtherWay), testing::ExitedWithCode(kReported),
              "lock-order-inversion");
}

// Here every report of TSan's fails the test's process.
TEST(TsanIsSilent, UnderALock) {
  Shared shared;
  InTwoThreads([&] { CountLocked(&shared); }, [&] { CountLocked(&shared); });
  EXPECT_EQ(shared.number, 2 * kRounds);
}

// Each waits for the other's number; who unlocks looks whether the other may go on.
TEST(TsanIsSilent, AboutConditions) {
  Shared shared;
  const auto count = [&](int remainder) {
    const auto mine = [&shared, remainder] { return shared.number % 2 == remainder; };
    for (int i = 0; i < kRounds; ++i) {
      absl::MutexLock lock(&shared.mutex);
      if (i % 2 == 0) {
        shared.mutex.Await(absl::Condition(&mine));
      } else {
        EXPECT_TRUE(shared.mutex.AwaitWithTimeout(absl::Condition(&mine), absl::Minutes(1)));
      }
      ++shared.number;
    }
  };
  InTwoThreads([&] { count(0); }, [&] { count(1); });
  EXPECT_EQ(shared.number, 2 * kRounds);
}

TEST(TsanIsSilent, AboutConditionVariables) {
  Shared shared;
  const auto count = [&](int remainder) {
    for (int i = 0; i < kRounds; ++i) {
      absl::MutexLock lock(&shared.mutex);
      while (shared.number % 2 != remainder) {
        if (i % 2 == 0) {
          shared.changed.Wait(&shared.mutex);
        } else {
          shared.changed.WaitWithTimeout(&shared.mutex, absl::Minutes(1));
        }
      }
      ++shared.number;
      shared.changed.Signal();
    }
  };
  InTwoThreads([&] { count(0); }, [&] { count(1); });
  EXPECT_EQ(shared.number, 2 * kRounds);
}

TEST(TsanIsSilent, AboutNotifications) {
  const auto tell = [](Shared* shared) {
    ++shared->number;
    shared->told.Notify();
  };
  for (int i = 0; i < kRounds; ++i) {
    Shared shared;
    InTwoThreads([&] { tell(&shared); },
                 [&] {
                   shared.told.WaitForNotification();
                   ++shared.number;
                 });
    Shared asked;
    InTwoThreads([&] { tell(&asked); },
                 [&] {
                   while (!asked.told.HasBeenNotified()) std::this_thread::yield();
                   ++asked.number;
                 });
    EXPECT_EQ(shared.number + asked.number, 4);
  }
}

}  // namespace
}  // namespace bue
