// `bue hub`: the role that schedules.
#include "hub/hub.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/environment.h"
#include "cli/role_flags.h"
#include "cli/stop_signal.h"
#include "cli/verify.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "hub/verify.h"

namespace bue::cli {
namespace {

struct Flags {
  RoleFlags role;
  std::string binding = HubToBind();
  std::vector<std::string> buckets = {BucketToConnect()};
  std::string data = ".bue/hub";
  std::string sync = "disk";
  std::optional<uint64_t> low_water;
  bool verify = false;
  bool json = false;
  std::string keep_results = "168h";
  std::string sweep = "10m";
  std::string sweep_grace = "10m";
};

absl::Status ReadTime(const char* option, const std::string& text, absl::Duration* time) {
  if (absl::ParseDuration(text, time) && *time >= absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, " takes a time such as 168h, 30m or 0, not '", text, "'"));
}

absl::StatusOr<int> ServeHub(const Flags& flags) {
  StopSignal::Install(kExitOk);
  SetUpLogging("hub", flags.role.log_level);
  hub::HubOptions options;
  options.binding = flags.binding;
  options.buckets = SplitList(flags.buckets);
  options.data_dir = flags.data;
  options.insecure = flags.role.insecure;
  options.sync_os = flags.sync == "os";
  options.give_up = StopSignal::Received;
  if (flags.low_water.has_value()) options.free_bytes_min = *flags.low_water;
  RETURN_IF_ERROR(ReadTime("--keep-results", flags.keep_results, &options.keep_results));
  RETURN_IF_ERROR(ReadTime("--sweep", flags.sweep, &options.sweep_interval));
  RETURN_IF_ERROR(ReadTime("--sweep-grace", flags.sweep_grace, &options.sweep_grace));
  ASSIGN_OR_RETURN(options.token, ReadToken(flags.role.token_file));
  const absl::StatusOr<std::unique_ptr<hub::Hub>> hub = hub::Hub::Start(options);
  if (absl::IsCancelled(hub.status())) return kExitOk;  // Stopped before it had started.
  RETURN_IF_ERROR(hub.status());
  StopSignal::Started();
  PrintReady(absl::StrCat("listening on ", (*hub)->address()));
  StopSignal::Wait(absl::InfiniteDuration());
  (*hub)->Shutdown();
  return kExitOk;
}

}  // namespace

void AddHub(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("hub", "Serve as the hub: decides which worker runs what");
  command->add_option("-b,--binding", flags->binding, "Listen here; port 0 picks a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command
      ->add_option("-k,--bucket-binding,--bucket", flags->buckets,
                   "The bucket, as workers and clients reach it; several: comma-separated")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--data", flags->data, "Directory for the hub's state")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option(
          "--sync", flags->sync,
          "disk: what was promised survives a power cut; os: faster, survives kill -9 only")
      ->check(CLI::IsMember({"disk", "os"}))
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
      ->add_option("--low-water", flags->low_water,
                   "Below this much free disk uploads are refused and a start waits: 100MiB, ...; "
                   "otherwise 64 MiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->type_name("SIZE");
  CLI::Option* const verify = command->add_flag(
      "--verify", flags->verify,
      "Start nothing: look at --data, change nothing, and say what is wrong with it");
  command->add_flag("--json", flags->json, "With --verify: as JSON")->needs(verify);
  AddRoleFlags(command, &flags->role);
  AddInsecureFlag(command, &flags->role);
  command->footer(
      "Prints `listening on HOST:PORT` when ready. SIGTERM or Ctrl-C stop it; started again with "
      "the\n"
      "same --data it goes on where it was. One hub serves a cluster.\n"
      "  bue hub\n"
      "  bue hub -b 0.0.0.0:65432 -k bucket.example:61535 --data /var/lib/bue/hub --token-file "
      "token");
  command->callback([flags, action] {
    *action = [flags] {
      return flags->verify ? PrintVerified(hub::VerifyHub(flags->data), flags->json)
                           : ServeHub(*flags);
    };
  });
}

}  // namespace bue::cli
