// RocksDbObjectStore keeps objects in RocksDB: rows as in object_rows.h, in a directory as in
// store_directory.h. Plain LSM without BlobDB: with sequential keys files need no merging, and
// reads are four times as fast. Blocks carry checksums, which every read verifies; a torn tail of
// the write-ahead log is cut off, as nothing in it was answered for.
//
// Thread-safe.
#ifndef BUE_BUCKET_ROCKSDB_OBJECT_STORE_H_
#define BUE_BUCKET_ROCKSDB_OBJECT_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bucket/object_store.h"
#include "common/clock.h"

namespace rocksdb {
class Env;
}

namespace bue::bucket {

struct RocksDbStoreOptions {
  std::string data_dir;
  // false: Sync() leaves it to the operating system. A power cut then loses the last seconds.
  bool fsync = true;
  // CheckRoom refuses below this much free space. Unset: 5 % of the disk, at least 64 MiB (what the
  // database needs to go on) and at most 1 GiB.
  std::optional<uint64_t> low_water_bytes;
  // Null: what the system says. For tests of disks that fill up.
  std::function<uint64_t()> free_bytes;
  uint64_t block_cache_bytes = 16 << 20;
  // Three of these at most are in memory.
  uint64_t memtable_bytes = 12 << 20;
  Clock* clock = Clock::Real();  // Outlives the store.
  // What the database's files lie on; null: the disk. Outlives the store. For tests of failures.
  rocksdb::Env* env = nullptr;
  // Called once when a write or a sync failed: what is on disk is then unknown, and nothing may be
  // promised any more. Every later write fails too.
  std::function<void(const absl::Status&)> on_broken;
};

class RocksDbObjectStore {
 public:
  // Errors as StoreDirectory::Open; DataLoss: RocksDB cannot read its files.
  static absl::StatusOr<std::unique_ptr<ObjectStore>> Open(const RocksDbStoreOptions& options);
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_ROCKSDB_OBJECT_STORE_H_
