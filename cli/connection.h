// How a client command finds its cluster: the options that all of them share, and connecting.
#ifndef BUE_CLI_CONNECTION_H_
#define BUE_CLI_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bucket_client/bucket_client.h"
#include "common/hub_client/hub_client.h"

namespace CLI {
class App;
}  // namespace CLI

namespace bue::cli {

struct ConnectionFlags {
  std::string hub;         // -b; default: HubToConnect()
  std::string bucket;      // -k; empty: the hub knows
  std::string token_file;  // empty: BUE_TOKEN
  double timeout_s = 5;    // For the first contact.
};

// Adds -b, --token-file and --timeout.
void AddHubFlags(CLI::App* command, ConnectionFlags* flags);
// Adds -k, for commands that look into values.
void AddBucketFlag(CLI::App* command, ConnectionFlags* flags);

// InvalidArgument unless it looks like HOST:PORT. Whether there is such a host is not asked: it may
// be for others to reach.
absl::Status CheckHostPort(absl::string_view role, absl::string_view address);

// The token in `file`, or else in BUE_TOKEN; empty when there is none. NotFound or InvalidArgument
// for a file that holds no token.
absl::StatusOr<std::string> ReadToken(const std::string& file);

// Tells the person at the screen, on standard error, what is no error.
void Note(const std::string& text);

// `retry_for`: how long calls wait for a hub that was there and went away.
absl::StatusOr<std::unique_ptr<HubClient>> ConnectHub(const ConnectionFlags& flags,
                                                      absl::Duration retry_for = absl::Seconds(10));

// The buckets of -k, or those that the hub names.
absl::StatusOr<std::unique_ptr<BucketClient>> ConnectBucket(const ConnectionFlags& flags,
                                                            HubClient* hub);

}  // namespace bue::cli

#endif  // BUE_CLI_CONNECTION_H_
