// RocksDbEngine is what a RocksDB store, its readers and its writers share: the open database, its
// directory, the counter that names objects, and the switch that turns everything off once a write
// has failed.
// Thread-safe.
#ifndef BUE_BUCKET_ROCKSDB_ENGINE_H_
#define BUE_BUCKET_ROCKSDB_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "bucket/disk_space.h"
#include "bucket/rocksdb_object_store.h"
#include "bucket/store_directory.h"

namespace rocksdb {
class DB;
class Status;
class WriteBatch;
}  // namespace rocksdb

namespace bue::bucket {

// "object 0123456789abcdef", for messages.
std::string NameOf(uint64_t address);

// `status` with the object's name before it.
absl::Status WithName(uint64_t address, const absl::Status& status);

class RocksDbEngine {
 public:
  RocksDbEngine(const RocksDbStoreOptions& options, std::unique_ptr<StoreDirectory> directory);
  ~RocksDbEngine();

  // Errors as RocksDbObjectStore::Open.
  absl::Status Open();

  uint16_t store_id() const { return directory_->store_id(); }
  uint64_t AddressOf(uint64_t sequence) const;
  // FailedPrecondition if `address` is another store's.
  absl::StatusOr<uint64_t> SequenceFor(uint64_t address) const;
  // The first of `count` counters that nobody had before.
  absl::StatusOr<uint64_t> TakeCounters(uint64_t count);

  // Not durable until a Sync that begins later has returned.
  absl::Status Write(rocksdb::WriteBatch* batch);
  absl::Status Sync();
  absl::Status ClaimFor(const std::string& hub);

  // A row of the object at `sequence`. `cache`: likely to be wanted again.
  absl::StatusOr<std::string> Read(uint64_t sequence, const std::string& key, bool cache);
  // What a read of `address` ran into.
  static absl::Status ReadError(uint64_t address, const rocksdb::Status& status);
  rocksdb::DB* db() { return db_.get(); }

  // ResourceExhausted if the disk is nearly full.
  absl::Status CheckRoom();
  uint64_t FreeBytes() const { return space_.FreeBytes(); }
  uint32_t NowSeconds() const;

  void CountObjects(int64_t more) { objects_.fetch_add(more, std::memory_order_relaxed); }
  int64_t objects() const { return objects_.load(std::memory_order_relaxed); }
  void CountDeletion() { deletions_.fetch_add(1, std::memory_order_relaxed); }
  uint64_t deletions() const { return deletions_.load(std::memory_order_relaxed); }

 private:
  absl::Status CheckSequence();
  absl::Status Break(const absl::Status& status);
  absl::Status BrokenError() const;

  const RocksDbStoreOptions options_;
  std::unique_ptr<rocksdb::Env> env_;  // Outlives db_.
  const std::unique_ptr<StoreDirectory> directory_;
  DiskSpace space_;
  std::atomic<bool> broken_{false};
  std::atomic<int64_t> objects_{0};
  std::atomic<uint64_t> deletions_{0};  // Writes that deleted something.

  absl::Mutex counter_mutex_;
  uint64_t next_counter_ ABSL_GUARDED_BY(counter_mutex_);

  std::unique_ptr<rocksdb::DB> db_;  // Last: closed before the directory is unlocked.
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_ROCKSDB_ENGINE_H_
