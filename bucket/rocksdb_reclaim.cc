#include "bucket/rocksdb_reclaim.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>
#include <rocksdb/options.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bucket/object_rows.h"
#include "common/logging.h"

namespace bue::bucket {
namespace {

absl::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// Bytes of the objects whose rows lie in [first, last], up to `enough`.
uint64_t LiveBytes(rocksdb::DB* db, const std::string& first, const std::string& last,
                   uint64_t enough) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> row(db->NewIterator(options));
  uint64_t bytes = 0;
  for (row->Seek(first); row->Valid() && bytes < enough && ToView(row->key()) <= last;) {
    bytes += row->key().size() + row->value().size();
    row->Next();
  }
  return row->status().ok() ? bytes : enough;
}

}  // namespace

bool ReclaimSpace(RocksDbEngine* engine) {
  rocksdb::DB* const db = engine->db();
  // So that files know of the deletions.
  if (!db->Flush(rocksdb::FlushOptions()).ok()) return true;
  std::vector<rocksdb::LiveFileMetaData> files;
  db->GetLiveFilesMetaData(&files);
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.size > b.size; });
  uint64_t rewritten = 0;
  bool room = false;
  for (const rocksdb::LiveFileMetaData& file : files) {
    room = engine->CheckRoom().ok();
    if (room) break;
    const uint64_t enough = file.size / 2;
    if (LiveBytes(db, file.smallestkey, file.largestkey, enough) >= enough) continue;
    const rocksdb::Slice begin(file.smallestkey);
    const rocksdb::Slice end(file.largestkey);
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    if (!db->CompactRange(options, &begin, &end).ok()) break;
    ++rewritten;
  }
  log::info("bucket reclaimed space files={} rewritten={} free_bytes={}", files.size(), rewritten,
            engine->FreeBytes());
  return !room;
}

}  // namespace bue::bucket
