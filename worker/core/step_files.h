// StepFiles keeps the files that runs brought along on this worker's disk: one directory per set of
// files, named by its content, fetched once from the hub, checked, and shared by all runs that have
// the same files. Directories that no run uses are kept for the next one, a few of them.
//
// Fetching happens on threads of its own; everything else is for the loop thread.
#ifndef BUE_WORKER_CORE_STEP_FILES_H_
#define BUE_WORKER_CORE_STEP_FILES_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/program/program.h"
#include "common/thread_pool.h"
#include "worker/core/hub_calls.h"
#include "worker/core/inbox.h"

namespace bue::worker {

// Where a file of a program lies under its directory. Steps may name files above their script or
// absolute ones; these get places inside as well: "../lib/a.py" is "__parent__/lib/a.py".
std::string PlaceOf(const std::string& path);

class StepFiles {
 public:
  // `directory` is made when first needed. The hub outlives it.
  StepFiles(std::string directory, HubQuestions* hub, std::shared_ptr<Inbox> inbox,
            size_t unused_max = 16);

  // Calls `done` (from the inbox, or at once) with the directory, which stays until Release. A hub
  // that is away is waited for.
  using Done = std::function<void(absl::StatusOr<std::string>)>;
  void Acquire(std::vector<File> files, Done done);
  void Release(const std::string& directory);

  // Waits for the threads. After the hub's questions were stopped.
  void Stop() { threads_.Stop(); }

 private:
  struct Set {
    int users = 0;
    bool ready = false;
    std::vector<Done> waiting;
  };

  absl::Status Fetch(const std::vector<File>& files, const std::string& directory);
  void OnFetched(const std::string& directory, const absl::Status& status);
  void DropUnused();

  const std::string root_;
  HubQuestions* const hub_;
  const std::shared_ptr<Inbox> inbox_;
  const size_t unused_max_;

  absl::flat_hash_map<std::string, Set> sets_;  // By directory.
  std::deque<std::string> unused_;              // Least recently released first.
  ThreadPool threads_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_STEP_FILES_H_
