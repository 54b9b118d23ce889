// DataDirectory is the hub's claim on a folder: that it is the hub's, of a format this hub reads,
// that no other process has it, and that there is room on its disk. Everything else in the folder
// is the store's.
//
// RecordEpoch: before others use it. The rest: thread-safe after Open.
#ifndef BUE_HUB_STORAGE_DATA_DIRECTORY_H_
#define BUE_HUB_STORAGE_DATA_DIRECTORY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bue::hub {

class DataDirectory {
 public:
  // Makes the folder if need be and claims it until destruction. Errors say what to do:
  // PermissionDenied: not writable. FailedPrecondition: somebody else's folder, or another format.
  // Unavailable: another hub runs in it.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::string& path);
  ~DataDirectory();

  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  // Who has the folder, and what it says of itself, without claiming or changing anything.
  // NotFound: there is no such folder. FailedPrecondition and DataLoss as Open.
  struct Look {
    int format = 0;
    uint64_t epoch = 0;
    std::string in_use_by;  // "process 123"; empty: nobody.
  };
  static absl::StatusOr<Look> LookAt(const std::string& path);

  // The epoch of the last hub that opened the database: kept here as well, so that a database that
  // lost files and with them its latest rows is noticed. 0: none yet.
  uint64_t epoch() const { return epoch_; }
  // Durable on return.
  absl::Status RecordEpoch(uint64_t epoch);

  // ResourceExhausted if the disk has less than `bytes` left. Thread-safe, and cheap on one that
  // has much more.
  absl::Status CheckSpace(uint64_t bytes) const;

  const std::string& path() const { return path_; }

 private:
  DataDirectory(std::string path, int marker, uint64_t epoch)
      : path_(std::move(path)), marker_(marker), epoch_(epoch) {}

  // Constant after construction.
  const std::string path_;
  const int marker_;  // Open and locked.
  uint64_t epoch_;

  // Until then the disk has plenty left. Nanoseconds of the steady clock.
  mutable std::atomic<int64_t> plenty_until_ns_ = 0;
};

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_DATA_DIRECTORY_H_
