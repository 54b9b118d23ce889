#include "bucket/database_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <memory>

#include "common/rocksdb/no_log.h"

namespace bue::bucket {

rocksdb::Options DatabaseOptions(const RocksDbStoreOptions& options) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.block_size = 16 << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;

  rocksdb::Options db;
  if (options.env != nullptr) db.env = options.env;
  db.create_if_missing = true;
  db.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  db.compression = rocksdb::kNoCompression;
  db.write_buffer_size = options.memtable_bytes;
  db.max_write_buffer_number = 3;
  db.target_file_size_base = 64 << 20;
  db.max_bytes_for_level_base = 512 << 20;
  db.level_compaction_dynamic_level_bytes = true;
  // Tables of streams that were written beside each other overlap, so that a compaction writes all
  // of them again: late, when much of it has been deleted.
  db.level0_file_num_compaction_trigger = 16;
  db.level0_slowdown_writes_trigger = 32;
  db.level0_stop_writes_trigger = 48;
  db.max_background_jobs = 3;
  db.max_open_files = 512;
  db.bytes_per_sync = 1 << 20;
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  db.avoid_flush_during_recovery = true;
  db.info_log = std::make_shared<NoLog>();
  return db;
}

}  // namespace bue::bucket
