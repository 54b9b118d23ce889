// GroupSync shares syncs: one covers every write that came before it, so that a thousand puts that
// arrive during one sync cost the next one, together. Whoever finds no sync under way does it on
// his own thread (an idle bucket answers without a hop), and those for who comes meanwhile, too.
// Thread-safe.
#ifndef BUE_BUCKET_GROUP_SYNC_H_
#define BUE_BUCKET_GROUP_SYNC_H_

#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "bucket/object_store.h"
#include "common/thread_pool.h"

namespace bue::bucket {

class GroupSync {
 public:
  // `store` outlives it.
  explicit GroupSync(ObjectStore* store) : store_(store) {}

  // Calls `done` after a sync that began after this call, maybe before this returns. May keep the
  // calling thread busy syncing for others, unless those are left to `others`. `done` must not
  // block.
  using Done = std::function<void(const absl::Status&)>;
  void Wait(Done done, ThreadPool* others = nullptr);

 private:
  void SyncAll();
  // For all who wait now. False: there was nobody, and no sync is under way any more.
  bool SyncOnce();

  ObjectStore* const store_;

  absl::Mutex mutex_;
  std::vector<Done> waiting_ ABSL_GUARDED_BY(mutex_);
  bool syncing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_GROUP_SYNC_H_
