// Shortcut lets the thread that read a small request carry it out, which saves waking one of the
// pool: a tenth of what a single put takes. Meanwhile that thread reads and calls back for nobody
// (common/rpc_poller.h), so it does so only for who has the bucket to himself: others' requests are
// better written while a sync is under way, and share the next one.
//
// Thread-safe.
#ifndef BUE_BUCKET_SHORTCUT_H_
#define BUE_BUCKET_SHORTCUT_H_

#include <cstdint>

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

  // Whether `user`, whose request has come alone, is the only one there is.
  bool MayTake(const void* user, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (user != last_user_ && now - last_use_ < kThere) others_until_ = now + kThere;
    last_user_ = user;
    last_use_ = now;
    return now >= others_until_;
  }

 private:
  absl::Mutex mutex_;
  const void* last_user_ ABSL_GUARDED_BY(mutex_) = nullptr;  // Not looked into: it may be gone.
  absl::Time last_use_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time others_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_SHORTCUT_H_
