#include "bucket/rocksdb_scan.h"

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>

#include <utility>

#include "bucket/object_rows.h"

namespace bue::bucket {
namespace {

// Neighbours after which the next is likely to be one: to begin costs as much as two searches.
constexpr int kLikely = 2;

// Bytes of rows that lie side by side in one block, so that a step mostly stays in it.
constexpr size_t kSideBySide = 4 << 10;

// Rows of deleted objects that a step may pass.
constexpr uint64_t kPassedMax = 16;

}  // namespace

RocksDbScan::RocksDbScan(RocksDbEngine* engine) : engine_(engine) {}

RocksDbScan::~RocksDbScan() = default;

absl::StatusOr<std::string> RocksDbScan::ReadHeadRow(uint64_t sequence) {
  // Small objects only: between others lie their chunks.
  const bool neighbour = !IsChunked(sequence) && sequence == NextSequence(last_);
  last_ = sequence;
  in_a_row_ = neighbour ? in_a_row_ + 1 : 0;
  if (in_a_row_ < kLikely) rows_.reset();
  absl::StatusOr<std::string> row = ReadRow(sequence);
  if (row.ok() && row->size() > kSideBySide) in_a_row_ = 0;
  return row;
}

absl::StatusOr<std::string> RocksDbScan::ReadRow(uint64_t sequence) {
  if (in_a_row_ >= kLikely && !lost_) {
    std::optional<std::string> row = Step(sequence);
    if (row.has_value()) return *std::move(row);
  }
  return engine_->Read(sequence, HeadKey(sequence), /*cache=*/true);
}

std::optional<std::string> RocksDbScan::Step(uint64_t sequence) {
  const std::string key = HeadKey(sequence);
  if (rows_ != nullptr) {
    rows_->Next();
  } else {
    rocksdb::ReadOptions options;
    options.max_skippable_internal_keys = kPassedMax;
    rows_.reset(engine_->db()->NewIterator(options));
    rows_->Seek(key);
  }
  if (rows_->Valid() && rows_->key() == key) return rows_->value().ToString();
  // Deleted, put since, or damaged: the search tells.
  rows_.reset();
  lost_ = true;
  return std::nullopt;
}

}  // namespace bue::bucket
