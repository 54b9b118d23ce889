// `bue cancel`, `pause`, `resume` and `delete`: one run, told what to do.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Verb {
  const char* name;
  const char* about;
  const char* footer;
  const char* done;
  v1::ControlRunRequest::Action action;
};

constexpr Verb kVerbs[] = {
    {"cancel", "End a run: what has not started never starts",
     "Steps that run are stopped. What is done stays done and can be read.\n  bue cancel r17",
     "cancelled", v1::ControlRunRequest::CANCEL},
    {"pause", "Hold a run: no further step of it starts",
     "Steps that run go on to their end.\n  bue pause r17", "paused", v1::ControlRunRequest::PAUSE},
    {"resume", "Let a paused run go on", "  bue resume r17", "resumed",
     v1::ControlRunRequest::RESUME},
    {"delete", "Remove a run that has ended, with its values, errors and logs",
     "A run that has not ended is cancelled first with bue cancel.\n  bue delete r17", "deleted",
     v1::ControlRunRequest::DELETE},
};

struct Flags {
  ConnectionFlags connection;
  std::string run;
};

absl::StatusOr<int> Control(const Flags& flags, const Verb& verb) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  RETURN_IF_ERROR(hub->Control(run, verb.action));
  absl::PrintF("%s %s\n", RunName(run), verb.done);
  return kExitOk;
}

}  // namespace

void AddControl(CLI::App* app, Action* action) {
  for (const Verb& verb : kVerbs) {
    auto flags = std::make_shared<Flags>();
    CLI::App* const command = app->add_subcommand(verb.name, verb.about);
    command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
    AddHubFlags(command, &flags->connection);
    command->footer(verb.footer);
    command->callback(
        [flags, action, &verb] { *action = [flags, &verb] { return Control(*flags, verb); }; });
  }
}

}  // namespace bue::cli
