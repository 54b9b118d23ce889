// Inbox is how everything reaches the worker's loop: gRPC callbacks, executors, the bucket client
// post what is to be done there, and the loop does it in order, in turns: all that has arrived,
// then what follows from it.
//
// A turn's thread is the loop's own, or that of a small task that finds the loop at rest: it takes
// the turn itself instead of waking another thread, which would take longer than the turn. There is
// never more than one turn at a time, and each sees what those before it did.
#ifndef BUE_WORKER_CORE_INBOX_H_
#define BUE_WORKER_CORE_INBOX_H_

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace bue::worker {

class Inbox {
 public:
  using Task = absl::AnyInvocable<void()>;
  // One turn: does the tasks, and what follows. When the next one is due at the latest.
  using Turn = absl::AnyInvocable<absl::Time(std::vector<Task> tasks)>;

  // From now on posters may take turns. Loop thread; not set: they never do.
  void SetTurn(Turn turn) { turn_ = std::move(turn); }

  // Leaves the task for the loop's thread or, if it is small and the loop rests, takes the turn:
  // then the poster has time for what follows, and holds no lock that this may take. Never blocks
  // otherwise. Dropped after Close. Thread-safe, as are Leave and Serve.
  void Post(Task task, bool small = false) {
    Leave(std::move(task), small);
    Serve();
  }

  // The two halves of a post, for who has to leave tasks in order under a lock of its own: Serve
  // follows without it.
  void Leave(Task task, bool small) {
    absl::MutexLock lock(&mutex_);
    if (closed_) return;
    tasks_.push_back(std::move(task));
    if (!small) ++large_;
  }
  void Serve() {
    std::vector<Task> tasks;
    {
      absl::MutexLock lock(&mutex_);
      // Whoever has the turn now looks again after it.
      if (tasks_.empty() || !waiting_ || posters_turn_) return;
      if (large_ > 0 || tasks_.size() > kPostersTasks || !turn_) return arrived_.Signal();
      posters_turn_ = true;
      tasks.swap(tasks_);
    }
    const absl::Time due = turn_(std::move(tasks));
    absl::MutexLock lock(&mutex_);
    posters_turn_ = false;
    const bool sooner = due < waits_until_;
    if (sooner) waits_until_ = due;
    if (sooner || parked_ || !tasks_.empty()) arrived_.Signal();
  }

  // Loop thread: waits for tasks, at most for `timeout`, and takes them all. It may return without
  // any before that, when a poster's turn was due earlier.
  std::vector<Task> Take(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    waits_until_ = Clock::Real()->Now() + timeout;
    while (posters_turn_ || tasks_.empty()) {
      const absl::Duration left =
          posters_turn_ ? absl::InfiniteDuration() : waits_until_ - Clock::Real()->Now();
      if (left <= absl::ZeroDuration()) break;
      waiting_ = true;
      parked_ = posters_turn_;
      arrived_.WaitWithTimeout(&mutex_, left);
      waiting_ = parked_ = false;
    }
    large_ = 0;
    return std::exchange(tasks_, {});
  }

  void Close() {
    std::vector<Task> dropped;  // Destroyed after the lock is released.
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    dropped.swap(tasks_);
  }

 private:
  // More are the loop's thread's: a turn is not to hold up its poster, for whom others wait.
  static constexpr size_t kPostersTasks = 4;

  Turn turn_;  // Constant once somebody waits.

  absl::Mutex mutex_;
  absl::CondVar arrived_;  // The loop's thread waits here.
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  size_t large_ ABSL_GUARDED_BY(mutex_) = 0;           // Of them, not small.
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;       // The loop's thread is,
  absl::Time waits_until_ ABSL_GUARDED_BY(mutex_);     // at most until then.
  bool posters_turn_ ABSL_GUARDED_BY(mutex_) = false;  // A poster takes one,
  bool parked_ ABSL_GUARDED_BY(mutex_) = false;        // whose end the loop's thread waits for.
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_INBOX_H_
