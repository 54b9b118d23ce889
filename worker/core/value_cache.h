// ValueCache keeps what this worker lately read from or put into the bucket, so that a chain of
// tasks on one worker reads nothing back. Bounded in bytes; what was not asked for again since it
// came to the front goes first. Values never change under their address, so nothing gets stale.
//
// Used by the loop thread only.
#ifndef BUE_WORKER_CORE_VALUE_CACHE_H_
#define BUE_WORKER_CORE_VALUE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/bucket_client/object.h"

namespace bue::worker {

struct CachedValue {
  ObjectKind kind = ObjectKind::kValue;
  std::shared_ptr<const std::string> data;  // Null: large, only the sizes are known.
  uint64_t elements = 0;
  uint64_t total_bytes = 0;
};

class ValueCache {
 public:
  explicit ValueCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Null if it is not here. Valid until the next call of Insert.
  const CachedValue* Find(uint64_t address);
  void Insert(uint64_t address, CachedValue value);

  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    CachedValue value;
    bool asked = false;  // Since it last came to the front of the queue.
  };
  static size_t BytesOf(const CachedValue& value);
  void Evict();

  const size_t bytes_max_;
  absl::flat_hash_map<uint64_t, Entry> entries_;
  std::deque<uint64_t> queue_;  // Every entry once, the next to go in front.
  size_t bytes_ = 0;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_VALUE_CACHE_H_
