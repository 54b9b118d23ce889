// RocksdbHubStore is the hub's store on disk: runs as rows, turns as one packed journal value each.
//
//   ASSIGN_OR_RETURN(auto store, RocksdbHubStore::Open(dir, {}));
//   ASSIGN_OR_RETURN(HubSnapshot snapshot, store->Load());
//   store->Commit(store->first_turn(), record);
//
// What lies where is told in hub/README.md. A record cut off by a crash while it was written was
// promised to nobody and is dropped; damage anywhere else is DataLoss.
//
// Load, Commit, Checkpoint and JournalBytes: one thread at a time. The rest: thread-safe.
#ifndef BUE_HUB_STORAGE_ROCKSDB_HUB_STORE_H_
#define BUE_HUB_STORAGE_ROCKSDB_HUB_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hub/storage/hub_store.h"

namespace rocksdb {
class Env;
}

namespace bue::hub {

struct HubStoreOptions {
  // New work is refused, and a start too, when the disk has less left.
  uint64_t free_bytes_min = 64 << 20;
  // Error records of one run; beyond, those of attempts that were retried are not kept.
  uint64_t error_bytes_per_run_max = 64 << 20;
  // About so much of the history of tasks and items is kept, and for thirty days; 0: none.
  uint64_t history_bytes = 256 << 20;
  // What the database's files lie on; null: the disk. Outlives the store. For tests of failures.
  rocksdb::Env* env = nullptr;
};

class RocksdbHubStore final : public HubStore {
 public:
  // Makes the directory if it is new. The errors of DataDirectory::Open, and ResourceExhausted when
  // the disk is too full, DataLoss when what lies there is damaged. The epoch is on disk on return.
  static absl::StatusOr<std::unique_ptr<RocksdbHubStore>> Open(const std::string& dir,
                                                               const HubStoreOptions& options);
  ~RocksdbHubStore() override;

  // Of this opening: one more than that of the last.
  uint64_t epoch() const;
  // Of the directory, for good: what tells this hub from others.
  const std::string& id() const;
  // Turn numbers of this opening begin here: above those of all before.
  uint64_t first_turn() const;

  absl::StatusOr<HubSnapshot> Load() override;
  absl::Status Commit(uint64_t turn, const TurnRecord& record) override;
  absl::Status Sync() override;
  absl::Status Checkpoint(uint64_t turn, const std::vector<RunSnapshot>& runs,
                          uint64_t drop_to) override;
  uint64_t JournalBytes() const override;
  absl::Status CheckSpace() override;

  absl::Status PutFile(absl::string_view sha256, absl::string_view content) override;
  absl::StatusOr<std::string> GetFile(absl::string_view sha256) override;
  absl::StatusOr<bool> HasFile(absl::string_view sha256) override;

  absl::Status ReadErrors(uint64_t run, std::string* cursor,
                          const std::function<bool(const ErrorRecord&)>& visit) override;
  absl::Status ReadLogs(uint64_t run, std::string* cursor,
                        const std::function<bool(const LogAdded&)>& visit) override;
  absl::Status ReadHistory(uint64_t run, std::string* cursor,
                           const std::function<bool(const PastEvent&)>& visit) override;

 private:
  class Impl;  // Keeps RocksDB out of this header.

  explicit RocksdbHubStore(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_ROCKSDB_HUB_STORE_H_
