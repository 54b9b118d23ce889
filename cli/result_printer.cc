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
constexpr size_t kErrorShown = 500;         // Of an error, without --json.

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

}  // namespace

absl::Status ResultPrinter::Add(ResultLine line) {
  lines_.push_back(std::move(line));
  return lines_.size() < kBatch ? absl::OkStatus() : Flush();
}

absl::Status ResultPrinter::Flush() {
  const std::vector<ResultLine> lines = std::exchange(lines_, {});
  std::vector<uint64_t> addresses;
  for (const ResultLine& line : lines) {
    if (bucket_ != nullptr && line.has_value) addresses.push_back(line.address);
  }
  std::vector<absl::StatusOr<Fetched>> values;
  if (!addresses.empty()) values = FetchAll(bucket_, addresses, kSmallBytes);
  size_t next = 0;
  size_t away = 0;
  absl::Status why_away;
  for (const ResultLine& line : lines) {
    if (!line.has_value) {
      PrintWithout(line);
      continue;
    }
    ++printed_;
    if (bucket_ == nullptr) {
      PrintLine(line, "");
      continue;
    }
    const absl::Status status = PrintOne(line, values[next++]);
    if (!status.ok()) NotRead(line, status);
    if (!absl::IsUnavailable(status)) continue;
    ++away;
    why_away = status;
  }
  std::fflush(stdout);
  return away > 0 && away == addresses.size() ? why_away : absl::OkStatus();
}

std::string ResultPrinter::Complaint() const {
  if (lost_ + failed_ == 0) return "";
  std::string text = absl::StrCat(lost_ + failed_, " of ", printed_, " values could not be read:");
  if (lost_ > 0) absl::StrAppend(&text, " ", lost_, " lost, no bucket has them any more");
  if (failed_ > 0) {
    absl::StrAppend(&text, lost_ > 0 ? ";" : "", " ", failed_,
                    " failed: ", first_failure_.message());
  }
  return text;
}

void ResultPrinter::PrintWithout(const ResultLine& line) const {
  if (json_) return PrintLine(line, ",\"value\":null");
  if (!line.failed) return PrintLine(line, "(done)");
  PrintLine(line, Paint(Colour::kRed, absl::StrCat("failed: ", OneLine(line.error, kErrorShown))));
}

void ResultPrinter::NotRead(ResultLine line, const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsDataLoss(status)) {
    ++lost_;
    PrintLine(line, json_ ? ",\"value\":null,\"gone\":true" : "(lost: no bucket has it any more)");
    return;
  }
  if (failed_++ == 0) first_failure_ = status;
  line.error = std::string(status.message());
  PrintLine(line, json_ ? ",\"value\":null"
                        : absl::StrCat("(not read: ", OneLine(line.error, line.error.size()), ")"));
}

// Prints nothing if it fails.
absl::Status ResultPrinter::PrintOne(const ResultLine& line, const absl::StatusOr<Fetched>& value) {
  RETURN_IF_ERROR(value.status());
  const absl::string_view before = json_ ? ",\"value\":" : "";
  if (value->too_big && Shortened()) {
    PrintLine(line, absl::StrCat("(", HumanBytes(value->total_bytes), ")"));
    return absl::OkStatus();
  }
  if (!value->too_big) {
    ASSIGN_OR_RETURN(const std::string text, ToJson(*value));
    PrintLine(line, absl::StrCat(before, Shortened() ? OneLine(text, kShownCharacters) : text));
    return absl::OkStatus();
  }
  Spool spool;
  absl::Status kept;
  RETURN_IF_ERROR(WriteObject(bucket_, line.address, [&](absl::string_view text) {
    if (kept.ok()) kept = spool.Add(text);
  }));
  RETURN_IF_ERROR(kept);
  Print(absl::StrCat(Head(line), before));
  kept = spool.PrintAll();
  Print(Tail());
  return kept;
}

void ResultPrinter::PrintLine(const ResultLine& line, absl::string_view value) const {
  Print(absl::StrCat(Head(line), value, Tail()));
}

// An object without its closing brace.
std::string ResultPrinter::Head(const ResultLine& line) const {
  if (!json_) {
    const std::string item = line.item.empty() ? "" : absl::StrCat("[", line.item, "]");
    return absl::StrCat(line.step, item, "  ");
  }
  Json json{{"run", RunName(line.run)},
            {"step", line.step},
            {"item", line.item},
            {"success", !line.failed},
            {"error", line.error.empty() ? Json(nullptr) : Json(line.error)}};
  json.update(line.times);
  std::string text = ToLine(json);
  text.pop_back();
  return text;
}

absl::string_view ResultPrinter::Tail() const { return json_ ? "}\n" : "\n"; }

bool ResultPrinter::Shortened() const { return !json_ && IsTerminal(STDOUT_FILENO); }

}  // namespace bue::cli
