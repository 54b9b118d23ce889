// StateDir is a directory of this process's own under the worker's state directory, so that two
// workers that share the latter do not meet. What a crashed worker left behind is removed by the
// next one that starts there.
#ifndef BUE_WORKER_CORE_STATE_DIR_H_
#define BUE_WORKER_CORE_STATE_DIR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace bue::worker {

class StateDir {
 public:
  // `root` is made if it is not there; empty: a directory under $TMPDIR or /tmp. PermissionDenied,
  // naming the path, if nothing can be written there.
  static absl::StatusOr<std::unique_ptr<StateDir>> Make(const std::string& root);
  // Removes the directory.
  ~StateDir();

  const std::string& path() const { return path_; }

 private:
  StateDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  const std::string path_;
  const int lock_;  // File descriptor; the lock says that the directory is in use.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_STATE_DIR_H_
