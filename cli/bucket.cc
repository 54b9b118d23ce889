// `bue bucket`: the role that keeps values.
#include "bucket/bucket.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "bucket/verify.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/environment.h"
#include "cli/role_flags.h"
#include "cli/stop_signal.h"
#include "cli/verify.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  RoleFlags role;
  std::string binding = BucketToBind();
  std::string data = ".bue/bucket";
  std::string sync = "disk";
  std::optional<uint64_t> low_water;
  bool verify = false;
  bool json = false;
};

absl::StatusOr<int> ServeBucket(const Flags& flags) {
  StopSignal::Install(kExitOk);
  SetUpLogging("bucket", flags.role.log_level);
  BucketOptions options;
  options.binding = flags.binding;
  options.data_dir = flags.data;
  options.insecure = flags.role.insecure;
  options.sync_os = flags.sync == "os";
  options.give_up = StopSignal::Received;
  options.low_water_bytes = flags.low_water;
  ASSIGN_OR_RETURN(options.token, ReadToken(flags.role.token_file));
  const absl::StatusOr<std::unique_ptr<Bucket>> bucket = Bucket::Start(options);
  if (absl::IsCancelled(bucket.status())) return kExitOk;  // Stopped before it had started.
  RETURN_IF_ERROR(bucket.status());
  StopSignal::Started();
  PrintReady(absl::StrCat("listening on ", (*bucket)->address()));
  StopSignal::Wait(absl::InfiniteDuration());
  (*bucket)->Shutdown();
  return kExitOk;
}

}  // namespace

void AddBucket(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("bucket", "Serve as a bucket: keeps the values that steps hand on");
  command->add_option("-b,--binding", flags->binding, "Listen here; port 0 picks a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--data", flags->data, "Directory for the values")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option("--sync", flags->sync,
                   "disk: what was stored survives a power cut; os: faster, survives kill -9 only")
      ->check(CLI::IsMember({"disk", "os"}))
      ->capture_default_str();
  command
      ->add_option(
          "--low-water", flags->low_water,
          "Below this much free disk values wait to be stored: 500MiB, 2GiB, ...; otherwise "
          "5 % of the disk, at least 64 MiB and at most 1 GiB")
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
      "same --data it has all values. Workers and clients talk to it directly.\n"
      "  bue bucket\n"
      "  bue bucket -b 0.0.0.0:61535 --data /var/lib/bue/bucket --token-file token");
  command->callback([flags, action] {
    *action = [flags] {
      return flags->verify ? PrintVerified(VerifyBucket(flags->data), flags->json)
                           : ServeBucket(*flags);
    };
  });
}

}  // namespace bue::cli
