// `bue results`: what a run's items ended in.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/number_range.h"
#include "cli/result_lines.h"
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
  bool failed = false;
  bool all = false;
  bool follow = false;
  double reconnect_s = 60;
};

absl::StatusOr<int> Results(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub,
                   flags.follow ? ConnectHub(flags.connection, absl::Seconds(flags.reconnect_s))
                                : ConnectHub(flags.connection));
  ASSIGN_OR_RETURN(v1::RunStatus status, hub->GetRun(run));
  std::unique_ptr<BucketClient> bucket;
  if (!flags.no_values && !flags.failed) {
    ASSIGN_OR_RETURN(bucket, ConnectBucket(flags.connection, hub.get()));
  }
  const ResultsWanted wanted{
      .run = run, .json = flags.json, .failed_only = flags.failed, .all = flags.all};
  bool told = false;
  ASSIGN_OR_RETURN(const std::string complaint,
                   flags.follow ? FollowResults(hub.get(), bucket.get(), wanted, &told)
                                : PrintResults(hub.get(), bucket.get(), wanted));
  int code = kExitOk;
  if (flags.follow) {
    ASSIGN_OR_RETURN(status, hub->GetRun(run));
    if (!told && status.tasks().done() + status.tasks().failed() > 0) {
      Note(absl::StrCat("the hub keeps nothing of when the items of ", RunName(run),
                        " ended (any more; bue hub --history); what there is: bue results ",
                        RunName(run)));
    }
    Note(EndLine(status, absl::Now()));
    if (status.state() != v1::RUN_SUCCEEDED) code = kExitFailed;
  } else if (!flags.failed) {
    if (const std::string missing = WhatIsMissing(status); !missing.empty()) Note(missing);
  }
  if (complaint.empty()) return code;
  absl::FPrintF(stderr, "bue results: error: %s\n", complaint);
  return kExitFailed;
}

}  // namespace

void AddResults(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("results", "Print what a run's items ended in: values, failures, times");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  command->add_flag("--json", flags->json, "One JSON object a line, with times");
  CLI::Option* const all =
      command->add_flag("-a,--all", flags->all, "Items that failed, too; --follow has them anyway");
  command->add_flag("--failed", flags->failed, "Only items that failed: where, and why")
      ->excludes(all);
  command->add_flag("-f,--follow", flags->follow,
                    "A line when an item ends, in that order, until the run has ended");
  command->add_flag("--no-values", flags->no_values,
                    "Only what there is, without looking into the bucket");
  command
      ->add_option("--reconnect", flags->reconnect_s,
                   "With --follow: seconds to wait for a hub that went away meanwhile")
      ->type_name("SECONDS")
      ->check(NumberBetween(0, 86400))
      ->capture_default_str();
  AddHubFlags(command, &flags->connection);
  AddBucketFlag(command, &flags->connection);
  command->footer(
      "A result is the value of a step that no other step takes, once per item that succeeded. A "
      "run\n"
      "may be looked at before it has ended; that, and how many items failed, is said on standard\n"
      "error. --follow also tells of items whose values other steps take (done), and goes on where "
      "it\n"
      "was when the hub is started anew; its exit code is 0 if the run succeeded, else 1.\n"
      "  bue results r17 --json | jq .value\n"
      "  bue results r17 --failed\n"
      "  bue results r17 --all --json | jq '{item, success, total_duration}'\n"
      "  bue results r17 --follow --json | while read line; do ...; done\n"
      "JSON: run, step, item (\"4\", in a nested loop \"4.17\", at the top level \"\"), success, "
      "error\n"
      "(of an item that failed: in that step), id (that a step gave it, or null), total_duration\n"
      "(seconds from its first step queued to its end), started, completed,\n"
      "steps {NAME: {queued, started, completed, attempts}} (of the last attempt; null: not known, "
      "or\n"
      "not yet; bue hub --history says how much is kept), value; when no bucket has it any more: "
      "value\n"
      "null and gone true; when it could not be read: value null and error.\n"
      "The exit code is 1 then. How values look as JSON: cli/README.md.");
  command->callback([flags, action] { *action = [flags] { return Results(*flags); }; });
}

}  // namespace bue::cli
