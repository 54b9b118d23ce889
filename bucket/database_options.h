// How a bucket's RocksDB is opened: by the bucket, and by those who look at it.
#ifndef BUE_BUCKET_DATABASE_OPTIONS_H_
#define BUE_BUCKET_DATABASE_OPTIONS_H_

#include <rocksdb/options.h>

#include "bucket/rocksdb_object_store.h"

namespace bue::bucket {

rocksdb::Options DatabaseOptions(const RocksDbStoreOptions& options);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_DATABASE_OPTIONS_H_
