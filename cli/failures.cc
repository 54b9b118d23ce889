#include "cli/failures.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cli/text.h"

namespace bue::cli {
namespace {

constexpr size_t kLinesPerStep = 10;
constexpr size_t kErrorCharacters = 500;

std::string Line(const v1::ErrorRecord& error) {
  std::string line = absl::StrCat("failed: ", error.step().empty() ? error.action() : error.step());
  if (!error.item().empty()) absl::StrAppend(&line, " item ", error.item());
  absl::StrAppend(&line, ": ");
  if (!error.type().empty()) absl::StrAppend(&line, error.type(), ": ");
  return absl::StrCat(line, OneLine(error.error(), kErrorCharacters));
}

}  // namespace

void Failures::Add(const v1::ErrorRecord& error) {
  if (!error.final()) return;
  OfStep& step = steps_[error.step()];
  ++step.count;
  if (step.lines.size() < kLinesPerStep) step.lines.push_back(Line(error));
  if (step.traceback.empty()) step.traceback = error.traceback();
}

void Failures::Add(const v1::RunStatus& status) {
  for (const v1::StepStatus& step : status.steps()) {
    if (step.counts().failed() > 0) {
      OfStep& known = steps_[step.name()];
      known.count = std::max(known.count, step.counts().failed());
    }
  }
}

std::string Failures::Summary() const {
  std::string text;
  for (const auto& [name, step] : steps_) {
    for (const std::string& line : step.lines) absl::StrAppend(&text, line, "\n");
    const uint64_t more = step.count - std::min<uint64_t>(step.count, step.lines.size());
    if (more > 0) {
      absl::StrAppend(&text, "failed: ", name, ": ", more, step.lines.empty() ? "" : " more", "\n");
    }
  }
  return text;
}

std::string Failures::Tracebacks() const {
  std::string text;
  for (const auto& [name, step] : steps_) {
    if (step.traceback.empty()) continue;
    absl::StrAppend(&text, "-- ", name, "\n", Visible(step.traceback),
                    step.traceback.back() == '\n' ? "" : "\n");
  }
  return text;
}

}  // namespace bue::cli
