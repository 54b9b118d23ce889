// `bue hub`: the role that schedules.
#include "hub/hub.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/server_role.h"
#include "cli/stop_signal.h"
#include "cli/verify.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "hub/verify.h"

namespace bue::cli {
namespace {

constexpr uint64_t kHistoryMax = uint64_t{1} << 50;

struct Flags {
  ServerFlags server;
  std::vector<std::string> buckets = {BucketToConnect()};
  std::string keep_results = "168h";
  std::string sweep = "10m";
  std::string sweep_grace = "10m";
  std::string stats_interval = "10";
  uint64_t history = hub::HubOptions().history_bytes;
};

absl::Status ReadTime(const char* option, const std::string& text, absl::Duration* time) {
  if (absl::ParseDuration(text, time) && *time >= absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, " takes a time such as 168h, 30m or 0, not '", text, "'"));
}

// A number alone means seconds.
absl::Status ReadInterval(const char* option, const std::string& text, absl::Duration* time) {
  double seconds = 0;
  if (!absl::SimpleAtod(text, &seconds)) return ReadTime(option, text, time);
  if (!(seconds >= 0 && seconds <= 1e9)) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " takes seconds from 0 to 1e9, not '", text, "'"));
  }
  *time = absl::Seconds(seconds);
  return absl::OkStatus();
}

absl::StatusOr<int> ServeHub(const Flags& flags) {
  StopSignal::Install(kExitOk);
  SetUpLogging("hub", flags.server.role.log_level);
  hub::HubOptions options;
  RETURN_IF_ERROR(Fill(flags.server, &options));
  options.buckets = SplitList(flags.buckets);
  for (const std::string& bucket : options.buckets) {
    RETURN_IF_ERROR(CheckHostPort("bucket", bucket));
  }
  if (flags.server.low_water.has_value()) options.free_bytes_min = *flags.server.low_water;
  if (flags.history > kHistoryMax) {
    return absl::InvalidArgumentError("--history takes a size such as 64MiB or 0, up to 1 PiB");
  }
  options.history_bytes = flags.history;
  RETURN_IF_ERROR(ReadTime("--keep-results", flags.keep_results, &options.keep_results));
  RETURN_IF_ERROR(ReadTime("--sweep", flags.sweep, &options.sweep_interval));
  RETURN_IF_ERROR(ReadTime("--sweep-grace", flags.sweep_grace, &options.sweep_grace));
  RETURN_IF_ERROR(
      ReadInterval("--stats-interval", flags.stats_interval, &options.statistics_interval));
  return Serve<hub::Hub>(options, "bue-hub");
}

}  // namespace

void AddHub(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  flags->server.binding = HubToBind();
  flags->server.data = ".bue/hub";
  CLI::App* const command =
      app->add_subcommand("hub", "Serve as the hub: decides which worker runs what");
  AddServerFlags(
      command,
      {.data = "Directory for the hub's state",
       .sync = "disk: what was promised survives a power cut; os: faster, survives kill -9 only",
       .low_water = "Below this much free disk uploads are refused and a start waits: 100MiB, "
                    "...; otherwise 64 MiB"},
      &flags->server);
  command
      ->add_option("-k,--bucket-binding,--bucket", flags->buckets,
                   "The bucket, as workers and clients reach it; several: comma-separated")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false)
      ->capture_default_str();
  command
      ->add_option("--keep-results", flags->keep_results,
                   "How long the values of an ended run can be read: 168h, 30m, ...")
      ->type_name("TIME")
      ->capture_default_str();
  command
      ->add_option("--sweep", flags->sweep,
                   "How often the buckets are searched for what nobody wants any more; 0: never")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_option("--sweep-grace", flags->sweep_grace, "What is younger is left alone")
      ->type_name("TIME")
      ->capture_default_str();
  command
      ->add_option("--stats-interval", flags->stats_interval,
                   "How often the log says how active runs get on; 0: only when one has ended")
      ->type_name("SECONDS")
      ->capture_default_str();
  command
      ->add_option("--history", flags->history,
                   "How much is kept of when each item's steps were queued, started and done (bue "
                   "results --json, --follow): 64MiB, 1GiB, ...; the oldest goes first, and what "
                   "is 30 days old; 0: nothing; otherwise 256 MiB")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false));
  command->footer(
      "Prints `listening on HOST:PORT` when ready. SIGTERM or Ctrl-C stop it; started again with "
      "the\n"
      "same --data it goes on where it was. One hub serves a cluster.\n"
      "  bue hub\n"
      "  bue hub -b 0.0.0.0:65432 -k bucket.example:61535 --data /var/lib/bue/hub --token-file "
      "token");
  command->callback([flags, action] {
    *action = [flags] {
      return flags->server.verify
                 ? PrintVerified(hub::VerifyHub(flags->server.data), flags->server.json)
                 : ServeHub(*flags);
    };
  });
}

}  // namespace bue::cli
