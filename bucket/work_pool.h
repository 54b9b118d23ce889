// WorkPool is the few threads that touch the disk, so that no gRPC callback ever does.
// Thread-safe.
#ifndef BUE_BUCKET_WORK_POOL_H_
#define BUE_BUCKET_WORK_POOL_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bue::bucket {

class WorkPool {
 public:
  explicit WorkPool(int threads);
  ~WorkPool();  // Runs what was posted, then joins.

  // First come, first served. What is posted is bounded by the streams: each has at most one job.
  void Post(std::function<void()> job);

 private:
  void Run();

  absl::Mutex mutex_;
  absl::CondVar wake_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::function<void()>> jobs_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::thread> threads_;
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_WORK_POOL_H_
