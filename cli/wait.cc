// `bue wait`: until a run has ended.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/number_range.h"
#include "cli/run_end.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string run;
  double reconnect_s = 60;
};

absl::StatusOr<int> WaitForRun(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub,
                   ConnectHub(flags.connection, absl::Seconds(flags.reconnect_s)));
  ASSIGN_OR_RETURN(
      const v1::RunStatus last,
      hub->WatchRun(run, absl::InfiniteDuration(), [](const v1::RunStatus&) { return true; }));
  return ShowEnd(last);
}

}  // namespace

void AddWait(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("wait", "Wait until a run has ended");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  AddHubFlags(command, &flags->connection);
  command
      ->add_option("--reconnect", flags->reconnect_s,
                   "Seconds to wait for a hub that went away meanwhile")
      ->type_name("SECONDS")
      ->check(NumberBetween(0.0, 86400.0))
      ->capture_default_str();
  command->footer(
      "Exit code: 0 it succeeded, 1 it failed or was cancelled, 2 no such run or no hub.\n"
      "  run=$(bue upload -f nightly.bue) && bue wait $run || bue errors $run");
  command->callback([flags, action] { *action = [flags] { return WaitForRun(*flags); }; });
}

}  // namespace bue::cli
