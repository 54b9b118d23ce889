// PutPipe is the Put stream to one bucket: everything that a process puts there goes through it, in
// as few messages as possible (what came up while the last one was written is the next one).
//
// Whole objects are kept until they are acknowledged and sent again when the stream breaks.
// Streaming writers that had sent something fail then: their bytes are gone.
//
// While the bucket's disk is full, one message at a time waits there and the rest here, so that
// what is not wanted any more need not be written first.
//
// Thread-safe.
#ifndef BUE_COMMON_BUCKET_CLIENT_PUT_PIPE_H_
#define BUE_COMMON_BUCKET_CLIENT_PUT_PIPE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bucket_client/bucket_client.h"
#include "common/bucket_client/pipe_options.h"

namespace grpc {
class Channel;
}

namespace bue {

// Collects the answers of one BucketClient::Put over all buckets. The last answer calls `done`.
class PutBatch {
 public:
  PutBatch(size_t items, BucketClient::PutDone done);

  // Thread-safe for different indexes.
  void Answer(size_t index, absl::StatusOr<uint64_t> address);

 private:
  std::atomic<size_t> missing_;
  std::vector<absl::StatusOr<uint64_t>> results_;
  const BucketClient::PutDone done_;
};

class PutPipe {
 public:
  PutPipe(std::shared_ptr<grpc::Channel> channel, const PipeOptions& options);
  ~PutPipe();  // As Shutdown.

  // Fails what is under way and what comes later with Cancelled; returns after the last callback.
  void Shutdown();

  struct Whole {
    PutItem item;
    std::shared_ptr<PutBatch> batch;
    size_t index = 0;
    bool sent = false;  // On the stream that is open. Used by the pipe.
  };
  void Put(std::vector<Whole> items);
  // As BucketClient::Forget.
  void Forget(uint64_t run);

  std::unique_ptr<ValueWriter> OpenWriter(ObjectKind kind, const Origin& origin);

  // Gives up waiting for a bucket that was away for too long; starts a stream that broke at once
  // again. Call it every now and then.
  void Tick(absl::Time now);

  PipeState state() const;

  class Core;

 private:
  const std::shared_ptr<Core> core_;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_PUT_PIPE_H_
