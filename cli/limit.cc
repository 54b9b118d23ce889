// `bue limit`: what a step of a run may do at once; changes it while the run goes on.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "cli/unknown_names.h"
#include "common/lang/directives.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr size_t kNameShown = 60;

struct Flags {
  ConnectionFlags connection;
  std::string run;
  std::string step;
  std::string max_running;
  std::string queue;
  std::string rate;
  bool json = false;
};

// A limit as scripts have it; `none` takes it away.
absl::StatusOr<lang::Directives> ParseLimit(absl::string_view name, absl::string_view value) {
  lang::Directives parsed;
  if (value == "none") return parsed;
  const lang::ParsedDirective result =
      lang::ParseDirective(absl::StrCat("!", name, " ", value), {}, &parsed);
  if (!result.ok) return absl::InvalidArgumentError(absl::StrCat(result.error, ", or none"));
  const bool shared = (parsed.max_running &&
                       (!parsed.max_running->key.empty() || !parsed.max_running->by.empty())) ||
                      (parsed.rate && (!parsed.rate->key.empty() || !parsed.rate->by.empty()));
  if (shared) {
    return absl::InvalidArgumentError(absl::StrCat(
        "!", name, " takes a number here: what a limit is shared by is said in the script"));
  }
  return parsed;
}

// "max_running 2 by account", "queue none"
std::string Shown(const std::string& name, const Json& limits) {
  const Json& limit = limits[name];
  if (limit.is_null()) return absl::StrCat(name, " none");
  std::string text =
      absl::StrCat(name, " ", limit.is_string() ? limit.get<std::string>() : limit.dump());
  for (const char* shared : {"by", "key"}) {
    const Json word = limits.value(absl::StrCat(name, "_", shared), Json());
    if (word.is_string()) {
      absl::StrAppend(&text, " ", shared, " ", OneLine(word.get<std::string>(), kNameShown));
    }
  }
  return text;
}

// `names`: of those to show to a person.
absl::Status Show(const Flags& flags, uint64_t run, const std::vector<std::string>& names,
                  HubClient* hub) {
  ASSIGN_OR_RETURN(const v1::RunStatus status, hub->GetRun(run));
  RETURN_IF_ERROR(CheckStep(status, flags.step));
  const auto step = std::find_if(status.steps().begin(), status.steps().end(),
                                 [&](const auto& of) { return of.name() == flags.step; });
  const Json limits = LimitsJson(*step);
  if (flags.json) {
    absl::PrintF("%s\n",
                 ToLine(Json{{"run", RunName(run)}, {"step", flags.step}, {"limits", limits}}));
    return absl::OkStatus();
  }
  std::vector<std::string> shown;
  for (const std::string& name : names) shown.push_back(Shown(name, limits));
  absl::PrintF("%s %s: %s\n", RunName(run), flags.step, absl::StrJoin(shown, ", "));
  return absl::OkStatus();
}

absl::StatusOr<int> ShowOrSet(const Flags& flags) {
  v1::SetLimitsRequest request;
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  request.set_run(run);
  request.set_step(flags.step);
  std::vector<std::string> set;
  if (!flags.max_running.empty()) {
    ASSIGN_OR_RETURN(const lang::Directives limit, ParseLimit("max_running", flags.max_running));
    request.set_max_running(limit.max_running ? limit.max_running->count : 0);
    set.push_back("max_running");
  }
  if (!flags.queue.empty()) {
    ASSIGN_OR_RETURN(const lang::Directives limit, ParseLimit("queue", flags.queue));
    request.set_queue(limit.queue.value_or(0));
    set.push_back("queue");
  }
  if (!flags.rate.empty()) {
    ASSIGN_OR_RETURN(const lang::Directives limit, ParseLimit("rate", flags.rate));
    request.mutable_rate()->set_count(limit.rate ? limit.rate->count : 0);
    request.mutable_rate()->set_per_s(limit.rate ? limit.rate->per_seconds : 0);
    set.push_back("rate");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  if (set.empty()) {
    RETURN_IF_ERROR(Show(flags, run, {"max_running", "queue", "rate"}, hub.get()));
    return kExitOk;
  }
  if (absl::Status status = hub->SetLimits(request); !status.ok()) {
    return SayMore(std::move(status), hub.get(), run, flags.step);
  }
  if (absl::Status status = Show(flags, run, set, hub.get()); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat("the limits are set, but could not be shown: ",
                                                    status.message()));
  }
  return kExitOk;
}

}  // namespace

void AddLimit(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("limit", "Show or change the limits of a step of a run");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  command->add_option("STEP", flags->step, "The step's name")->required();
  command->add_option("--max-running", flags->max_running, "How many run at once; none: no limit");
  command->add_option("--queue", flags->queue, "How many wait in front of it; none: no limit");
  command->add_option("--rate", flags->rate, "Starts per s, m or h, such as 10/s; none: no limit");
  command->add_flag("--json", flags->json, "Print all its limits as one JSON object");
  AddHubFlags(command, &flags->connection);
  command->footer(
      "Without a number it shows what the limits are. What runs when they change goes on. A limit\n"
      "with a `key` holds for all runs that name the key, and the\n"
      "smallest number among them counts; `none` takes only this run's away. One that goes `by` a\n"
      "value in the script stays one for each value; one that the script does not have is for all\n"
      "tasks of the step. A place in a queue is taken when the task before it is handed out: no\n"
      "more than that of the step before it run at once, either. bue status shows the limits, bue\n"
      "explain what waits for them.\n"
      "  bue limit r17 fetch --max-running 20\n"
      "  bue limit r17 fetch --rate 100/m --queue none");
  command->callback([flags, action] { *action = [flags] { return ShowOrSet(*flags); }; });
}

}  // namespace bue::cli
