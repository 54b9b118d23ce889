// `bue status`: how far a run is, or all runs.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr absl::Duration kWatchInterval = absl::Milliseconds(500);
constexpr absl::Duration kWatchPatience = absl::Minutes(1);

struct Flags {
  ConnectionFlags connection;
  std::string run;
  bool watch = false;
  bool json = false;
};

std::string Shown(const v1::RunStatus& status, bool json) {
  if (json) return absl::StrCat(ToLine(StatusJson(status, absl::Now())), "\n");
  return RunTable(status, absl::Now());
}

std::string AllRuns(const std::vector<v1::RunStatus>& runs, bool json) {
  const absl::Time now = absl::Now();
  if (json) {
    Json list = Json::array();
    for (const v1::RunStatus& run : runs) list.push_back(StatusJson(run, now));
    return absl::StrCat(ToLine(list), "\n");
  }
  if (runs.empty()) return "No runs yet; start one with bue upload -f FILE\n";
  Table table(
      {"RUN", "STATE", "ELAPSED", "ETA", "DONE", "TOTAL", "FAILED", "RUNNING", "WAITING", "NAME"});
  for (const v1::RunStatus& run : runs) {
    const v1::Counts& tasks = run.tasks();
    table.Add(
        {RunName(run.run()), std::string(StateName(run.state())), HumanDuration(Elapsed(run, now)),
         run.has_eta_s() ? HumanDuration(absl::Seconds(run.eta_s())) : "-",
         absl::StrCat(tasks.done()), tasks.total_unknown() ? "?" : absl::StrCat(tasks.total()),
         absl::StrCat(tasks.failed()), absl::StrCat(tasks.running()), absl::StrCat(tasks.waiting()),
         OneLine(run.name(), 60)});
  }
  return table.ToString();
}

absl::Status Watch(HubClient* hub, uint64_t run, bool json) {
  const bool redraw = !json && IsTerminal(STDOUT_FILENO);
  return hub
      ->WatchRun(run, kWatchInterval,
                 [&](const v1::RunStatus& status) {
                   absl::PrintF("%s%s", redraw ? "\x1b[H\x1b[2J" : "", Shown(status, json));
                   std::fflush(stdout);
                   return true;
                 })
      .status();
}

absl::StatusOr<int> PrintStatus(const Flags& flags) {
  uint64_t run = 0;
  if (!flags.run.empty()) {
    ASSIGN_OR_RETURN(run, ParseRun(flags.run));
  } else if (flags.watch) {
    return absl::InvalidArgumentError("--watch needs a run, e.g. bue status r17 --watch");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub,
                   ConnectHub(flags.connection, kWatchPatience));
  if (flags.watch) {
    RETURN_IF_ERROR(Watch(hub.get(), run, flags.json));
    return kExitOk;
  }
  RETURN_IF_ERROR(hub->NoteBuckets());
  if (run == 0) {
    ASSIGN_OR_RETURN(const std::vector<v1::RunStatus> runs, hub->ListRuns());
    absl::PrintF("%s", AllRuns(runs, flags.json));
    return kExitOk;
  }
  ASSIGN_OR_RETURN(const v1::RunStatus status, hub->GetRun(run));
  absl::PrintF("%s", Shown(status, flags.json));
  return kExitOk;
}

}  // namespace

void AddStatus(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("status", "Show how far a run is, or all runs");
  command->add_option("RUN", flags->run, "The run, as upload printed it; none: all runs");
  command->add_flag("-w,--watch,--subscribe", flags->watch, "Show it again whenever it changes");
  command->add_flag("--json", flags->json,
                    "One JSON object (with --watch: one a line; without RUN: an array)");
  AddHubFlags(command, &flags->connection);
  command->footer(
      "A task is one step of one item; an item is one pass through a loop's body. TOTAL is `?` "
      "until\n"
      "every loop knows how many items it has. FILTERED tasks were dropped because a step said\n"
      "cancel, SKIPPED ones because something before them failed or the run was cancelled; LEFT "
      "OUT\n"
      "are those items of a step's loop that failed or were filtered: bue results, and a list "
      "that\n"
      "gathers the step's values, are without them, even where the step itself was done.\n"
      "RUN TIME is what an attempt took in the step's code; OVERHEAD what else went by between\n"
      "grant and result. The eta is what is left at the pace of the last minute.\n"
      "  bue status\n"
      "  bue status r17 --watch\n"
      "  bue status r17 --json | jq .tasks.done\n"
      "JSON: run, name, state (running, paused, stopping, succeeded, failed, cancelled),\n"
      "started, ended,\n"
      "elapsed_s, eta_s, progress_percent, tasks_per_s, tasks and items {total, done, failed,\n"
      "filtered, skipped, running, waiting}, errors, stopped_by_failure, attempts,\n"
      "run_s {mean, min, max, p50, p95}, overhead_ms, overhead_percent, total_s, last_result,\n"
      "steps [{name, …the counts…, left_out, scope, queued, queued_by_value, peak_running,\n"
      "peak_queued,\n"
      "limits {max_running, max_running_key, max_running_by, queue, rate, rate_key, rate_by},\n"
      "…the times…}]. What is not known is null.");
  command->callback([flags, action] { *action = [flags] { return PrintStatus(*flags); }; });
}

}  // namespace bue::cli
