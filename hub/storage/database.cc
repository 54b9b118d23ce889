#include "hub/storage/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/rocksdb/no_log.h"

namespace bue::hub {
namespace {

rocksdb::ColumnFamilyOptions FamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  // A block is read and unpacked as a whole: a row that does not fit begins one of its own, so that
  // a look at a small row never costs that of a program of many megabytes beside it.
  table.block_size_deviation = 99;
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = 4 << 20;
  options.max_write_buffer_number = 4;
  options.compression = rocksdb::kLZ4Compression;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::ColumnFamilyOptions JournalOptions(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options = FamilyOptions(cache);
  options.compression = rocksdb::kNoCompression;  // Packed already, and soon dropped.
  return options;
}

constexpr uint64_t kHistoryAge_s = 30 * 86400;

// Files are dropped whole, so they are small beside what is kept.
rocksdb::ColumnFamilyOptions HistoryOptions(const std::shared_ptr<rocksdb::Cache>& cache,
                                            uint64_t bytes) {
  rocksdb::ColumnFamilyOptions options = JournalOptions(cache);
  options.compaction_style = rocksdb::kCompactionStyleFIFO;
  options.compaction_options_fifo.max_table_files_size = std::max<uint64_t>(bytes, 1);
  options.compaction_options_fifo.allow_compaction = true;
  options.ttl = kHistoryAge_s;
  options.write_buffer_size = std::clamp<uint64_t>(bytes / 16, 64 << 10, 4 << 20);
  return options;
}

}  // namespace

std::string DatabasePath(const std::string& dir) { return dir + "/db"; }

rocksdb::DBOptions DatabaseOptions() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  // The last record may be cut off by a crash; anything else that is wrong refuses to open.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.max_total_wal_size = 32 << 20;
  options.max_open_files = -1;  // What drops old history by itself wants that. They are few.
  options.max_background_jobs = 2;
  options.info_log = std::make_shared<NoLog>();
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> Families(uint64_t history_bytes) {
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(8 << 20);
  return {{rocksdb::kDefaultColumnFamilyName, FamilyOptions(cache)},
          {"journal", JournalOptions(cache)},
          {kHistoryFamily, HistoryOptions(cache, history_bytes)}};
}

absl::Status ToStatus(const rocksdb::Status& status, absl::string_view doing,
                      const std::string& dir) {
  if (status.ok()) return absl::OkStatus();
  const std::string text =
      absl::StrCat("cannot ", doing, " the hub's data in ", dir, ": ", status.ToString());
  if (status.IsCorruption()) {
    return absl::DataLossError(absl::StrCat(text, kDamagedRemedy));
  }
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  if (doing == "open") {  // A file that is not there is not called corruption.
    return absl::InternalError(absl::StrCat(text, kDamagedRemedy));
  }
  return absl::InternalError(text);
}

absl::Status CheckEpoch(uint64_t stored, uint64_t remembered, const std::string& dir) {
  if (stored >= remembered) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "the hub's data in ", dir, " is older than it was: its database is of epoch ", stored,
      ", the directory remembers epoch ", remembered,
      ", so files of the database are missing (a write-ahead log, or an old copy of db/)",
      kDamagedRemedy));
}

}  // namespace bue::hub
