// Requests carries clients' questions to the scheduler and its answers back: the service asks with
// a function, the outbox delivers replies by number.
//
// Thread-safe. Never blocks.
#ifndef BUE_HUB_SERVICE_REQUESTS_H_
#define BUE_HUB_SERVICE_REQUESTS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

class Requests {
 public:
  // `post` leaves a command for the next turn; it outlives this.
  using Post = std::function<absl::Status(Command)>;
  explicit Requests(Post post) : post_(std::move(post)) {}

  // Posts `command`, whose `request` is filled in here. `answer` is called exactly once: with the
  // scheduler's reply, on the turn's or the sync's thread, or with the error that kept it from
  // being asked. It must not block. An answer whose asker is gone must keep what it touches alive.
  using Answer = std::function<void(Reply)>;
  void Ask(Command command, Answer answer) ABSL_LOCKS_EXCLUDED(mutex_);

  void Deliver(std::vector<Reply>* replies) ABSL_LOCKS_EXCLUDED(mutex_);

  // Answers all that are open, and all that come, with `status`: there will be no further turn.
  void FailAll(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Answer Take(uint64_t request) ABSL_LOCKS_EXCLUDED(mutex_);

  const Post post_;

  absl::Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Answer> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_REQUESTS_H_
