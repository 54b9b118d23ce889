// The WatchRun call: a run's status at once, then whenever it changed, at most one each interval,
// the last when the run has ended.
#ifndef BUE_HUB_SERVICE_WATCH_H_
#define BUE_HUB_SERVICE_WATCH_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"
#include "hub/scheduler/effects.h"
#include "hub/service/requests.h"

namespace grpc {
class Alarm;
template <typename Response>
class ServerWriteReactor;
}  // namespace grpc

namespace bue::hub {

// The call that tells of a run. It does as it is told, without calling back from within.
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  virtual void Write(v1::RunStatus* status) = 0;      // `status` is its until Watch::WriteDone.
  virtual void WriteLast(v1::RunStatus* status) = 0;  // One of the two
  virtual void End(const absl::Status& status) = 0;   // is its end.
};

// Asks, writes, rests, and again: one of the three is under way at a time, and what ends it decides
// what comes next. The run's end and the call's may come at any time; they wait for an answer or a
// write under way, and cut a rest short. Thread-safe.
class Watch : public std::enable_shared_from_this<Watch> {
 public:
  // `stream` lives until it was told its end. With an infinite interval nothing but the run's end
  // is told.
  Watch(Requests* requests, uint64_t run, absl::Duration interval, WatchStream* stream)
      : run(run), requests_(requests), interval_(interval), stream_(stream) {}

  void Start() { Ask(); }
  void WriteDone(bool ok);
  void Cancelled() { End(absl::CancelledError("the watcher is gone")); }

  void RunEnded(const RunStatus& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const uint64_t run;

 private:
  void Ask();
  void Take(Reply reply) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Changed();
  bool EndIfOver() ABSL_LOCKS_EXCLUDED(mutex_);
  void Rest() ABSL_LOCKS_EXCLUDED(mutex_);
  bool EndRest() ABSL_LOCKS_EXCLUDED(mutex_);
  void LeaveRest();

  Requests* const requests_;
  const absl::Duration interval_;
  WatchStream* const stream_;

  // Used by whatever is under way.
  v1::RunStatus message_;
  std::string last_;  // What was sent last, but the pace.

  absl::Mutex mutex_;
  bool resting_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);  // Ends a rest.
  std::optional<v1::RunStatus> ended_ ABSL_GUARDED_BY(mutex_);  // The last status.
  absl::Status end_ ABSL_GUARDED_BY(mutex_);                    // Why the call ends before.
};

struct WatchOptions {
  size_t watches_max = 0;
  absl::Duration interval;  // Where a client leaves it to the hub.
  absl::Duration interval_min;
};

// All watches under way. Thread-safe.
class Watches {
 public:
  Watches(Requests* requests, const WatchOptions& options)
      : requests_(requests), options_(options) {}

  // Room for one watch, until Leave. An error if there is none.
  absl::Status Enter() ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave() ABSL_LOCKS_EXCLUDED(mutex_);

  // A watch of `run` by who has entered, to be started and in the end removed.
  absl::StatusOr<std::shared_ptr<Watch>> Add(uint64_t run, const v1::WatchRunRequest& request,
                                             WatchStream* stream) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const std::shared_ptr<Watch>& watch) ABSL_LOCKS_EXCLUDED(mutex_);

  // Tells those who watch them.
  void RunsEnded(const std::vector<RunStatus>& runs) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends all, and every later one.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using WatchSet = absl::flat_hash_set<std::shared_ptr<Watch>>;

  Requests* const requests_;
  const WatchOptions options_;

  absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, WatchSet> watches_of_run_ ABSL_GUARDED_BY(mutex_);
  size_t entered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

// A WatchRun call. Ends by itself.
grpc::ServerWriteReactor<v1::RunStatus>* ServeWatch(Watches* watches,
                                                    const v1::WatchRunRequest& request);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WATCH_H_
