// Reading objects out of RocksDB: heads, whole objects, ranges of lists by way of their index.
#ifndef BUE_BUCKET_ROCKSDB_READER_H_
#define BUE_BUCKET_ROCKSDB_READER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "bucket/object_rows.h"
#include "bucket/object_store.h"
#include "bucket/rocksdb_engine.h"

namespace bue::bucket {

absl::StatusOr<Head> ReadHead(RocksDbEngine* engine, uint64_t sequence);

// As ObjectStore::OpenReader, of the object whose head row is `row`. `engine` outlives the reader.
absl::StatusOr<std::unique_ptr<ObjectReader>> OpenRocksDbReader(RocksDbEngine* engine,
                                                                uint64_t sequence, std::string row,
                                                                uint64_t first, uint64_t count);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_ROCKSDB_READER_H_
