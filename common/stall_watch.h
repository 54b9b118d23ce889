// StallWatch has streams look at themselves every second or so: whether their peer has stopped
// reading or sending, and so holds memory that others could use.
//
// Thread-safe. One thread of its own, idle while there is no stream.
#ifndef BUE_COMMON_STALL_WATCH_H_
#define BUE_COMMON_STALL_WATCH_H_

#include <functional>
#include <list>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bue {

class StallWatch {
 public:
  // A stream whose peer does nothing for `patience` is stalled.
  explicit StallWatch(absl::Duration patience);
  ~StallWatch();  // After the last stream.

  absl::Duration patience() const { return patience_; }

  // Calls `look` again and again, on the watch's thread, until it returns false. It must not block.
  using Look = std::function<bool(absl::Time now)>;
  void Add(Look look) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  const absl::Duration patience_;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<Look> added_ ABSL_GUARDED_BY(mutex_);  // Since the last round.

  std::thread thread_;
};

}  // namespace bue

#endif  // BUE_COMMON_STALL_WATCH_H_
