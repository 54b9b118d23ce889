// Inbox is how everything reaches the worker's loop thread: gRPC callbacks, executors, the bucket
// client post what is to be done there, in batches, and the loop does it in order.
#ifndef BUE_WORKER_CORE_INBOX_H_
#define BUE_WORKER_CORE_INBOX_H_

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bue::worker {

class Inbox {
 public:
  using Task = absl::AnyInvocable<void()>;

  // Never blocks. Dropped after Close. Thread-safe.
  void Post(Task task) {
    absl::MutexLock lock(&mutex_);
    if (closed_) return;
    tasks_.push_back(std::move(task));
    if (waiting_) arrived_.Signal();
  }

  // Loop thread: waits for tasks, at most for `timeout`, and moves them all to `tasks`, which is
  // empty before.
  void Take(absl::Duration timeout, std::vector<Task>* tasks) {
    absl::MutexLock lock(&mutex_);
    if (tasks_.empty() && timeout > absl::ZeroDuration()) {
      waiting_ = true;
      arrived_.WaitWithTimeout(&mutex_, timeout);
      waiting_ = false;
    }
    tasks_.swap(*tasks);
  }

  void Close() {
    std::vector<Task> dropped;  // Destroyed after the lock is released.
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    dropped.swap(tasks_);
  }

 private:
  absl::Mutex mutex_;
  absl::CondVar arrived_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_INBOX_H_
