// `bue get`: one value of a run, by its name in the script.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "cli/values.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ConnectionFlags connection;
  std::string run;
  std::string name;
  std::string item;
};

absl::Status Print(const Flags& flags, const v1::LocateValueReply& place, uint64_t run,
                   HubClient* hub, BucketClient* bucket) {
  const Sink print = [](absl::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  };
  absl::Status status;
  if (place.fan_in()) {
    v1::ListValuesRequest values;
    values.set_run(run);
    values.set_instance(place.instance());
    values.set_node(place.node());
    status = WriteFanIn(hub, bucket, values, print);
  } else {
    status = WriteObject(bucket, place.address(), print);
  }
  print("\n");
  if (!absl::IsNotFound(status)) return status;
  return absl::NotFoundError(absl::StrCat(
      "'", flags.name, "' of ", RunName(run),
      " is gone: a value without a name goes when the steps that take it are done, the others when "
      "the hub's --keep-results is over or the run is deleted"));
}

absl::StatusOr<int> PrintValue(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  v1::LocateValueRequest request;
  request.set_run(run);
  request.set_name(flags.name);
  request.set_item(flags.item);
  ASSIGN_OR_RETURN(const v1::LocateValueReply place, hub->LocateValue(request));
  ASSIGN_OR_RETURN(const std::unique_ptr<BucketClient> bucket,
                   ConnectBucket(flags.connection, hub.get()));
  RETURN_IF_ERROR(Print(flags, place, run, hub.get(), bucket.get()));
  if (!flags.item.empty()) return kExitOk;
  std::fflush(stdout);
  ASSIGN_OR_RETURN(const v1::RunStatus status, hub->GetRun(run));
  if (const std::string missing = WhatIsMissing(status); !missing.empty()) Note(missing);
  return kExitOk;
}

}  // namespace

void AddGet(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("get", "Print one value of a run as JSON");
  command->add_option("RUN", flags->run, "The run, as upload printed it")->required();
  command->add_option("NAME", flags->name, "A value's name in the script, or a step's name")
      ->required();
  command->add_option("--item", flags->item, "Of which item: 4, in a nested loop 4.17")
      ->type_name("ITEM");
  AddHubFlags(command, &flags->connection);
  AddBucketFlag(command, &flags->connection);
  command->footer(
      "Kept after a run: results (what no other step takes), and values with a name at the top\n"
      "level or gathered after their loop; while it runs also what is still needed. Without "
      "--item\n"
      "a value of a loop is the list of its succeeded items' values; that items failed is said on\n"
      "standard error.\n"
      "  bue get r17 upload\n"
      "  bue get r17 upload --item 4\n"
      "How values look as JSON: cli/README.md.");
  command->callback([flags, action] { *action = [flags] { return PrintValue(*flags); }; });
}

}  // namespace bue::cli
