#include "worker/core/inbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/support/patience.h"

namespace bue::worker {
namespace {

const absl::Duration kPatience = Patience(absl::Seconds(30));

// A loop whose turns do their tasks and are due again when `due` says.
class InboxTest : public testing::Test {
 protected:
  ~InboxTest() override {
    if (!loop_.joinable()) return;
    inbox_.Post([this] { over_ = true; });
    loop_.join();
  }

  void StartLoop() {
    loop_ = std::thread([this] {
      inbox_.SetTurn([this](std::vector<Inbox::Task> tasks) { return Turn(std::move(tasks)); });
      while (!over_) {
        ++takes_;
        Turn(inbox_.Take(absl::Hours(1)));
      }
    });
    AwaitRest();
  }

  // A poster takes its own turn once the loop's thread waits.
  void AwaitRest() {
    const absl::Time deadline = absl::Now() + kPatience;
    std::thread::id thread;
    while (thread != std::this_thread::get_id() && absl::Now() < deadline) {
      absl::Notification done;
      inbox_.Post(
          [&] {
            thread = std::this_thread::get_id();
            done.Notify();
          },
          /*small=*/true);
      ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
    }
    ASSERT_EQ(thread, std::this_thread::get_id());
  }

  std::thread::id ThreadOf(bool small) {
    std::thread::id thread;
    absl::Notification done;
    inbox_.Post(
        [&] {
          thread = std::this_thread::get_id();
          done.Notify();
        },
        small);
    done.WaitForNotification();
    return thread;
  }

  absl::Time Turn(std::vector<Inbox::Task> tasks) {
    EXPECT_FALSE(in_turn_.exchange(true));
    for (Inbox::Task& task : tasks) task();
    tasks.clear();
    ++turns_;
    in_turn_ = false;
    return due_;
  }

  Inbox inbox_;
  std::thread loop_;
  std::atomic<bool> in_turn_ = false;
  std::atomic<int> takes_ = 0;
  // Used in turns only.
  bool over_ = false;
  int turns_ = 0;
  absl::Time due_ = absl::InfiniteFuture();
};

TEST_F(InboxTest, ASmallTaskThatFindsTheLoopAtRestRunsAtOnce) {
  StartLoop();
  bool ran = false;
  inbox_.Post([&ran] { ran = true; }, /*small=*/true);
  EXPECT_TRUE(ran);
}

TEST_F(InboxTest, AnyOtherTaskRunsOnTheLoopsThread) {
  StartLoop();
  EXPECT_EQ(ThreadOf(/*small=*/false), loop_.get_id());
}

TEST_F(InboxTest, WhatIsPostedDuringAPostersTurnIsTheLoopsThreads) {
  StartLoop();
  absl::Notification done;
  std::thread::id thread;
  inbox_.Post(
      [&] {
        inbox_.Post(
            [&] {
              thread = std::this_thread::get_id();
              done.Notify();
            },
            /*small=*/true);
        EXPECT_FALSE(done.HasBeenNotified());
      },
      /*small=*/true);
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(thread, loop_.get_id());
}

TEST_F(InboxTest, WithoutATurnPostersTakeNone) {
  absl::Notification done;
  std::thread loop([this, &done] {
    while (!done.HasBeenNotified()) Turn(inbox_.Take(absl::Hours(1)));
  });
  std::thread::id thread;
  inbox_.Post(
      [&] {
        thread = std::this_thread::get_id();
        done.Notify();
      },
      /*small=*/true);
  const std::thread::id loops = loop.get_id();
  loop.join();
  EXPECT_EQ(thread, loops);
}

TEST_F(InboxTest, APostersTurnThatIsDueSoonerEndsTheLoopsWait) {
  StartLoop();
  const int takes = takes_;
  inbox_.Post([this] { due_ = absl::InfinitePast(); }, /*small=*/true);
  const absl::Time deadline = absl::Now() + kPatience;
  while (takes_ == takes && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_GT(takes_, takes);
}

TEST_F(InboxTest, TasksOfManyPostersRunOneAtATimeAndInTheOrderOfEach) {
  constexpr int kPosters = 4;
  constexpr int kTasks = 2000;
  StartLoop();
  int next[kPosters] = {};
  std::atomic<int> left = kPosters * kTasks;
  std::vector<std::thread> posters;
  for (int poster = 0; poster < kPosters; ++poster) {
    posters.emplace_back([&, poster] {
      for (int i = 0; i < kTasks; ++i) {
        inbox_.Post(
            [&, poster, i] {
              EXPECT_EQ(next[poster]++, i);
              --left;
            },
            /*small=*/i % 3 != 0);
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  const absl::Time deadline = absl::Now() + kPatience;
  while (left > 0 && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_EQ(left, 0);
}

TEST_F(InboxTest, NothingRunsAfterItIsClosed) {
  inbox_.Post([] { FAIL(); });
  inbox_.Close();
  inbox_.Post([] { FAIL(); }, /*small=*/true);
  EXPECT_TRUE(inbox_.Take(absl::ZeroDuration()).empty());
}

// Its timeout passes while a poster has the turn, and that turn has nothing for it.
TEST(InboxTimeoutTest, TheLoopWakesAfterAPostersTurn) {
  Inbox inbox;
  std::atomic<bool> posters_turn = false, over = false;
  std::atomic<int> takes = 0;
  inbox.SetTurn([&](std::vector<Inbox::Task>) {
    posters_turn = true;
    // Until the loop's thread waits for the end of this turn.
    const absl::Time until = absl::Now() + absl::Milliseconds(150);
    while (absl::Now() < until) std::this_thread::yield();
    return absl::InfiniteFuture();
  });
  std::thread loop([&] {
    while (!over) {
      inbox.Take(absl::Milliseconds(50));
      ++takes;
    }
  });
  const absl::Time deadline = absl::Now() + kPatience;
  while (!posters_turn && absl::Now() < deadline) inbox.Post([] {}, /*small=*/true);
  const int before = takes;
  while (takes == before && absl::Now() < deadline) std::this_thread::yield();
  EXPECT_GT(takes, before);
  over = true;
  inbox.Post([] {});  // Ends a wait that would not end.
  loop.join();
}

}  // namespace
}  // namespace bue::worker
