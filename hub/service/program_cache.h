// ProgramCache lets runs that were uploaded alike share one program: ten thousand runs of a script
// are ten thousand uploads of the same bytes.
//
// Thread-safe.
#ifndef BUE_HUB_SERVICE_PROGRAM_CACHE_H_
#define BUE_HUB_SERVICE_PROGRAM_CACHE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/program/program.h"

namespace bue::hub {

class ProgramCache {
 public:
  // The program that was kept under `hash` (of its bytes), or null if nobody has it any more.
  std::shared_ptr<const Program> Find(const std::string& hash) ABSL_LOCKS_EXCLUDED(mutex_);

  // Keeps `program` as long as somebody else does.
  void Keep(const std::string& hash, const std::shared_ptr<const Program>& program)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::weak_ptr<const Program>> programs_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = 64;  // Programs at which to look for expired ones.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_PROGRAM_CACHE_H_
