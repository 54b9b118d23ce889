// Sweeper removes from the buckets what nobody wants: values of deleted runs, of attempts that were
// lost or came too late, puts that were never reported, captured output of runs that are gone. It
// lists a bucket's objects in batches and asks the hub about each; what the hub disowns is deleted,
// and nothing for its age alone. At its own pace, in bounded memory.
//
// One thread of its own.
#ifndef BUE_HUB_SERVICE_SWEEPER_H_
#define BUE_HUB_SERVICE_SWEEPER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/bucket_client/bucket_client.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

struct SweeperOptions {
  absl::Duration interval = absl::Minutes(10);  // Between sweeps; zero: never.
  // Younger objects are not even asked about: most of what is there is about to be reported.
  absl::Duration grace = absl::Minutes(10);
  size_t batch = 1024;  // Objects of one question.
  // After each batch: ten thousand objects a second at most, and a turn in between.
  absl::Duration pause = absl::Milliseconds(100);
  size_t unclaimed_max = 65536;  // Addresses remembered until captured output was looked through.
};

// What a sweeper needs of the world. All of it may block.
struct SweeperParts {
  std::function<absl::StatusOr<std::vector<BucketInfo>>()> buckets;
  std::function<absl::StatusOr<std::vector<ListedObject>>(uint64_t after, size_t limit)> list;
  std::function<absl::Status(std::vector<uint64_t> addresses)> remove;
  // The scheduler's answer.
  std::function<absl::StatusOr<OwnershipList>(QueryOwnership query)> ask;
  // Visits where the captured output of a run lies.
  std::function<absl::Status(uint64_t run, const std::function<void(uint64_t address)>& visit)>
      outputs;
};

class Sweeper {
 public:
  struct Counts {
    uint64_t objects = 0;  // Listed.
    uint64_t young = 0;    // Not asked about.
    uint64_t deleted = 0;
    uint64_t bytes = 0;  // Of those.
  };

  Sweeper(SweeperOptions options, SweeperParts parts);
  ~Sweeper();  // Breaks a sweep off. Whoever answers `ask` must still answer.

  void Start();

  // One sweep of all buckets, on the calling thread. What it could not do is logged.
  Counts Sweep() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Unclaimed {
    uint64_t address = 0;
    uint64_t bytes = 0;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status SweepBucket(const BucketInfo& bucket, Counts* counts);
  absl::Status SweepBatch(const std::vector<ListedObject>& listed, Counts* counts);
  // Deletes what no captured output claims.
  absl::Status SettleUnclaimed(Counts* counts);
  absl::Status Delete(const std::vector<Unclaimed>& objects, Counts* counts);
  // False: stop.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);

  const SweeperOptions options_;
  const SweeperParts parts_;

  // Used by the sweep under way only.
  std::map<uint64_t, std::vector<Unclaimed>> unclaimed_;  // By run.
  size_t unclaimed_count_ = 0;

  absl::Mutex mutex_;
  absl::CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_SWEEPER_H_
