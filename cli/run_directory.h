// RunDirectory is where one `bue run` keeps the state of its hub, bucket and worker: a folder of
// its own in .bue/, so that two runs in one folder do not meet. What failed stays there to be
// looked into with `bue hub` and `bue bucket`, until as many newer ones have failed as are kept.
//
// Not thread-safe.
#ifndef BUE_CLI_RUN_DIRECTORY_H_
#define BUE_CLI_RUN_DIRECTORY_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace bue::cli {

class RunDirectory {
 public:
  // In `parent`, which is made if need be.
  static absl::StatusOr<std::unique_ptr<RunDirectory>> Make(const std::string& parent);
  // Leaves the directory as it is, and to whoever wants to use or remove it.
  ~RunDirectory();

  const std::string& path() const { return path_; }

  // With all that is in it.
  void Remove();

  // Removes the oldest run directories in `parent`, but for the newest `keep`, those that somebody
  // uses (a run, or a hub or bucket that was started on them) and those that have just been made.
  static void RemoveOld(const std::string& parent, size_t keep);

 private:
  RunDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  const std::string path_;
  const int lock_;  // A locked file in it: somebody uses it.
};

}  // namespace bue::cli

#endif  // BUE_CLI_RUN_DIRECTORY_H_
