// `bue get`: one value of a run, by its name in the script, or by its key as an input of a task.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/task_inputs.h"
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
  std::string input;
};

void ToOutput(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

absl::Status Print(const Flags& flags, const v1::LocateValueReply& place, uint64_t run,
                   HubClient* hub, BucketClient* bucket) {
  absl::Status status;
  if (place.fan_in()) {
    v1::ListValuesRequest values;
    values.set_run(run);
    values.set_instance(place.instance());
    values.set_node(place.node());
    status = WriteFanIn(hub, bucket, values, ToOutput);
  } else {
    status = WriteObject(bucket, place.address(), ToOutput);
  }
  ToOutput("\n");
  if (!absl::IsNotFound(status)) return status;
  return absl::NotFoundError(absl::StrCat(
      "'", flags.name, "' of ", RunName(run),
      " is gone: a value without a name goes when the steps that take it are done, the others when "
      "the hub's --keep-results is over or the run is deleted"));
}

void PrintNumbers(const v1::TaskInput& numbers) {
  if (numbers.count() == 0) return ToOutput(absl::StrCat(numbers.first()));
  ToOutput(absl::StrCat("[", numbers.first()));
  for (uint64_t i = 1; i < numbers.count(); ++i) {
    ToOutput(absl::StrCat(", ", numbers.first() + i));
  }
  ToOutput("]");
}

absl::Status WriteInput(const Flags& flags, const v1::TaskInput& input, uint64_t run,
                        HubClient* hub) {
  if (input.kind() == v1::InputColumn::RANGE) {
    PrintNumbers(input);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<BucketClient> bucket,
                   ConnectBucket(flags.connection, hub));
  if (input.kind() == v1::InputColumn::ELEMENTS) {
    return WriteElements(bucket.get(), input.address(), input.first(), input.count(), ToOutput);
  }
  if (input.kind() != v1::InputColumn::FAN_IN) {
    return WriteObject(bucket.get(), input.address(), ToOutput);
  }
  v1::ListValuesRequest values;
  values.set_run(run);
  values.set_instance(input.instance());
  values.set_node(input.node());
  return WriteFanIn(hub, bucket.get(), values, ToOutput);
}

absl::StatusOr<int> PrintInput(const Flags& flags, uint64_t run) {
  ASSIGN_OR_RETURN(const v1::TaskInput input, ParseInputKey(flags.input));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  RETURN_IF_ERROR(hub->GetRun(run).status());
  const absl::Status status = WriteInput(flags, input, run, hub.get());
  if (absl::IsNotFound(status)) {
    return absl::NotFoundError(absl::StrCat(
        "the input ", flags.input, " of ", RunName(run),
        " is gone: what a task was called with is kept until its item has succeeded, of one that "
        "failed as long as the run and the hub's --keep-results let it"));
  }
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("the input ", flags.input, " of ", RunName(run),
                                                    ": ", status.message()));
  }
  ToOutput("\n");
  return kExitOk;
}

absl::StatusOr<int> PrintValue(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  if (flags.name.empty() == flags.input.empty()) {
    return absl::InvalidArgumentError(
        "say which value: its NAME, or --input with a key that bue errors shows");
  }
  if (!flags.input.empty()) return PrintInput(flags, run);
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
  CLI::Option* const name =
      command->add_option("NAME", flags->name, "A value's name in the script, or a step's name");
  CLI::Option* const item =
      command->add_option("--item", flags->item, "Of which item: 4, in a nested loop 4.17")
          ->type_name("ITEM");
  command
      ->add_option("--input", flags->input,
                   "Instead: what a failed task was called with, as bue errors shows it")
      ->type_name("KEY")
      ->excludes(name)
      ->excludes(item);
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
      "  bue get r17 --input 1000000000abc:4\n"
      "How values look as JSON: cli/README.md.");
  command->callback([flags, action] { *action = [flags] { return PrintValue(*flags); }; });
}

}  // namespace bue::cli
