// `bue results`: the values that a run ended in.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "cli/values.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr size_t kBatch = 256;
constexpr uint64_t kSmallBytes = 64 << 10;  // Fetched in batches; larger ones are streamed.
constexpr size_t kShownCharacters = 120;    // On a terminal, without --json.

struct Flags {
  ConnectionFlags connection;
  std::string run;
  bool json = false;
  bool no_values = false;
};

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Prints records in batches, so that values are fetched together.
class ResultPrinter {
 public:
  // `bucket` may be null: no values are printed then. Outlives the printer.
  ResultPrinter(BucketClient* bucket, bool json) : bucket_(bucket), json_(json) {}

  absl::Status Add(const v1::ResultRecord& record) {
    records_.push_back(record);
    return records_.size() < kBatch ? absl::OkStatus() : Flush();
  }

  absl::Status Flush() {
    std::vector<v1::ResultRecord> records = std::exchange(records_, {});
    std::vector<uint64_t> addresses;
    for (const v1::ResultRecord& record : records) addresses.push_back(record.address());
    std::vector<absl::StatusOr<Fetched>> values;
    if (bucket_ != nullptr) values = FetchAll(bucket_, addresses, kSmallBytes);
    for (size_t i = 0; i < records.size(); ++i) {
      RETURN_IF_ERROR(PrintOne(records[i], bucket_ == nullptr ? nullptr : &values[i]));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status PrintOne(const v1::ResultRecord& record, const absl::StatusOr<Fetched>* value) {
    Print(json_ ? JsonHead(record) : PlainHead(record));
    if (value != nullptr) {
      if (json_) Print(",\"value\":");
      RETURN_IF_ERROR(PrintValue(record, *value));
    }
    Print(json_ ? "}\n" : "\n");
    return absl::OkStatus();
  }

  // An object without its closing brace.
  static std::string JsonHead(const v1::ResultRecord& record) {
    std::string text = ToLine(
        Json{{"run", RunName(record.run())}, {"step", record.step()}, {"item", record.item()}});
    text.pop_back();
    return text;
  }

  static std::string PlainHead(const v1::ResultRecord& record) {
    return absl::StrCat(record.step(),
                        record.item().empty() ? "" : absl::StrCat("[", record.item(), "]"), "  ");
  }

  absl::Status PrintValue(const v1::ResultRecord& record, const absl::StatusOr<Fetched>& value) {
    if (absl::IsNotFound(value.status()) || absl::IsDataLoss(value.status())) {
      Print(json_ ? "null,\"gone\":true" : "(gone)");
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(value.status());
    if (value->too_big && !Shortened()) return WriteObject(bucket_, record.address(), Print);
    if (value->too_big) {
      Print(absl::StrCat("(", HumanBytes(value->total_bytes), ")"));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::string text, ToJson(*value));
    Print(Shortened() ? OneLine(text, kShownCharacters) : text);
    return absl::OkStatus();
  }

  bool Shortened() const { return !json_ && IsTerminal(STDOUT_FILENO); }

  BucketClient* const bucket_;
  const bool json_;
  std::vector<v1::ResultRecord> records_;
};

absl::StatusOr<int> PrintResults(const Flags& flags) {
  ASSIGN_OR_RETURN(const uint64_t run, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  RETURN_IF_ERROR(hub->GetRun(run).status());
  std::unique_ptr<BucketClient> bucket;
  if (!flags.no_values) {
    ASSIGN_OR_RETURN(bucket, ConnectBucket(flags.connection, hub.get()));
  }
  ResultPrinter printer(bucket.get(), flags.json);
  absl::Status printed;
  RETURN_IF_ERROR(hub->ListResults(run, [&](const v1::ResultRecord& record) {
    printed = printer.Add(record);
    return printed.ok();
  }));
  RETURN_IF_ERROR(printed);
  RETURN_IF_ERROR(printer.Flush());
  return kExitOk;
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
      "may be looked at before it has ended.\n"
      "  bue results r17 --json | jq .value\n"
      "JSON: run, step, item (\"4\", in a nested loop \"4.17\", at the top level \"\"), value; "
      "when the\n"
      "bucket has lost it: value null and gone true. How values look as JSON: cli/README.md.");
  command->callback([flags, action] { *action = [flags] { return PrintResults(*flags); }; });
}

}  // namespace bue::cli
