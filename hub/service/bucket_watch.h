// BucketWatch asks every bucket every now and then whether it is there. The hub needs none of them
// to decide, but a run whose values cannot be stored stands still without a word: so the log says
// when a bucket is away and when it is back, and clients are told.
// Thread-safe.
#ifndef BUE_HUB_SERVICE_BUCKET_WATCH_H_
#define BUE_HUB_SERVICE_BUCKET_WATCH_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bue::hub {

struct BucketWatchOptions {
  absl::Duration interval = absl::Seconds(1);
  int misses = 2;  // So many in a row, and a bucket is away: a restart takes less.
};

// A bucket that does not answer.
struct AwayBucket {
  std::string bucket;
  absl::Time since;  // The first time that it did not.
};

class BucketWatch {
 public:
  // Whether the bucket of this index answers. Called by the watch's thread; may take a few seconds.
  using Ask = std::function<absl::Status(size_t bucket)>;

  BucketWatch(BucketWatchOptions options, std::vector<std::string> buckets, Ask ask);
  // Waits for the question that is under way.
  ~BucketWatch();

  void Start();

  // Asks each bucket once.
  void Look(absl::Time now);

  // In the order of the buckets.
  std::vector<AwayBucket> Away() const;

 private:
  struct Bucket {
    std::string name;
    int misses = 0;  // In a row.
    absl::Time since;
  };

  void Run();
  void Note(size_t index, const absl::Status& status, absl::Time now);
  bool Pause();

  const BucketWatchOptions options_;
  const Ask ask_;

  mutable absl::Mutex mutex_;
  absl::CondVar wake_;
  std::vector<Bucket> buckets_ ABSL_GUARDED_BY(mutex_);  // Their number is constant.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_BUCKET_WATCH_H_
