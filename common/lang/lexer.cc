#include "common/lang/lexer.h"

#include "absl/strings/match.h"

namespace bue::lang {

size_t SkipQuoted(absl::string_view text, size_t at) {
  if (text[at] != '"') return at + 1;
  const size_t close = text.find('"', at + 1);
  return close == absl::string_view::npos ? at + 1 : close + 1;
}

size_t FindOutsideQuotes(absl::string_view text, absl::string_view any, size_t from) {
  for (size_t at = from; at < text.size(); at = SkipQuoted(text, at)) {
    if (any.find(text[at]) != absl::string_view::npos) return at;
  }
  return absl::string_view::npos;
}

absl::string_view WithoutComment(absl::string_view text) {
  const size_t at = FindOutsideQuotes(text, "#`");
  if (at == absl::string_view::npos || text[at] == '`') return text;
  return text.substr(0, at);
}

absl::string_view FirstWord(absl::string_view text) {
  size_t end = 0;
  while (end < text.size() && !IsBlank(text[end])) ++end;
  return text.substr(0, end);
}

const Line* LineReader::Peek() {
  if (line_.number != 0 && line_.number == next_) return &line_;
  for (; next_ <= source_.line_count(); ++next_) {
    const absl::string_view raw = source_.Line(next_);
    size_t indent = 0;
    while (indent < raw.size() && IsBlank(raw[indent])) ++indent;
    const absl::string_view text = TrimBlanks(WithoutComment(raw.substr(indent)));
    if (text.empty()) continue;
    line_ =
        Line{next_, raw, raw.substr(0, indent), text, text.find('`') != absl::string_view::npos};
    return &line_;
  }
  return nullptr;
}

Depth CompareIndent(absl::string_view indent, absl::string_view to) {
  if (indent == to) return Depth::kSame;
  if (absl::StartsWith(indent, to)) return Depth::kDeeper;
  if (absl::StartsWith(to, indent)) return Depth::kShallower;
  return Depth::kMixed;
}

bool MixesTabsAndBlanks(absl::string_view indent) {
  return indent.find('\t') != absl::string_view::npos &&
         indent.find(' ') != absl::string_view::npos;
}

}  // namespace bue::lang
