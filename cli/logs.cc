// `bue logs`: what steps printed.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "cli/unknown_names.h"
#include "cli/values.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr uint64_t kLogBytesMax = 1 << 20;  // The runner keeps less than that of each attempt.

struct Flags {
  ConnectionFlags connection;
  std::string run;
  std::string step;
  std::string item;
  bool json = false;
};

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Gets captured output, connecting to the bucket when the first is asked for.
class LogTexts {
 public:
  LogTexts(const ConnectionFlags& flags, HubClient* hub) : flags_(flags), hub_(hub) {}

  absl::StatusOr<std::string> Text(const v1::LogRecord& record) {
    if (record.running() || record.address() == 0) return record.text();
    if (bucket_ == nullptr) {
      ASSIGN_OR_RETURN(bucket_, ConnectBucket(flags_, hub_));
    }
    absl::StatusOr<Fetched> fetched =
        FetchAll(bucket_.get(), {record.address()}, kLogBytesMax).front();
    if (absl::IsNotFound(fetched.status())) return "(gone)\n";
    RETURN_IF_ERROR(fetched.status());
    return std::move(fetched->data);
  }

 private:
  const ConnectionFlags& flags_;
  HubClient* const hub_;
  std::unique_ptr<BucketClient> bucket_;
};

void PrintJson(const v1::LogRecord& record, const std::string& text) {
  const Json json{{"run", RunName(record.run())},
                  {"step", record.step()},
                  {"item", record.item()},
                  {"attempt", record.attempt()},
                  {"worker", record.worker()},
                  {"running", record.running()},
                  {"text", text}};
  Print(absl::StrCat(ToLine(json), "\n"));
}

void PrintPlain(const v1::LogRecord& record, const std::string& text) {
  std::string head = absl::StrCat("== ", record.step());
  if (!record.item().empty()) absl::StrAppend(&head, " item ", record.item());
  absl::StrAppend(&head, ", attempt ", record.attempt());
  if (!record.worker().empty()) absl::StrAppend(&head, " on ", record.worker());
  if (record.running()) absl::StrAppend(&head, " (running)");
  Print(absl::StrCat(Paint(Colour::kBold, head), "\n", text,
                     text.empty() || absl::EndsWith(text, "\n") ? "" : "\n"));
}

absl::StatusOr<int> PrintLogs(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  ASSIGN_OR_RETURN(const v1::RunStatus status_of_run, hub->GetRun(run));
  if (!flags.step.empty()) {  // One that the run does not have would just have printed nothing.
    RETURN_IF_ERROR(CheckStep(status_of_run, flags.step));
  }
  v1::ListLogsRequest request;
  request.set_run(run);
  request.set_step(flags.step);
  request.set_item(flags.item);
  request.set_any_item(flags.item.empty());
  LogTexts texts(flags.connection, hub.get());
  absl::Status status;
  bool any = false;
  RETURN_IF_ERROR(hub->ListLogs(request, [&](const v1::LogRecord& record) {
    const absl::StatusOr<std::string> text = texts.Text(record);
    status = text.status();
    if (!status.ok()) return false;
    any = true;
    flags.json ? PrintJson(record, *text) : PrintPlain(record, *text);
    return true;
  }));
  RETURN_IF_ERROR(status);
  if (any) return kExitOk;
  if (!flags.item.empty()) {
    RETURN_IF_ERROR(CheckItem(hub.get(), run, flags.step, flags.item));
  }
  Note("nothing was printed");
  return kExitOk;
}

}  // namespace

void AddLogs(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("logs", "Print what steps printed");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  command->add_option("STEP", flags->step, "Only of this step");
  command->add_option("ITEM", flags->item, "Only of this item: 4, in a nested loop 4.17");
  command->add_flag("--json", flags->json, "One JSON object a line");
  AddHubFlags(command, &flags->connection);
  AddBucketFlag(command, &flags->connection);
  command->footer(
      "Of each attempt the first and the last lines are kept. Steps that run now are asked for "
      "what\n"
      "they have printed so far. What a thread prints that the step started itself, and what goes\n"
      "past sys.stdout (of a child process, say), is here only of `!mode process` steps; of others "
      "it\n"
      "is in the worker's log.\n"
      "  bue logs r17 download 4\n"
      "JSON: run, step, item, attempt, worker, running, text.");
  command->callback([flags, action] { *action = [flags] { return PrintLogs(*flags); }; });
}

}  // namespace bue::cli
