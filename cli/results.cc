// `bue results`: the values that a run ended in.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/result_printer.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string run;
  bool json = false;
  bool no_values = false;
};

absl::StatusOr<int> Results(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  ASSIGN_OR_RETURN(const v1::RunStatus status, hub->GetRun(run));
  std::unique_ptr<BucketClient> bucket;
  if (!flags.no_values) {
    ASSIGN_OR_RETURN(bucket, ConnectBucket(flags.connection, hub.get()));
  }
  ASSIGN_OR_RETURN(const std::string complaint,
                   PrintResults(hub.get(), bucket.get(), run, flags.json));
  if (const std::string missing = WhatIsMissing(status); !missing.empty()) Note(missing);
  if (complaint.empty()) return kExitOk;
  absl::FPrintF(stderr, "bue results: error: %s\n", complaint);
  return kExitFailed;
}

}  // namespace

void AddResults(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("results", "Print the values that a run ended in");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  command->add_flag("--json", flags->json, "One JSON object a line");
  command->add_flag("--no-values", flags->no_values,
                    "Only what there is, without looking into the bucket");
  AddHubFlags(command, &flags->connection);
  AddBucketFlag(command, &flags->connection);
  command->footer(
      "A result is the value of a step that no other step takes, once per item that succeeded. A "
      "run\n"
      "may be looked at before it has ended; that, and how many items failed, is said on standard\n"
      "error.\n"
      "  bue results r17 --json | jq .value\n"
      "JSON: run, step, item (\"4\", in a nested loop \"4.17\", at the top level \"\"), value; "
      "when no\n"
      "bucket has it any more: value null and gone true; when it could not be read: value null and "
      "error.\n"
      "The exit code is 1 then. How values look as JSON: cli/README.md.");
  command->callback([flags, action] { *action = [flags] { return Results(*flags); }; });
}

}  // namespace bue::cli
