// BucketService is bucket.proto over an ObjectStore: gRPC callbacks parse and queue, a small fixed
// pool does the disk's work, memory is bounded over all streams. See put_stream.h and get_stream.h.
// Thread-safe.
#ifndef BUE_BUCKET_BUCKET_SERVICE_H_
#define BUE_BUCKET_BUCKET_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "bucket/object_store.h"

namespace grpc {
class Service;
}

namespace bue::bucket {

struct BucketServiceOptions {
  std::string token;  // Required from every caller when not empty.
  int threads = 4;
  uint64_t put_bytes_max = 16 << 20;  // Received and not written yet, over all streams.
  uint64_t get_bytes_max = 16 << 20;  // Read from the store and not sent yet, over all streams.
  absl::Duration stall_patience = absl::Seconds(10);  // With a reader that does not read.
};

class BucketService {
 public:
  // `store` outlives it.
  BucketService(ObjectStore* store, const BucketServiceOptions& options);
  ~BucketService();  // After the server that it is registered with.

  grpc::Service* service();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_BUCKET_SERVICE_H_
