// `bue explain`: why tasks of a run do not run now.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "cli/unknown_names.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string run;
  std::string step;
  std::string item;
  bool json = false;
};

Json EntryJson(const v1::ExplainReply::Entry& entry) {
  return Json{
      {"step", entry.step()},
      {"item", entry.item()},
      {"tasks", entry.tasks()},
      {"state", entry.state()},
      {"reasons", std::vector<std::string>(entry.reasons().begin(), entry.reasons().end())},
  };
}

std::string EntryText(const v1::ExplainReply::Entry& entry, bool one_task) {
  std::string text = OneLine(entry.step(), 60);
  if (!entry.item().empty()) absl::StrAppend(&text, " of item ", entry.item());
  absl::StrAppend(&text, ": ");
  if (!one_task && entry.tasks() > 0) absl::StrAppend(&text, entry.tasks(), " ");
  absl::StrAppend(&text, entry.state(), "\n");
  for (const std::string& reason : entry.reasons()) {
    absl::StrAppend(&text, "  ", OneLine(reason, 200), "\n");
  }
  return text;
}

absl::StatusOr<int> Explain(const Flags& flags) {
  v1::ExplainRequest request;
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  request.set_run(run);
  request.set_step(flags.step);
  request.set_item(flags.item);
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  const absl::StatusOr<v1::ExplainReply> explained = hub->Explain(request);
  if (!explained.ok()) {
    return SayMore(explained.status(), hub.get(), run, flags.step, flags.item);
  }
  const v1::ExplainReply& reply = *explained;
  if (flags.json) {
    Json list = Json::array();
    for (const v1::ExplainReply::Entry& entry : reply.entries()) list.push_back(EntryJson(entry));
    absl::PrintF("%s\n", ToLine(list));
    return kExitOk;
  }
  if (reply.entries().empty()) {
    absl::PrintF(
        "Nothing of %s waits for a worker or a limit now; bue status shows how far it is\n",
        RunName(run));
  }
  for (const v1::ExplainReply::Entry& entry : reply.entries()) {
    absl::PrintF("%s", EntryText(entry, /*one_task=*/!flags.step.empty()));
  }
  return kExitOk;
}

}  // namespace

void AddExplain(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("explain", "Say why a run's tasks do not run now");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  command->add_option("STEP", flags->step, "A step's name; none: all that could run now");
  command->add_option("ITEM", flags->item, "An item of its loop, such as 4 or 4.17");
  command->add_flag("--json", flags->json, "One JSON array");
  AddHubFlags(command, &flags->connection);
  command->footer(
      "  bue explain r17                what waits, and for what\n"
      "  bue explain r17 fetch 4        one task\n"
      "JSON: [{step, item, tasks, state, reasons []}]");
  command->callback([flags, action] { *action = [flags] { return Explain(*flags); }; });
}

}  // namespace bue::cli
