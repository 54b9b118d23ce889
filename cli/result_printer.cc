#include "cli/result_printer.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/run_report.h"
#include "cli/text.h"
#include "cli/values.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr size_t kBatch = 256;
constexpr uint64_t kSmallBytes = 64 << 10;  // Fetched in batches; larger ones are streamed.
constexpr size_t kShownCharacters = 120;    // On a terminal, without --json.

void Print(absl::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Text that may yet be taken back: a value that is too large for memory is kept in a file without a
// name until it is there to its end.
class Spool {
 public:
  absl::Status Add(absl::string_view text) {
    if (file_ == nullptr) file_.reset(std::tmpfile());
    if (file_ == nullptr || std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "no room for a large value in the folder for temporary files: ", std::strerror(errno)));
    }
    return absl::OkStatus();
  }

  absl::Status PrintAll() {
    if (file_ == nullptr) return absl::OkStatus();
    std::rewind(file_.get());
    std::vector<char> piece(1 << 20);
    while (const size_t size = std::fread(piece.data(), 1, piece.size(), file_.get())) {
      Print(absl::string_view(piece.data(), size));
    }
    if (std::ferror(file_.get()) == 0) return absl::OkStatus();
    return absl::DataLossError("a large value could not be read back from its temporary file");
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
};

// Prints records in batches, so that values are fetched together. A line is printed once its value
// is known, or that it has none: one that cannot be read does not keep the others from it.
class ResultPrinter {
 public:
  // `bucket` may be null: no values are printed then. Outlives the printer.
  ResultPrinter(BucketClient* bucket, bool json) : bucket_(bucket), json_(json) {}

  // An error: the bucket is away, and what follows would fail as well.
  absl::Status Add(const v1::ResultRecord& record) {
    records_.push_back(record);
    return records_.size() < kBatch ? absl::OkStatus() : Flush();
  }

  absl::Status Flush() {
    const std::vector<v1::ResultRecord> records = std::exchange(records_, {});
    if (bucket_ == nullptr) {
      for (const v1::ResultRecord& record : records) PrintLine(record, "");
      printed_ += records.size();
      return absl::OkStatus();
    }
    std::vector<uint64_t> addresses;
    for (const v1::ResultRecord& record : records) addresses.push_back(record.address());
    const std::vector<absl::StatusOr<Fetched>> values = FetchAll(bucket_, addresses, kSmallBytes);
    size_t away = 0;
    absl::Status why_away;
    for (size_t i = 0; i < records.size(); ++i) {
      const absl::Status status = PrintOne(records[i], values[i]);
      ++printed_;
      if (!status.ok()) NotRead(records[i], status);
      if (!absl::IsUnavailable(status)) continue;
      ++away;
      why_away = status;
    }
    return away > 0 && away == records.size() ? why_away : absl::OkStatus();
  }

  // Of what was printed: nothing if every value was there, else how many were not, and why.
  std::string Complaint() const {
    if (lost_ + failed_ == 0) return "";
    std::string text =
        absl::StrCat(lost_ + failed_, " of ", printed_, " values could not be read:");
    if (lost_ > 0) absl::StrAppend(&text, " ", lost_, " lost, no bucket has them any more");
    if (failed_ > 0) {
      absl::StrAppend(&text, lost_ > 0 ? ";" : "", " ", failed_,
                      " failed: ", first_failure_.message());
    }
    return text;
  }

 private:
  static bool IsLost(const absl::Status& status) {
    return absl::IsNotFound(status) || absl::IsDataLoss(status);
  }

  void NotRead(const v1::ResultRecord& record, const absl::Status& status) {
    if (IsLost(status)) {
      ++lost_;
      PrintLine(record,
                json_ ? ",\"value\":null,\"gone\":true" : "(lost: no bucket has it any more)");
      return;
    }
    if (failed_++ == 0) first_failure_ = status;
    const std::string why(status.message());
    PrintLine(record, json_ ? absl::StrCat(",\"value\":null,\"error\":", ToLine(Json(why)))
                            : absl::StrCat("(not read: ", OneLine(why, why.size()), ")"));
  }

  // Prints nothing if it fails.
  absl::Status PrintOne(const v1::ResultRecord& record, const absl::StatusOr<Fetched>& value) {
    RETURN_IF_ERROR(value.status());
    const absl::string_view before = json_ ? ",\"value\":" : "";
    if (value->too_big && Shortened()) {
      PrintLine(record, absl::StrCat("(", HumanBytes(value->total_bytes), ")"));
      return absl::OkStatus();
    }
    if (!value->too_big) {
      ASSIGN_OR_RETURN(const std::string text, ToJson(*value));
      PrintLine(record, absl::StrCat(before, Shortened() ? OneLine(text, kShownCharacters) : text));
      return absl::OkStatus();
    }
    Spool spool;
    absl::Status kept;
    RETURN_IF_ERROR(WriteObject(bucket_, record.address(), [&](absl::string_view text) {
      if (kept.ok()) kept = spool.Add(text);
    }));
    RETURN_IF_ERROR(kept);
    Print(absl::StrCat(Head(record), before));
    kept = spool.PrintAll();
    Print(Tail());
    return kept;
  }

  void PrintLine(const v1::ResultRecord& record, absl::string_view value) const {
    Print(absl::StrCat(Head(record), value, Tail()));
  }

  // An object without its closing brace.
  std::string Head(const v1::ResultRecord& record) const {
    if (!json_) {
      const std::string item = record.item().empty() ? "" : absl::StrCat("[", record.item(), "]");
      return absl::StrCat(record.step(), item, "  ");
    }
    std::string text = ToLine(
        Json{{"run", RunName(record.run())}, {"step", record.step()}, {"item", record.item()}});
    text.pop_back();
    return text;
  }

  absl::string_view Tail() const { return json_ ? "}\n" : "\n"; }

  bool Shortened() const { return !json_ && IsTerminal(STDOUT_FILENO); }

  BucketClient* const bucket_;
  const bool json_;
  std::vector<v1::ResultRecord> records_;
  uint64_t printed_ = 0;
  uint64_t lost_ = 0;
  uint64_t failed_ = 0;
  absl::Status first_failure_;
};

}  // namespace

absl::StatusOr<std::string> PrintResults(HubClient* hub, BucketClient* bucket, uint64_t run,
                                         bool json) {
  ResultPrinter printer(bucket, json);
  absl::Status printed;
  RETURN_IF_ERROR(hub->ListResults(run, [&](const v1::ResultRecord& record) {
    printed = printer.Add(record);
    return printed.ok();
  }));
  RETURN_IF_ERROR(printed);
  RETURN_IF_ERROR(printer.Flush());
  std::fflush(stdout);
  return printer.Complaint();
}

}  // namespace bue::cli
