// Shortcut lets the thread that read a small request carry it out, which saves waking one of the
// pool: a tenth of what a single put takes. Meanwhile that thread reads and calls back for nobody
// (common/rpc_poller.h), so it does so only for who has the puts, or the gets, to himself: others'
// puts are better written while a sync is under way, and share the next one. And only where the
// disk is quick; and for one request at a time, so that a disk that stands still stops one thread.
//
// Thread-safe.
#ifndef BUE_BUCKET_SHORTCUT_H_
#define BUE_BUCKET_SHORTCUT_H_

#include <algorithm>
#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bue::bucket {

class Shortcut {
 public:
  // A message that was awaited for longer than this came alone.
  static constexpr absl::Duration kAlone = absl::Microseconds(100);
  // Whoever asked within this time is still there.
  static constexpr absl::Duration kThere = absl::Milliseconds(2);

  // Took so long: it was the disk that was waited for, and will be.
  static constexpr absl::Duration kLong = absl::Milliseconds(2);
  static constexpr absl::Duration kDiskStaysSlow = absl::Seconds(1);

  // `taken` outlives it: of all that share it, one at a time is taken.
  explicit Shortcut(std::atomic<bool>* taken) : taken_(taken) {}

  // Whether `user`, whose request has come alone, is the only one there is.
  bool MayTake(const void* user, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (user != last_user_ && now - last_use_ < kThere) UsePoolUntil(now + kThere);
    last_user_ = user;
    last_use_ = now;
    return now >= pool_until_;
  }

  // Who may, does; then calls Leave. False: somebody else is at it.
  bool Take() { return !taken_->exchange(true); }

  void Leave(absl::Time taken_at, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      last_use_ = now;  // Who comes now may have come meanwhile.
      if (now - taken_at > kLong) UsePoolUntil(now + kDiskStaysSlow);
    }
    taken_->store(false);
  }

 private:
  void UsePoolUntil(absl::Time until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    pool_until_ = std::max(pool_until_, until);
  }

  std::atomic<bool>* const taken_;
  absl::Mutex mutex_;
  const void* last_user_ ABSL_GUARDED_BY(mutex_) = nullptr;  // Not looked into: it may be gone.
  absl::Time last_use_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time pool_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_SHORTCUT_H_
