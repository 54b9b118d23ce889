// Everything the roles share about gRPC: status mapping, servers, channels, the cluster token.
// The only place where absl::Status becomes grpc::Status and back.
#ifndef BUE_COMMON_RPC_H_
#define BUE_COMMON_RPC_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class CallbackServerContext;
class Channel;
class Server;
class Service;
class Status;
}  // namespace grpc

namespace bue {

// Sets allocator and mutex options that gRPC-heavy processes need (reasons in the .cc). First thing
// in main, before any thread.
void SetUpProcess();

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

struct ServerOptions {
  std::string binding;    // HOST:PORT; port 0 picks a free one.
  std::string token;      // Required from every caller when not empty.
  bool insecure = false;  // Listen beyond loopback although there is no token.
  // A longer message is refused unread. Whoever sends only half of one has the server hold that.
  int message_bytes_max = 4 << 20;
};

// A running gRPC server. Callback API; one poller style per process.
class RpcServer {
 public:
  // FailedPrecondition: beyond loopback without a token. Unavailable: the port is taken.
  // The services outlive the server.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const ServerOptions& options, const std::vector<grpc::Service*>& services);
  ~RpcServer();

  // HOST:PORT as bound, with the port that was picked.
  const std::string& address() const { return address_; }

  // Stops accepting; calls still open after `grace` are cancelled. Blocks.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer(std::unique_ptr<grpc::Server> server, std::string address);

  const std::unique_ptr<grpc::Server> server_;
  const std::string address_;
};

// OK if `token` is empty or the caller sent it; Unauthenticated with the remedy otherwise.
// Every service method asks this first.
absl::Status CheckToken(const grpc::CallbackServerContext& context, absl::string_view token);

// What comes back through a channel.
enum class Traffic {
  kMessages,  // At most 64 KiB under way, and a message.
  kValues,    // As much as the network can carry. The reader bounds what he asks for.
};

// A channel to HOST:PORT that sends `token` (if any) with every call. Does not connect yet.
// Reconnects at once at first, then with backoff up to a second.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target, const std::string& token,
                                           Traffic traffic = Traffic::kMessages);

// Waits until `channel` is connected. Unavailable, naming `target` and `role` ("hub"), if it is not
// within `timeout`.
absl::Status WaitForChannel(grpc::Channel* channel, absl::string_view role,
                            absl::string_view target, absl::Duration timeout);

}  // namespace bue

#endif  // BUE_COMMON_RPC_H_
