// RowLoader reads what a hub stored, out of an open database. It changes nothing, so it serves a
// hub that starts as well as somebody who only looks.
//
// Not thread-safe.
#ifndef BUE_HUB_STORAGE_ROW_LOADER_H_
#define BUE_HUB_STORAGE_ROW_LOADER_H_

#include <rocksdb/db.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hub/scheduler/snapshot.h"
#include "hub/storage/rows.h"

namespace bue::hub {

// A row of the journal, and how much it takes up.
struct JournalTurn {
  uint64_t turn = 0;
  uint64_t weight = 0;
};

struct LoadedRows {
  HubSnapshot snapshot;
  std::vector<JournalTurn> journal;
  absl::flat_hash_map<uint64_t, uint64_t> error_bytes;  // By run.
};

// A run's state, and the turn that it is from.
struct StateRow {
  uint64_t turn = 0;
  absl::string_view state;  // Part of the row.
};

// One row each. DataLoss names the run.
absl::StatusOr<StoredRun> ReadRun(ProgramParser* programs, absl::string_view key,
                                  absl::string_view value);
absl::StatusOr<StateRow> ReadState(absl::string_view key, absl::string_view value);

class RowLoader {
 public:
  // `dir` is the data directory, for messages. The rest outlives the loader.
  RowLoader(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* rows,
            rocksdb::ColumnFamilyHandle* journal, std::string dir)
      : db_(db), rows_(rows), journal_(journal), dir_(std::move(dir)) {}

  absl::StatusOr<LoadedRows> Load();

  // 0 if there is none.
  absl::StatusOr<uint64_t> ReadNumber(const char* key);

  // Calls `each` for every key and value outside the journal that begins with `prefix`.
  using Each = std::function<absl::Status(rocksdb::Slice, rocksdb::Slice)>;
  absl::Status Scan(absl::string_view prefix, const Each& each);

 private:
  absl::Status Done(const rocksdb::Status& status, absl::string_view doing) const;
  // With the directory, and what to do.
  absl::Status Damaged(const absl::Status& status) const;

  absl::Status LoadRuns(HubSnapshot* snapshot);
  absl::Status LoadStates(HubSnapshot* snapshot);
  absl::Status LoadJournal(LoadedRows* loaded);
  absl::Status LoadMeta(HubSnapshot* snapshot);
  absl::Status MeasureErrors(LoadedRows* loaded);
  static StoredRun* Find(HubSnapshot* snapshot, uint64_t run);

  rocksdb::DB* const db_;
  rocksdb::ColumnFamilyHandle* const rows_;
  rocksdb::ColumnFamilyHandle* const journal_;
  const std::string dir_;
  absl::flat_hash_map<uint64_t, uint64_t> state_turns_;  // By run.
};

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_ROW_LOADER_H_
