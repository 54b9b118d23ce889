// `bue errors`: what went wrong, attempt by attempt.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/number_range.h"
#include "cli/run_report.h"
#include "cli/task_inputs.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr uint64_t kCountMax = 1'000'000'000;

struct Flags {
  ConnectionFlags connection;
  std::string run;
  bool json = false;
  bool final_only = false;
  uint64_t limit = 0;
};

std::string ForPeople(const v1::ErrorRecord& error) {
  const bool of_task = error.attempt() > 0;  // Else a hook's, after the tasks.
  std::string text = Paint(Colour::kRed, absl::StrCat(RunName(error.run()), " ", error.step()));
  if (!error.item().empty()) absl::StrAppend(&text, " item ", error.item());
  if (of_task) {
    absl::StrAppend(&text, ", attempt ", error.attempt());
    if (error.pass() > 0) absl::StrAppend(&text, " of pass ", error.pass() + 1);
    if (!error.final()) absl::StrAppend(&text, " (was retried)");
  }
  absl::StrAppend(&text, ", ", error.action());
  if (!error.worker().empty()) absl::StrAppend(&text, " on ", error.worker());
  if (error.at_unix_s() > 0) {
    const absl::Time at = absl::UnixEpoch() + absl::Seconds(error.at_unix_s());
    absl::StrAppend(&text, " at ", HumanTime(at));
  }
  absl::StrAppend(&text, ": ", error.type(), error.type().empty() ? "" : ": ",
                  Visible(error.error()), "\n");
  const std::string inputs = InputsLine(error);
  if (!inputs.empty()) absl::StrAppend(&text, "  ", inputs, "\n");
  if (!error.traceback().empty()) absl::StrAppend(&text, Visible(error.traceback()), "\n");
  return text;
}

absl::StatusOr<int> PrintErrors(const Flags& flags) {
  uint64_t run = 0;
  if (!flags.run.empty()) {
    ASSIGN_OR_RETURN(run, ParseRun(flags.run));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  if (run != 0) RETURN_IF_ERROR(hub->GetRun(run).status());
  uint64_t printed = 0;
  RETURN_IF_ERROR(hub->ListErrors(run, [&](const v1::ErrorRecord& error) {
    if (flags.final_only && !error.final()) return true;
    absl::PrintF("%s",
                 flags.json ? absl::StrCat(ToLine(ErrorJson(error)), "\n") : ForPeople(error));
    return ++printed != flags.limit;
  }));
  if (printed == 0 && !flags.json) absl::PrintF("No errors\n");
  return kExitOk;
}

}  // namespace

void AddErrors(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("errors", "Show what failed, and why");
  command->add_option("RUN", flags->run, "The run, as upload printed it; none: all runs");
  command->add_flag("--json", flags->json, "One JSON object a line");
  command->add_flag("--final", flags->final_only, "Without attempts that were tried again");
  command->add_option("-c,--count", flags->limit, "At most so many")
      ->type_name("N")
      ->check(WholeNumber(1, kCountMax));
  AddHubFlags(command, &flags->connection);
  command->footer(
      "  bue errors r17\n"
      "JSON: run, step, item (\"4\", in a nested loop \"4.17\", at the top level \"\"), attempt "
      "(0: a hook's, nobody's), "
      "action\n"
      "(what was under way: load, start, input, run, store, finalize, timeout, worker_lost), "
      "worker,\n"
      "type (exception class), error, traceback, at, final (false: it was tried again), pass (how "
      "often the\n"
      "task had started over before, as after bue retry: its attempts count from 1 again), inputs "
      "(what the\n"
      "step was called with, in order: [{key, kind, from}], null: not known; bue get RUN --input "
      "KEY prints\n"
      "one, as long as it is kept), more_inputs (how many there were behind those).");
  command->callback([flags, action] { *action = [flags] { return PrintErrors(*flags); }; });
}

}  // namespace bue::cli
