// What the streams to one bucket need to know.
#ifndef BUE_COMMON_BUCKET_CLIENT_PIPE_OPTIONS_H_
#define BUE_COMMON_BUCKET_CLIENT_PIPE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace bue {

struct PipeOptions {
  std::string bucket;  // HOST:PORT, for messages.
  absl::Duration patience;
  uint64_t append_bytes_max = 0;
  uint64_t read_bytes_max = 0;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_PIPE_OPTIONS_H_
