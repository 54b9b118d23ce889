// Writing objects into RocksDB: small and whole ones as parts of a batch, others chunk by chunk.
#ifndef BUE_BUCKET_ROCKSDB_WRITER_H_
#define BUE_BUCKET_ROCKSDB_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "bucket/object_store.h"
#include "bucket/rocksdb_engine.h"

namespace bue::bucket {

// InvalidArgument if a chunk, or an object put whole, is larger than allowed.
absl::Status CheckChunkSize(size_t bytes);

// What an object put whole takes up in a batch beside its data, at most.
inline constexpr size_t kRowsBytes = 320;

// Adds all rows of `object` to `batch`. `sequence` says whether it is a small one.
void AddWhole(RocksDbEngine* engine, uint64_t sequence, const NewObject& object,
              rocksdb::WriteBatch* batch);

// `engine` outlives the writer.
std::unique_ptr<ObjectWriter> OpenRocksDbWriter(RocksDbEngine* engine, uint64_t sequence,
                                                ObjectKind kind, const Origin& origin);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_ROCKSDB_WRITER_H_
