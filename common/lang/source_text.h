// SourceText is a script's text cut into lines, and the way from a byte of it to the line and
// column that people see. Immutable, thread-safe. The text it is made from outlives it and every
// view it gives.
#ifndef BUE_COMMON_LANG_SOURCE_TEXT_H_
#define BUE_COMMON_LANG_SOURCE_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/lang/diagnostic.h"

namespace bue::lang {

struct Position {
  uint32_t line = 0;  // 1-based; 0: the script as a whole.
  uint32_t byte = 0;  // 0-based, within the line.
};

// Why `text` cannot be a script (it holds a NUL, or is not UTF-8), or nothing.
std::optional<Diagnostic> FindEncodingError(absl::string_view text);

// The length of the valid UTF-8 that `text` begins with.
size_t ValidUtf8Prefix(absl::string_view text);

class SourceText {
 public:
  // Lines end with LF, CRLF or CR. A byte order mark in front is skipped.
  explicit SourceText(absl::string_view text);

  absl::string_view text() const { return text_; }
  uint32_t line_count() const { return static_cast<uint32_t>(starts_.size() - 1); }

  // 1-based; without the line's end.
  absl::string_view Line(uint32_t number) const;

  // From a byte of text() to its line, and back.
  Position PositionOf(size_t offset) const;
  size_t OffsetOf(Position position) const { return starts_[position.line - 1] + position.byte; }

  // The 1-based column in characters.
  uint32_t ColumnOf(Position position) const;

 private:
  absl::string_view text_;
  std::vector<uint32_t> starts_;  // Of each line, and the text's length last.
};

// Characters that separate words within a line.
inline bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\f' || c == '\v'; }

// `text` without the blanks at its ends.
absl::string_view TrimBlanks(absl::string_view text);

// The number of characters (code points) of UTF-8.
size_t CountCharacters(absl::string_view text);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_SOURCE_TEXT_H_
