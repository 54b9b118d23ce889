// ObjectDeleter removes from the buckets what nobody will ask for again. Deleting is a courtesy:
// while the buckets cannot be reached, addresses wait in a bounded queue, and what falls out of it,
// like what a crash forgets, is left to the buckets' own sweep.
//
// Thread-safe. One thread of its own.
#ifndef BUE_HUB_SERVICE_OBJECT_DELETER_H_
#define BUE_HUB_SERVICE_OBJECT_DELETER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bue::hub {

struct ObjectDeleterOptions {
  size_t batch_max = 10000;     // Addresses of one call.
  size_t queued_max = 4 << 20;  // Addresses that wait; the oldest give way.
  absl::Duration retry = absl::Seconds(1);
};

class ObjectDeleter {
 public:
  // `remove` deletes durably and may block; it outlives the deleter.
  using Remove = std::function<absl::Status(std::vector<uint64_t> addresses)>;
  ObjectDeleter(ObjectDeleterOptions options, Remove remove);
  ~ObjectDeleter();  // Gives up what still waits.

  void Add(std::vector<uint64_t> addresses) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for addresses; an empty batch: stop.
  std::vector<uint64_t> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // Tries until it works, fails for good, or the deleter stops.
  void Delete(const std::vector<uint64_t>& batch) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Pause() ABSL_LOCKS_EXCLUDED(mutex_);

  const ObjectDeleterOptions options_;
  const Remove remove_;

  absl::Mutex mutex_;
  absl::CondVar wake_;
  std::deque<uint64_t> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_OBJECT_DELETER_H_
