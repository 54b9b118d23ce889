// BucketProbe asks one bucket whether it answers: for who needs no value of it and wants to tell
// people when it is away. Blocking; for one thread.
#ifndef BUE_COMMON_BUCKET_CLIENT_BUCKET_PROBE_H_
#define BUE_COMMON_BUCKET_CLIENT_BUCKET_PROBE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace bue {

class BucketProbe {
 public:
  // Does not connect yet.
  BucketProbe(const std::string& bucket, const std::string& token);
  ~BucketProbe();

  // OK if it answered; at once with an error if nobody listens there.
  absl::Status Ask(absl::Duration timeout);

 private:
  class Impl;  // Keeps gRPC out of this header.

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_BUCKET_PROBE_H_
