#include "common/lang/source_text.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace bue::lang {
namespace {

constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

// The length of the character that `text` begins with, 0 if it is no UTF-8. Overlong forms,
// surrogates and code points above U+10FFFF are none.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return length;
}

Diagnostic NoTextFile(absl::string_view text, size_t offset, absl::string_view why) {
  const SourceText lines(text.substr(0, offset + 1));
  const size_t skipped = text.size() >= 3 && lines.text().size() < offset + 1 ? 3 : 0;
  const Position at = lines.PositionOf(offset - skipped);
  Diagnostic diagnostic{.line = at.line, .column = lines.ColumnOf(at)};
  diagnostic.message = absl::StrCat("not a text file: ", why, " (byte ", offset, ")");
  diagnostic.hint = absl::StartsWith(text, "\xFF\xFE") || absl::StartsWith(text, "\xFE\xFF")
                        ? "it looks like UTF-16; save it as UTF-8"
                        : "a script is UTF-8 text";
  return diagnostic;
}

}  // namespace

size_t ValidUtf8Prefix(absl::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t length = CharacterLength(text.substr(at));
    if (length == 0) break;
    at += length;
  }
  return at;
}

std::optional<Diagnostic> FindEncodingError(absl::string_view text) {
  const size_t valid = ValidUtf8Prefix(text);
  const size_t nul = text.substr(0, valid).find('\0');
  if (nul != absl::string_view::npos) return NoTextFile(text, nul, "it holds a NUL byte");
  if (valid < text.size()) return NoTextFile(text, valid, "it is not UTF-8");
  return std::nullopt;
}

SourceText::SourceText(absl::string_view text) : text_(text) {
  if (absl::StartsWith(text_, kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
  size_t at = 0;
  while (at < text_.size()) {
    starts_.push_back(static_cast<uint32_t>(at));
    size_t end = text_.find_first_of("\r\n", at);
    if (end == absl::string_view::npos) break;
    if (text_[end] == '\r' && end + 1 < text_.size() && text_[end + 1] == '\n') ++end;
    at = end + 1;
  }
  starts_.push_back(static_cast<uint32_t>(text_.size()));
}

absl::string_view SourceText::Line(uint32_t number) const {
  const uint32_t begin = starts_[number - 1];
  absl::string_view line = text_.substr(begin, starts_[number] - begin);
  if (absl::EndsWith(line, "\n")) line.remove_suffix(1);
  if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
  return line;
}

Position SourceText::PositionOf(size_t offset) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end() - 1, offset);
  if (after == starts_.begin()) return Position{1, 0};
  const auto line = static_cast<uint32_t>(after - starts_.begin());
  return Position{line, static_cast<uint32_t>(offset - starts_[line - 1])};
}

uint32_t SourceText::ColumnOf(Position position) const {
  if (position.line == 0 || position.line > line_count()) return 1;
  return static_cast<uint32_t>(CountCharacters(Line(position.line).substr(0, position.byte))) + 1;
}

absl::string_view TrimBlanks(absl::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

size_t CountCharacters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace bue::lang
