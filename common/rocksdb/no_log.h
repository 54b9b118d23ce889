// A log for RocksDB that keeps nothing. RocksDB's own would lie on the disk that fails, and RocksDB
// aborts the process when it writes there after a failure. What matters comes back as a status.
#ifndef BUE_COMMON_ROCKSDB_NO_LOG_H_
#define BUE_COMMON_ROCKSDB_NO_LOG_H_

#include <rocksdb/env.h>

#include <cstdarg>

namespace bue {

class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

}  // namespace bue

#endif  // BUE_COMMON_ROCKSDB_NO_LOG_H_
