// HistoryRows are the column family `history`: what turns told of tasks and items that ended, a row
// or more per turn, the oldest dropped by RocksDB when there is too much or it is too old. Nothing
// that the hub decides depends on them.
//
// Add: the thread that commits. Read: thread-safe.
#ifndef BUE_HUB_STORAGE_HISTORY_ROWS_H_
#define BUE_HUB_STORAGE_HISTORY_ROWS_H_

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "hub/storage/hub_store.h"

namespace bue::hub {

class HistoryRows {
 public:
  // All outlive this; `rows` holds the errors. `dir` is the data directory, for messages.
  HistoryRows(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* rows,
              rocksdb::ColumnFamilyHandle* history, std::string dir)
      : db_(db), rows_(rows), history_(history), dir_(std::move(dir)) {}

  void Add(uint64_t turn, const TurnHistory& history, rocksdb::WriteBatch* batch);

  // As HubStore::ReadHistory, of turns from `from` to `upto`.
  struct Turns {
    uint64_t from = 0;
    uint64_t upto = UINT64_MAX;
  };
  absl::Status Read(uint64_t run, const Turns& turns, std::string* cursor,
                    const std::function<bool(const PastEvent&)>& visit) const;

 private:
  rocksdb::DB* const db_;
  rocksdb::ColumnFamilyHandle* const rows_;
  rocksdb::ColumnFamilyHandle* const history_;
  const std::string dir_;
  std::string packed_;  // Used by Add.
};

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_HISTORY_ROWS_H_
