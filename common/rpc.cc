#include "common/rpc.h"

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/memory.h"
#include "common/rpc_poller.h"

namespace bue {
namespace {

// Bytes of a stream that may be under way or unread; of a connection it is 64 KiB and the message
// that is being read. Fixed where many send to one, so that what they have there unread is bounded.
// Who gets values has gRPC measure, with pings of its own, what the network can have under way, and
// let both grow, to 4 MiB and more: a fixed window is what a round trip carries, and from a host
// that is 2 ms away values came at a sixth of the rate.
constexpr int kWindowBytes = 1 << 20;
// As large as a chunk of a value, which then is one frame rather than sixteen.
constexpr int kFrameBytes = 256 << 10;

constexpr char kTokenHeader[] = "authorization";
constexpr int kMessageBytesMax = 64 << 20;
constexpr int kCallsMax = 1000;  // Open at once on one connection.

std::string HostOf(const std::string& binding) {
  const size_t colon = binding.rfind(':');
  return colon == std::string::npos ? binding : binding.substr(0, colon);
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" || host == "::1" || absl::StartsWith(host, "127.");
}

// Adds the cluster token to every call of a channel.
class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::string* header) : header_(header) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({kTokenHeader, *header_});
    }
    methods->Proceed();
  }

 private:
  const std::string* const header_;
};

class TokenInterceptorFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(const std::string& token) : header_("Bearer " + token) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(&header_);
  }

 private:
  const std::string header_;
};

}  // namespace

void SetUpProcess() {
  // Debian's Abseil is built with its deadlock detector on, which every lock inside gRPC pays for.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // What goes wrong is said by whoever meets it; gRPC's own lines would come on top.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  TuneAllocator();
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && status.error_message().empty()) {
    return absl::UnimplementedError(
        "the server there does not know this call: is it another role's address, or of another "
        "version?");
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

RpcServer::RpcServer(std::unique_ptr<grpc::Server> server, std::string address)
    : server_(std::move(server)), address_(std::move(address)) {}

RpcServer::~RpcServer() { Shutdown(absl::Seconds(1)); }

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const ServerOptions& options, const std::vector<grpc::Service*>& services) {
  const std::string host = HostOf(options.binding);
  const absl::string_view text = absl::string_view(options.binding).substr(host.size());
  int number = -1;
  if (host.empty() || text.empty() || !absl::SimpleAtoi(text.substr(1), &number) || number < 0 ||
      number > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("cannot listen on '", options.binding,
                                                   "': say HOST:PORT, with a port of 0 to 65535"));
  }
  if (!IsLoopback(host) && options.token.empty() && !options.insecure) {
    return absl::FailedPreconditionError(absl::StrCat(
        "refusing to listen on ", options.binding,
        ", beyond this machine, without a cluster token.\n",
        "Make one with `bue token > FILE` and give every role --token-file FILE (or BUE_TOKEN),\n",
        "or say --insecure on a network where everybody may run code on your workers"));
  }
  PollOnOneThread();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.binding, grpc::InsecureServerCredentials(), &port);
  // Without this a second server on the same port starts silently and steals connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // More wait at the client. Every call that is open costs memory, whatever it is for.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsMax);
  // A peer that vanished or stands still gives back what its calls hold.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.SetMaxReceiveMessageSize(options.message_bytes_max);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", options.binding,
        ": the port is in use or the address is not this machine's; choose another with -b"));
  }
  return std::unique_ptr<RpcServer>(
      new RpcServer(std::move(server), absl::StrCat(host, ":", port)));
}

void RpcServer::Shutdown(absl::Duration grace) {
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
}

absl::Status CheckToken(const grpc::CallbackServerContext& context, absl::string_view token) {
  if (token.empty()) return absl::OkStatus();
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(kTokenHeader);
  const std::string expected = absl::StrCat("Bearer ", token);
  if (found != metadata.end() && found->second.size() == expected.size()) {
    // Constant time, so that the answer's delay tells nothing about the token.
    unsigned char difference = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      difference |= found->second.data()[i] ^ expected[i];
    if (difference == 0) return absl::OkStatus();
  }
  return absl::UnauthenticatedError(
      "the cluster token is missing or wrong; give the server's with --token-file FILE or "
      "BUE_TOKEN");
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target, const std::string& token,
                                           Traffic traffic) {
  PollOnOneThread();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, traffic == Traffic::kValues ? 1 : 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // In spite of its name: how long one attempt to connect may take.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A peer that vanished without closing its connection is noticed, so that calls move to a new
  // one.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Channels to one target share connections unless told otherwise; a role and its client in one
  // process (bue run) must not share a fate.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!token.empty()) interceptors.push_back(std::make_unique<TokenInterceptorFactory>(token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, grpc::InsecureChannelCredentials(), arguments, std::move(interceptors));
}

absl::Status WaitForChannel(grpc::Channel* channel, absl::string_view role,
                            absl::string_view target, absl::Duration timeout) {
  if (channel->WaitForConnected(absl::ToChronoTime(absl::Now() + timeout))) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("no ", role, " at ", target, " (waited ",
                                             DurationText(timeout), "): is it running?"));
}

}  // namespace bue
