#include "common/lang/diagnostic.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/lang/source_text.h"

namespace bue::lang {
namespace {

// Of a longer line only the part round the column is shown.
constexpr size_t kShownBytes = 160;
constexpr absl::string_view kMargin = "    ";

// The byte at which the 1-based column begins, in what is left of it in a line.
size_t ByteOfColumn(absl::string_view line, uint32_t column) {
  size_t at = 0;
  for (uint32_t left = column; at < line.size(); ++at) {
    if ((line[at] & 0xC0) != 0x80 && --left == 0) break;
  }
  return at;
}

// Moves `at` on to where a character begins.
size_t AtCharacter(absl::string_view line, size_t at) {
  while (at < line.size() && (line[at] & 0xC0) == 0x80) ++at;
  return std::min(at, line.size());
}

// Control characters and what is no UTF-8 must not reach the terminal.
std::string Printable(absl::string_view text) {
  std::string printable(text);
  const bool is_utf8 = ValidUtf8Prefix(text) == text.size();
  for (char& c : printable) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < ' ' && c != '\t') || byte == 0x7F || (byte > 0x7F && !is_utf8)) c = '?';
  }
  return printable;
}

void AppendSourceLine(absl::string_view line, uint32_t column, std::string* out) {
  size_t caret = ByteOfColumn(line, column);
  if (line.size() > kShownBytes) {
    const size_t from = AtCharacter(line, caret > kShownBytes / 2 ? caret - kShownBytes / 2 : 0);
    const size_t to = AtCharacter(line, from + kShownBytes);
    line = line.substr(from, to - from);
    caret -= from;
  }
  std::string padding;
  for (const char c : line.substr(0, caret)) {
    if ((c & 0xC0) != 0x80) padding.push_back(c == '\t' ? '\t' : ' ');
  }
  absl::StrAppend(out, kMargin, Printable(line), "\n", kMargin, padding, "^\n");
}

}  // namespace

bool HasErrors(absl::Span<const Diagnostic> diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

std::string FormatDiagnostics(absl::Span<const Diagnostic> diagnostics,
                              absl::string_view script_name, absl::string_view script_text) {
  const SourceText source(script_text);
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    absl::StrAppend(&out, script_name, ":");
    if (diagnostic.line != 0) absl::StrAppend(&out, diagnostic.line, ":", diagnostic.column, ":");
    absl::StrAppend(&out, diagnostic.severity == Severity::kError ? " error: " : " warning: ",
                    Printable(diagnostic.message), "\n");
    if (diagnostic.line != 0 && diagnostic.line <= source.line_count()) {
      AppendSourceLine(source.Line(diagnostic.line), diagnostic.column, &out);
    }
    if (!diagnostic.hint.empty()) {
      absl::StrAppend(&out, "  hint: ", Printable(diagnostic.hint), "\n");
    }
  }
  return out;
}

}  // namespace bue::lang
