// OutputLog keeps what running attempts printed: of each the first and the last 32 KiB.
// Thread-safe.
#ifndef BUE_WORKER_PYTHON_OUTPUT_LOG_H_
#define BUE_WORKER_PYTHON_OUTPUT_LOG_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace bue::worker {

inline constexpr size_t kOutputHalfBytes = 32 << 10;

class OutputLog {
 public:
  // `dropped` bytes were lost before `text`.
  void Add(uint64_t lease, uint64_t dropped, absl::string_view text);

  // What was kept, with a line that says how much is missing where something is. Empty if nothing.
  std::string Show(uint64_t lease) const;
  // And forgets it.
  std::string Take(uint64_t lease);

 private:
  struct Entry {
    std::string head;
    std::string tail;
    uint64_t dropped = 0;
  };
  static std::string Text(const Entry& entry);

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_OUTPUT_LOG_H_
