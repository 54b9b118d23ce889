// Diagnostic is one error or warning about a script, and how people see it:
//
//   report.bue:12:5: error: no pipe named 'report_pip'
//       report_pip(x)
//       ^
//   hint: did you mean `report_pipe`?
//
// Plain data and pure functions.
#ifndef BUE_COMMON_LANG_DIAGNOSTIC_H_
#define BUE_COMMON_LANG_DIAGNOSTIC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace bue::lang {

enum class Severity : uint8_t { kError, kWarning };

struct Diagnostic {
  Severity severity = Severity::kError;
  uint32_t line = 0;    // 1-based; 0: the script as a whole, no source line is shown.
  uint32_t column = 0;  // 1-based, in characters (code points).
  std::string message;
  std::string hint;  // Empty: none. A sentence without "hint:".
};

bool HasErrors(absl::Span<const Diagnostic> diagnostics);

// All of them as text for a terminal, in the order given, each ending in a newline. `script_text`
// is what was compiled; it may be anything, also what is not UTF-8.
std::string FormatDiagnostics(absl::Span<const Diagnostic> diagnostics,
                              absl::string_view script_name, absl::string_view script_text);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_DIAGNOSTIC_H_
