// ThreadPool runs blocking work off the loop thread: SQL statements, fan-ins, files.
#ifndef BUE_WORKER_CORE_THREAD_POOL_H_
#define BUE_WORKER_CORE_THREAD_POOL_H_

#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace bue::worker {

class ThreadPool {
 public:
  using Work = absl::AnyInvocable<void()>;

  explicit ThreadPool(int threads);
  // Stops.
  ~ThreadPool();

  // In order of posting, as threads become free. Dropped after Stop. Thread-safe. The queue is as
  // long as its users make it: they hold a bounded number of leases.
  void Post(Work work);

  // Drops what has not begun and waits for what has.
  void Stop();

 private:
  void Run();

  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_THREAD_POOL_H_
