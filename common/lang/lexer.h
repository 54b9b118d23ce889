// The lexer reads a script line by line: indentation, text, comments, quoted names. What stands
// between backticks it leaves to the parser, which knows where code may stand.
// LineReader is not thread-safe; the functions are pure.
#ifndef BUE_COMMON_LANG_LEXER_H_
#define BUE_COMMON_LANG_LEXER_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "common/lang/source_text.h"

namespace bue::lang {

// `text` up to its comment. A `#` in double quotes begins none; behind a backtick nothing is looked
// at.
absl::string_view WithoutComment(absl::string_view text);

// The first character of `any` at or behind `from` that is not in double quotes; npos if none.
size_t FindOutsideQuotes(absl::string_view text, absl::string_view any, size_t from = 0);

// The end of what begins at `at`: behind the closing quote if a quoted name begins there, else at
// + 1.
size_t SkipQuoted(absl::string_view text, size_t at);

// The characters up to the first blank.
absl::string_view FirstWord(absl::string_view text);

struct Line {
  uint32_t number = 0;
  absl::string_view raw;     // All of it.
  absl::string_view indent;  // The blanks it begins with.
  absl::string_view text;    // Without indentation, comment and blanks at the end; never empty.
  bool has_code = false;     // `text` holds a backtick.

  // Where `part`, a part of raw, begins.
  Position At(absl::string_view part) const {
    return Position{number, static_cast<uint32_t>(part.data() - raw.data())};
  }
};

class LineReader {
 public:
  explicit LineReader(const SourceText& source) : source_(source) {}

  // The next line that is neither blank nor only a comment; nullptr at the end. Valid until the
  // next call of Peek.
  const Line* Peek();

  // Goes on behind line `number`.
  void SkipPast(uint32_t number) { next_ = number + 1; }
  uint32_t last_skipped() const { return next_ - 1; }
  void SkipToEnd() { next_ = source_.line_count() + 1; }

 private:
  const SourceText& source_;
  uint32_t next_ = 1;  // The first line not yet read.
  Line line_;
};

// How a line's indentation stands to another one.
enum class Depth : uint8_t { kSame, kDeeper, kShallower, kMixed };
Depth CompareIndent(absl::string_view indent, absl::string_view to);

// Whether there are both tabs and blanks in `indent`.
bool MixesTabsAndBlanks(absl::string_view indent);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_LEXER_H_
