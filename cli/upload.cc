// `bue upload`: starts a run on a cluster.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/number_range.h"
#include "cli/run_end.h"
#include "cli/script.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ScriptFlags script;
  ConnectionFlags connection;
  uint32_t weight = 1;
  std::string key;
  bool wait = false;
};

// A hub that is away meanwhile is waited for so long; as `bue wait` does.
constexpr absl::Duration kUploadPatience = absl::Seconds(30);
constexpr absl::Duration kWaitPatience = absl::Seconds(60);

void Print(uint64_t number) {
  absl::PrintF("%s\n", RunName(number));
  std::fflush(stdout);
}

absl::StatusOr<int> Upload(const Flags& flags) {
  ASSIGN_OR_RETURN(const CompiledScript script, CompileScript(flags.script));
  absl::FPrintF(stderr, "%s", FormatScript(script));
  if (!script.result.program.has_value()) return kExitRefused;
  NewRun run = ToNewRun(script, flags.script);
  run.weight = flags.weight;
  if (!flags.key.empty()) run.key = flags.key;
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub,
                   ConnectHub(flags.connection, flags.wait ? kWaitPatience : kUploadPatience));
  if (!flags.wait) {
    ASSIGN_OR_RETURN(const uint64_t number, hub->Upload(run));
    Print(number);
    return kExitOk;
  }
  ASSIGN_OR_RETURN(const v1::RunStatus last,
                   hub->UploadAndWatch(run, absl::InfiniteDuration(), Print,
                                       [](const v1::RunStatus&) { return true; }));
  return ShowEnd(last);
}

}  // namespace

void AddUpload(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("upload", "Start a run of a script on a cluster; prints its id");
  AddScriptFlags(command, &flags->script);
  AddHubFlags(command, &flags->connection);
  command->add_option("--weight", flags->weight, "Share among runs of the same scope and priority")
      ->type_name("N")
      ->check(WholeNumber(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--key", flags->key,
                   "A name of your own for this run: a second upload of the same script and files "
                   "with it starts nothing and prints the same id; of others it is refused")
      ->type_name("KEY");
  command->add_flag("--wait", flags->wait,
                    "Stay until it has ended, and say how and exit as bue wait does");
  command->footer(
      "The script is checked first; if anything is wrong nothing is sent (exit code 2). The files "
      "its\n"
      "steps name, and the modules beside them that those import, travel along. When the id is\n"
      "printed, the run survives any crash of the hub.\n"
      "  bue upload -b hub.example:65432 -f nightly.bue --include 'queries/*.sql'\n"
      "  r17\n"
      "  bue upload -f nightly.bue --wait  # in a cron job: exits with 1 if it failed");
  command->callback([flags, action] { *action = [flags] { return Upload(*flags); }; });
}

}  // namespace bue::cli
