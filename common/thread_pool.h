// ThreadPool runs what must not hold up a loop or a callback: disks, SQL statements, large
// conversions. A few threads, first come, first served.
//
// Thread-safe.
#ifndef BUE_COMMON_THREAD_POOL_H_
#define BUE_COMMON_THREAD_POOL_H_

#include <cstddef>
#include <deque>
#include <limits>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace bue {

class ThreadPool {
 public:
  using Work = absl::AnyInvocable<void()>;

  // `queue_max`: how much may wait, for those who ask TryPost.
  explicit ThreadPool(int threads, size_t queue_max = std::numeric_limits<size_t>::max());
  ~ThreadPool();  // Finishes.

  // For users who bound what they post themselves. Dropped after Stop.
  void Post(Work work);
  // False: too much waits already, or it was stopped; the work is dropped.
  [[nodiscard]] bool TryPost(Work work);

  // Either is the end, once; not from within work. Finish runs what was posted, and what that
  // posts, but takes nothing by TryPost; Stop drops what has not begun. Both wait for what runs.
  void Finish();
  void Stop();

 private:
  void Run();
  void Join();

  const size_t queue_max_;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;   // Threads end when the queue is empty.
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;  // Nothing is taken any more.

  std::vector<std::thread> threads_;
};

}  // namespace bue

#endif  // BUE_COMMON_THREAD_POOL_H_
