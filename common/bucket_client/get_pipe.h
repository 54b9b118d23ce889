// GetPipe is the Get stream to one bucket: every get, range and streaming read of a process from
// there. What was not answered when the stream broke is asked again; a streaming read goes on
// behind what it had received.
//
// Thread-safe.
#ifndef BUE_COMMON_BUCKET_CLIENT_GET_PIPE_H_
#define BUE_COMMON_BUCKET_CLIENT_GET_PIPE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bucket_client/bucket_client.h"
#include "common/bucket_client/pipe_options.h"

namespace grpc {
class Channel;
}

namespace bue {

// Collects the answers of one BucketClient::Get over all buckets. The last answer calls `done`.
class GetBatch {
 public:
  GetBatch(size_t items, uint64_t bytes_max, BucketClient::GetDone done);

  uint64_t bytes_max() const { return bytes_max_; }
  // Thread-safe for different indexes.
  void Answer(size_t index, absl::StatusOr<Fetched> fetched);

 private:
  const uint64_t bytes_max_;
  std::atomic<size_t> missing_;
  std::vector<absl::StatusOr<Fetched>> results_;
  const BucketClient::GetDone done_;
};

// Whether a bucket says that the address is another store's.
bool IsOfAnotherStore(const absl::Status& status);

class GetPipe {
 public:
  struct Fetch {
    GetItem item;
    std::shared_ptr<GetBatch> batch;
    size_t index = 0;
    bool moved = false;  // The bucket has just said that it is this store.
  };
  // Takes what the bucket says is another store's, once: `moved` ones are answered with that.
  using OnForeign = std::function<void(Fetch)>;
  GetPipe(std::shared_ptr<grpc::Channel> channel, const PipeOptions& options, OnForeign on_foreign);
  ~GetPipe();  // As Shutdown.

  // Fails what is under way and what comes later with Cancelled; returns after the last callback.
  void Shutdown();

  void Get(std::vector<Fetch> fetches);

  // Blocks until the first part is here.
  absl::StatusOr<std::unique_ptr<ValueReader>> OpenReader(const GetItem& item);

  // As PutPipe::Tick.
  void Tick(absl::Time now);

  PipeState state() const;

  class Core;

 private:
  const std::shared_ptr<Core> core_;
  const uint64_t read_bytes_max_;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_GET_PIPE_H_
