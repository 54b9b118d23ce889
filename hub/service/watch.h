// The WatchRun call: a run's status at once, then whenever it changed, at most one each interval,
// the last when the run has ended.
#ifndef BUE_HUB_SERVICE_WATCH_H_
#define BUE_HUB_SERVICE_WATCH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"
#include "hub/scheduler/effects.h"
#include "hub/service/requests.h"

namespace grpc {
template <typename Response>
class ServerWriteReactor;
}  // namespace grpc

namespace bue::hub {

// All watches under way. Thread-safe.
class Watches {
 public:
  Watches(Requests* requests, size_t watches_max)
      : requests_(requests), watches_max_(watches_max) {}

  // Ends by itself, with an error at once if there are too many. With an infinite interval nothing
  // but the run's end is told.
  grpc::ServerWriteReactor<v1::RunStatus>* Start(uint64_t run, absl::Duration interval);

  // Tells those who watch them.
  void RunsEnded(const std::vector<RunStatus>& runs) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends all, and every later one.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Watch;
  using WatchSet = absl::flat_hash_set<std::shared_ptr<Watch>>;

  void Forget(const std::shared_ptr<Watch>& watch) ABSL_LOCKS_EXCLUDED(mutex_);

  Requests* const requests_;
  const size_t watches_max_;

  absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, WatchSet> watches_of_run_ ABSL_GUARDED_BY(mutex_);
  size_t watches_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WATCH_H_
