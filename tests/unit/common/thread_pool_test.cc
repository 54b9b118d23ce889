#include "common/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace bue {
namespace {

TEST(ThreadPoolTest, RunsWhatWasPostedBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool(2);
    for (int i = 0; i < 1000; ++i) pool.Post([&ran] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(ThreadPoolTest, KeepsTheOrderOfPosting) {
  std::vector<int> order;
  {
    ThreadPool pool(1);
    for (int i = 0; i < 100; ++i) pool.Post([&order, i] { order.push_back(i); });
  }
  for (int i = 0; i < 100; ++i) ASSERT_EQ(order[i], i);
}

TEST(ThreadPoolTest, AStopDropsWhatHasNotBegun) {
  std::atomic<int> ran = 0;
  absl::Notification begun;
  absl::Notification go_on;
  ThreadPool pool(1);
  pool.Post([&] {
    begun.Notify();
    go_on.WaitForNotification();
    ++ran;
  });
  begun.WaitForNotification();
  for (int i = 0; i < 10; ++i) pool.Post([&ran] { ++ran; });
  std::thread stopping([&pool] { pool.Stop(); });
  while (pool.TryPost([&ran] { ++ran; })) std::this_thread::yield();
  go_on.Notify();
  stopping.join();
  pool.Post([&ran] { ++ran; });
  EXPECT_EQ(ran, 1);
}

TEST(ThreadPoolTest, RefusesWhatIsTooMuch) {
  absl::Notification begun;
  absl::Notification go_on;
  ThreadPool pool(1, /*queue_max=*/2);
  pool.Post([&] {
    begun.Notify();
    go_on.WaitForNotification();
  });
  begun.WaitForNotification();
  EXPECT_TRUE(pool.TryPost([] {}));
  EXPECT_TRUE(pool.TryPost([] {}));
  EXPECT_FALSE(pool.TryPost([] {}));
  go_on.Notify();
}

}  // namespace
}  // namespace bue
