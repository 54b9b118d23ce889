// ReclaimSpace gives the space of deleted objects back to the disk. Otherwise that happens as new
// objects come in, which a full disk keeps from happening.
#ifndef BUE_BUCKET_ROCKSDB_RECLAIM_H_
#define BUE_BUCKET_ROCKSDB_RECLAIM_H_

#include "bucket/rocksdb_engine.h"

namespace bue::bucket {

// Rewrites those files in which more is dead than alive, so it takes less space than it gives back,
// until there is room for puts: then it answers false, since it may have left some. Blocks.
bool ReclaimSpace(RocksDbEngine* engine);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_ROCKSDB_RECLAIM_H_
