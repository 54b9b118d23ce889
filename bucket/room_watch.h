// RoomWatch knows whether the disk has room for values. While it has not, streams wait here; the
// watch looks again and again, has the store give back what was deleted, and wakes them up.
//
// Thread-safe. One thread of its own, idle while there is room.
#ifndef BUE_BUCKET_ROOM_WATCH_H_
#define BUE_BUCKET_ROOM_WATCH_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bucket/object_store.h"

namespace bue::bucket {

class RoomWatch {
 public:
  // `store` outlives it.
  explicit RoomWatch(ObjectStore* store);
  ~RoomWatch();  // Forgets who waits.

  // OK: write. Otherwise why not, and `wake` is called, once, when there is room; `waiter` can wait
  // once at a time. `wake` must not block.
  using Wake = std::function<void()>;
  absl::Status Check(const void* waiter, Wake wake) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until somebody waits and it is time to look. False: stop.
  bool AwaitLook() ABSL_LOCKS_EXCLUDED(mutex_);
  void WakeAll() ABSL_LOCKS_EXCLUDED(mutex_);

  ObjectStore* const store_;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time full_since_ ABSL_GUARDED_BY(mutex_);  // While somebody waits.
  absl::flat_hash_map<const void*, Wake> waiting_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_ROOM_WATCH_H_
