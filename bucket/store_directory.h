// StoreDirectory is a bucket's data directory, apart from what the engine keeps in its `db` folder:
//
//   BUCKET    what this is: format version and store id, as text
//   SEQUENCE  object counters below this number may be in use, as text; moved on in blocks, ahead
//   of
//             use and durably, so that an address is never given out twice, whatever was deleted or
//             torn off since
//   HUB       id of the hub whose sweeps this bucket obeys, as text; none yet if it is not there
//   LOCK      held by the process that uses the directory; its id, as text
//   db/       RocksDB
//
// Not thread-safe.
#ifndef BUE_BUCKET_STORE_DIRECTORY_H_
#define BUE_BUCKET_STORE_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bue::bucket {

class StoreDirectory {
 public:
  // Opens `path`, or makes it with a random store id. FailedPrecondition, with the remedy: it is in
  // use, of another version, not a bucket's. PermissionDenied: it cannot be written.
  static absl::StatusOr<std::unique_ptr<StoreDirectory>> Open(const std::string& path);
  ~StoreDirectory();  // Unlocks.

  // Who has it, and what it says of itself, without claiming or changing anything. NotFound: there
  // is no such directory. Other errors as Open.
  struct Look {
    int format = 0;
    uint16_t store_id = 0;
    uint64_t reserved = 0;
    std::string in_use_by;  // "process 123"; empty: nobody.
  };
  static absl::StatusOr<Look> LookAt(const std::string& path);

  StoreDirectory(const StoreDirectory&) = delete;
  StoreDirectory& operator=(const StoreDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string db_path() const { return path_ + "/db"; }
  uint16_t store_id() const { return store_id_; }

  // Counters from here on were never given out.
  uint64_t reserved() const { return reserved_; }
  // Durable when it returns.
  absl::Status Reserve(uint64_t below);
  // Makes the directory `hub`'s, durably, if it is nobody's. FailedPrecondition, with the remedy:
  // it is another one's.
  absl::Status ClaimFor(const std::string& hub);

 private:
  explicit StoreDirectory(std::string path) : path_(std::move(path)) {}

  absl::Status Lock();
  absl::Status LoadOrCreate();
  absl::Status LoadIdentity(const std::string& text);
  absl::Status LoadSequence();
  absl::Status Create();
  absl::Status WriteDurably(const std::string& name, const std::string& content) const;

  const std::string path_;
  int lock_fd_ = -1;
  uint16_t store_id_ = 0;
  uint64_t reserved_ = 1;
  std::string hub_;
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_STORE_DIRECTORY_H_
