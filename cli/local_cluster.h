// LocalCluster is a bucket, a hub and a worker in this process, on loopback ports that nobody
// knows: what `bue run` runs on. Not thread-safe.
#ifndef BUE_CLI_LOCAL_CLUSTER_H_
#define BUE_CLI_LOCAL_CLUSTER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bucket/bucket.h"
#include "hub/hub.h"
#include "worker/core/worker.h"

namespace bue::cli {

struct LocalClusterOptions {
  std::string data_dir;  // Of its own; exists.
  std::string python;    // Empty: found.
  int slots = 0;         // 0: the worker's defaults.
};

class LocalCluster {
 public:
  // An error names the part that did not start; what had started is stopped again.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const LocalClusterOptions& options);

  // Stops what still runs, in order.
  ~LocalCluster();

  const std::string& hub_address() const { return hub_->address(); }
  const std::string& bucket_address() const { return bucket_->address(); }
  const std::string& token() const { return token_; }

 private:
  LocalCluster() = default;

  std::string token_;  // Other users of this machine can reach loopback ports, too.
  std::unique_ptr<Bucket> bucket_;
  std::unique_ptr<hub::Hub> hub_;
  std::unique_ptr<worker::Worker> worker_;
};

}  // namespace bue::cli

#endif  // BUE_CLI_LOCAL_CLUSTER_H_
