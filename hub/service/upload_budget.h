// UploadBudget bounds the memory that uploads under way hold together. An upload says how much it
// will hold at most, and goes on when that much is free: first come, first served, so that a large
// one is not passed for ever. Small ones have a share of their own and never wait for large ones.
//
// Thread-safe. Never blocks.
#ifndef BUE_HUB_SERVICE_UPLOAD_BUDGET_H_
#define BUE_HUB_SERVICE_UPLOAD_BUDGET_H_

#include <cstddef>
#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bue::hub {

struct UploadBudgetOptions {
  size_t small_bytes = 1 << 20;        // An upload of at most this much is small.
  size_t small_bytes_max = 64 << 20;   // Of all small ones.
  size_t large_bytes_max = 256 << 20;  // Of all others; one that is larger has it to itself.
};

class UploadBudget {
 public:
  explicit UploadBudget(UploadBudgetOptions options)
      : options_(options),
        small_{.bytes_max = options.small_bytes_max},
        large_{.bytes_max = options.large_bytes_max} {}

  // True: `bytes` are the caller's, until Release. False: `turn` is called once they are, from
  // somebody's Release or Withdraw, unless `who` withdraws before.
  bool Acquire(const void* who, size_t bytes, std::function<void()> turn)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // True: `who` was waiting, and its turn will not come.
  bool Withdraw(const void* who) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of one upload: as many as it acquired.
  void Release(size_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Waiting {
    const void* who = nullptr;
    size_t bytes = 0;
    std::function<void()> turn;
  };
  struct Lane {
    size_t bytes_max = 0;
    size_t used_bytes = 0;
    std::deque<Waiting> waiting;

    bool HasRoomFor(size_t bytes) const {
      return used_bytes == 0 || used_bytes + bytes <= bytes_max;
    }
  };
  using Turns = std::deque<std::function<void()>>;

  Lane* LaneOf(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return bytes <= options_.small_bytes ? &small_ : &large_;
  }
  // Takes those out of the lane for whom there is room now.
  static void TakeTurns(Lane* lane, Turns* turns);

  const UploadBudgetOptions options_;

  absl::Mutex mutex_;
  Lane small_ ABSL_GUARDED_BY(mutex_);
  Lane large_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_UPLOAD_BUDGET_H_
