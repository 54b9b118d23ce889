// What the streams to one bucket need to know.
#ifndef BUE_COMMON_BUCKET_CLIENT_PIPE_OPTIONS_H_
#define BUE_COMMON_BUCKET_CLIENT_PIPE_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/time/time.h"

namespace bue {

struct PipeOptions {
  std::string bucket;  // HOST:PORT, for messages.
  absl::Duration patience;
  uint64_t append_bytes_max = 0;
  uint64_t read_bytes_max = 0;
  // As BucketClientOptions::on_waiting; may be unset.
  std::function<void(const std::string& bucket, const std::string& why)> on_waiting;
};

// How a stream to a bucket fares.
struct PipeState {
  bool connected = false;
  absl::Time waits_since = absl::InfiniteFuture();  // Since when what is to be sent waits in vain.
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_PIPE_OPTIONS_H_
