#include "common/lang/report.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bue::lang {
namespace {

// A message may quote a line, and a line may be the whole script.
constexpr size_t kLongestText = 400;

std::string Clipped(std::string text) {
  if (text.size() <= kLongestText) return text;
  size_t end = kLongestText;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;  // Not within a character.
  text.resize(end);
  return text + "…";
}

}  // namespace

void Report::Error(Position at, std::string message, std::string hint) {
  if (errors_++ < most_) Add(Severity::kError, at, std::move(message), std::move(hint));
}

void Report::Warning(Position at, std::string message, std::string hint) {
  if (warnings_++ < most_) Add(Severity::kWarning, at, std::move(message), std::move(hint));
}

void Report::Add(Severity severity, Position at, std::string message, std::string hint) {
  diagnostics_.push_back(Diagnostic{.severity = severity,
                                    .line = at.line,
                                    .column = at.line == 0 ? 0 : source_.ColumnOf(at),
                                    .message = Clipped(std::move(message)),
                                    .hint = Clipped(std::move(hint))});
}

std::vector<Diagnostic> Report::Take() {
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::tie(a.line, a.column) < std::tie(b.line, b.column);
                   });
  const auto count_rest = [&](Severity severity, uint64_t all, absl::string_view what) {
    if (all <= most_) return;
    diagnostics_.push_back(Diagnostic{
        .severity = severity, .message = absl::StrCat("and ", all - most_, " more ", what)});
  };
  count_rest(Severity::kError, errors_, "errors");
  count_rest(Severity::kWarning, warnings_, "warnings");
  return std::exchange(diagnostics_, {});
}

}  // namespace bue::lang
