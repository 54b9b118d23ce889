// BlockingPool runs what must not hold up a gRPC callback or a turn: reads and writes of the store,
// hashing, large conversions. A few threads, a bounded queue, first come first served.
//
// Thread-safe.
#ifndef BUE_HUB_SERVICE_BLOCKING_POOL_H_
#define BUE_HUB_SERVICE_BLOCKING_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bue::hub {

class BlockingPool {
 public:
  BlockingPool(int threads, size_t jobs_max);
  ~BlockingPool();  // Finishes every job it took.

  // False: the queue is full, and the job is dropped.
  [[nodiscard]] bool Add(std::function<void()> job) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run();

  const size_t jobs_max_;

  absl::Mutex mutex_;
  absl::CondVar wake_;
  std::deque<std::function<void()>> jobs_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::thread> threads_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_BLOCKING_POOL_H_
