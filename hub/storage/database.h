// The hub's RocksDB: how it is opened, what its rows outside of runs are called, what its errors
// mean. For those that read or write it.
//
// Pure functions.
#ifndef BUE_HUB_STORAGE_DATABASE_H_
#define BUE_HUB_STORAGE_DATABASE_H_

#include <rocksdb/db.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bue::hub {

inline constexpr char kEpochKey[] = "mepoch";
inline constexpr char kIdKey[] = "mid";
inline constexpr char kNextRunKey[] = "mnext_run";
inline constexpr char kWorkersKey[] = "mworkers";

inline constexpr char kHistoryFamily[] = "history";

// What a change takes up while the journal is loaded, beyond its bytes, in units of journal bytes.
inline constexpr uint64_t kChangeWeight = 8;

inline rocksdb::Slice ToSlice(absl::string_view bytes) { return {bytes.data(), bytes.size()}; }
inline absl::string_view ToView(rocksdb::Slice slice) { return {slice.data(), slice.size()}; }

// What to do about a damaged directory: the end of messages.
inline constexpr char kDamagedRemedy[] =
    "; `bue hub --verify` names all that is damaged; restore the directory from a copy, or move it "
    "away and start with an empty one";

// Of the data directory `dir`.
std::string DatabasePath(const std::string& dir);

rocksdb::DBOptions DatabaseOptions();
// The rows, the journal, then the history, of which about so many bytes are kept.
std::vector<rocksdb::ColumnFamilyDescriptor> Families(uint64_t history_bytes);

// `doing`: "open", "read", "write to". Says what to do about it.
absl::Status ToStatus(const rocksdb::Status& status, absl::string_view doing,
                      const std::string& dir);

// DataLoss if the database's last epoch is older than the one that the data directory remembers:
// files of it are missing then, and with them what was promised.
absl::Status CheckEpoch(uint64_t stored, uint64_t remembered, const std::string& dir);

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_DATABASE_H_
