// `bue workers`: who works for a hub.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ConnectionFlags connection;
  bool json = false;
};

// "12.0 s ago"
std::string SinceHeard(const v1::WorkerStatus& worker) {
  const absl::Time heard = absl::UnixEpoch() + absl::Seconds(worker.last_heard_unix_s());
  return absl::StrCat(HumanDuration(absl::Now() - heard), " ago");
}

std::string WorkerTable(const std::vector<v1::WorkerStatus>& workers) {
  if (workers.empty()) return "No workers; start one with bue worker\n";
  Table table({"NAME", "HOST", "SCOPES", "SLOTS", "RUNNING", "GHOSTS", "DONE", "FAILED", "ALIVE"});
  for (const v1::WorkerStatus& worker : workers) {
    const std::string scopes = absl::StrJoin(worker.scopes(), ",");
    table.Add({OneLine(worker.name(), 40), OneLine(worker.host(), 40),
               scopes.empty() ? "(all)" : OneLine(scopes, 60), absl::StrCat(worker.slots()),
               absl::StrCat(worker.running()),
               worker.ghosts() == 0 ? "" : absl::StrCat(worker.ghosts()),
               absl::StrCat(worker.done()), absl::StrCat(worker.failed()),
               worker.alive() ? "yes" : absl::StrCat("gone ", SinceHeard(worker))});
  }
  return table.ToString();
}

absl::StatusOr<int> PrintWorkers(const Flags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  ASSIGN_OR_RETURN(const std::vector<v1::WorkerStatus> workers, hub->ListWorkers());
  if (!flags.json) {
    absl::PrintF("%s", WorkerTable(workers));
    return kExitOk;
  }
  Json list = Json::array();
  for (const v1::WorkerStatus& worker : workers) list.push_back(WorkerJson(worker, absl::Now()));
  absl::PrintF("%s\n", ToLine(list));
  return kExitOk;
}

}  // namespace

void AddWorkers(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("workers", "List the workers of a hub");
  command->add_flag("--json", flags->json, "One JSON array");
  AddHubFlags(command, &flags->connection);
  command->footer(
      "  bue workers -b hub.example:65432\n"
      "JSON: [{name, host, scopes [] (empty: every scope), slots, running, ghosts, done, failed,\n"
      "alive, last_heard_s, version}]. RUNNING counts the tasks a worker holds, running or next "
      "to\n"
      "run. One that was lost stays in the list for an hour (the last 100), and counts on under "
      "its\n"
      "name when it is back. GHOSTS counts attempts that go on although nobody waits for them any "
      "more: they were\n"
      "cancelled or timed out, and nothing could interrupt them. Their runner is replaced.");
  command->callback([flags, action] { *action = [flags] { return PrintWorkers(*flags); }; });
}

}  // namespace bue::cli
