// RocksDB's logs in blocks that are there already.
//
// An fdatasync after an append writes the data, and then which blocks the file got and how long it
// has become; where the blocks have been written before, it writes the data alone, in about half
// the time. So a thread writes zeros ahead of what is logged, while nobody waits for a sync.
// RocksDB reads zeros at a log's end as the end; a log that is closed in good order ends with its
// last record.
//
// A record that a power cut has torn then has zeros behind it, not the file's end: fit for recovery
// to a point in time, as the bucket's, which ends a log there. The hub's, which tells damage from a
// torn end by the file's end, would take it for damage.
//
// Only logs that are written in small pieces are written ahead of, and no faster than kPause
// allows: for large values the disk is what is scarce, and zeros would take half of it.
#ifndef BUE_COMMON_ROCKSDB_LOG_AHEAD_H_
#define BUE_COMMON_ROCKSDB_LOG_AHEAD_H_

#include <rocksdb/env.h>

#include <memory>

namespace bue {

// As `base`, which must outlive it, but for logs. It must outlive the databases opened with it.
std::unique_ptr<rocksdb::Env> LogAheadEnv(rocksdb::Env* base);

// As `base`, which must outlive it, but a log that is read ends with its last byte that is no zero:
// a record that was torn before zeros is one at the file's end. For looking only: a whole record
// may end with a zero.
std::unique_ptr<rocksdb::Env> LogsWithoutZerosEnv(rocksdb::Env* base);

}  // namespace bue

#endif  // BUE_COMMON_ROCKSDB_LOG_AHEAD_H_
