// `bue bucket`: the role that keeps values.
#include "bucket/bucket.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "bucket/verify.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/server_role.h"
#include "cli/stop_signal.h"
#include "cli/verify.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

absl::StatusOr<int> ServeBucket(const ServerFlags& flags) {
  StopSignal::Install(kExitOk);
  SetUpLogging("bucket", flags.role.log_level);
  BucketOptions options;
  RETURN_IF_ERROR(Fill(flags, &options));
  options.low_water_bytes = flags.low_water;
  return Serve<Bucket>(options, "LOCK");
}

}  // namespace

void AddBucket(CLI::App* app, Action* action) {
  auto flags = std::make_shared<ServerFlags>();
  flags->binding = BucketToBind();
  flags->data = ".bue/bucket";
  CLI::App* const command =
      app->add_subcommand("bucket", "Serve as a bucket: keeps the values that steps hand on");
  AddServerFlags(
      command,
      {.data = "Directory for the values",
       .sync = "disk: what was stored survives a power cut; os: faster, survives kill -9 only",
       .low_water = "Below this much free disk values wait to be stored: 500MiB, 2GiB, ...; "
                    "otherwise 5 % of the disk, at least 64 MiB and at most 1 GiB"},
      flags.get());
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
