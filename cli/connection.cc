#include "cli/connection.h"

#include <netdb.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "cli/environment.h"
#include "cli/number_range.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr size_t kTokenBytesMin = 8;
constexpr size_t kTokenBytesMax = 4096;
// A person waits in front of the screen.
constexpr absl::Duration kBucketPatience = absl::Seconds(30);
constexpr char kWhereHubIs[] =
    " `bue hub` starts one; another's address: -b HOST:PORT, or PIPE_WORKER_HOST and "
    "PIPE_WORKER_PORT, here or in .env";

// A name that nobody knows, or no port, is said at once: waiting would not mend it.
absl::Status CheckAddress(absl::string_view role, const std::string& address) {
  RETURN_IF_ERROR(CheckHostPort(role, address));
  std::string host = address.substr(0, address.rfind(':'));
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, nullptr, &found);
  if (found != nullptr) freeaddrinfo(found);
  if (error != EAI_NONAME) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("no host is called '", host, "' (address of the ", role, ": ", address, ")"));
}

}  // namespace

void Note(const std::string& text) { absl::FPrintF(stderr, "note: %s\n", text); }

absl::Status CheckHostPort(absl::string_view role, absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon != absl::string_view::npos && colon != 0 &&
      absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 1 && port <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("'", address, "' is no address of a ", role,
                                                 "; say HOST:PORT, with a port of 1 to 65535"));
}

void AddHubFlags(CLI::App* command, ConnectionFlags* flags) {
  flags->hub = HubToConnect();
  command->add_option("-b,--binding,--hub", flags->hub, "The hub")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--token-file", flags->token_file, "File with the cluster token")
      ->type_name("FILE");
  command->add_option("--timeout", flags->timeout_s, "Seconds to wait for the hub")
      ->type_name("SECONDS")
      ->check(NumberBetween(0.1, 86400.0))
      ->capture_default_str();
}

void AddBucketFlag(CLI::App* command, ConnectionFlags* flags) {
  command
      ->add_option("-k,--bucket-binding,--bucket", flags->bucket,
                   "The bucket; default: where the hub says")
      ->type_name("HOST:PORT");
}

absl::StatusOr<std::string> ReadToken(const std::string& file) {
  if (file.empty()) return FromEnvironment("BUE_TOKEN");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return absl::NotFoundError(absl::StrCat("cannot read the token file '", file, "'"));
  std::string text(std::istreambuf_iterator<char>(stream), {});
  absl::StripAsciiWhitespace(&text);
  if (text.size() < kTokenBytesMin || text.size() > kTokenBytesMax ||
      text.find_first_of(" \t\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token file '", file,
                     "' must hold one word of 8 to 4096 characters, as `bue token` makes"));
  }
  return text;
}

absl::StatusOr<std::unique_ptr<HubClient>> ConnectHub(const ConnectionFlags& flags,
                                                      absl::Duration retry_for) {
  ASSIGN_OR_RETURN(const std::string token, ReadToken(flags.token_file));
  RETURN_IF_ERROR(CheckAddress("hub", flags.hub));
  absl::StatusOr<std::unique_ptr<HubClient>> hub =
      HubClient::Connect({.target = flags.hub,
                          .token = token,
                          .connect_timeout = absl::Seconds(flags.timeout_s),
                          .retry_for = retry_for,
                          .notice = Note});
  if (!absl::IsUnavailable(hub.status())) return hub;
  return absl::UnavailableError(absl::StrCat(hub.status().message(), kWhereHubIs));
}

absl::StatusOr<std::unique_ptr<BucketClient>> ConnectBucket(const ConnectionFlags& flags,
                                                            HubClient* hub) {
  ASSIGN_OR_RETURN(const std::string token, ReadToken(flags.token_file));
  std::vector<std::string> buckets;
  if (!flags.bucket.empty()) {
    buckets = absl::StrSplit(flags.bucket, ',', absl::SkipWhitespace());
  } else {
    ASSIGN_OR_RETURN(const v1::HubInfo info, hub->GetInfo());
    buckets.assign(info.buckets().begin(), info.buckets().end());
  }
  if (buckets.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the hub at ", flags.hub, " names no bucket; say where it is with -k HOST:PORT"));
  }
  for (const std::string& bucket : buckets) RETURN_IF_ERROR(CheckAddress("bucket", bucket));
  BucketClientOptions options;
  options.buckets = std::move(buckets);
  options.token = token;
  options.connect_timeout = absl::Seconds(flags.timeout_s);
  options.patience = kBucketPatience;
  return BucketClient::Connect(std::move(options));
}

}  // namespace bue::cli
