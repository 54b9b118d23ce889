#include "common/lang/parser.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/lang/languages.h"
#include "common/lang/script_parser.h"

namespace bue::lang {
namespace {

// Words that begin a line of Python and mean nothing here. They may still be names.
constexpr absl::string_view kPythonWords[] = {
    "if",     "elif",     "else", "while", "try", "except", "finally", "with",   "def",  "class",
    "return", "continue", "pass", "break", "del", "raise",  "async",   "assert", "match"};

bool IsPythonWord(absl::string_view word) { return absl::c_linear_search(kPythonWords, word); }

bool IsCondition(absl::string_view word) {
  return word == "if" || word == "elif" || word == "else" || word == "while";
}

std::string Quote(absl::string_view text) {
  constexpr size_t kShown = 80;
  if (text.size() <= kShown) return absl::StrCat("'", text, "'");
  size_t end = kShown;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return absl::StrCat("'", text.substr(0, end), "…'");
}

// The byte behind the JSON object that `text` begins with; npos if it is not closed.
size_t EndOfJson(absl::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return absl::string_view::npos;
}

}  // namespace

void JoinedText::Append(absl::string_view piece, Position at) {
  pieces.emplace_back(text.size(), at);
  absl::StrAppend(&text, piece);
}

Position JoinedText::At(size_t byte) const {
  auto after = std::upper_bound(pieces.begin(), pieces.end(), byte,
                                [](size_t b, const auto& piece) { return b < piece.first; });
  const auto& [begin, position] = *std::prev(after);
  return Position{position.line, position.byte + static_cast<uint32_t>(byte - begin)};
}

SyntaxTree ParseScript(const SourceText& source, const CompileLimits& limits, Report* report) {
  return ScriptParser(source, limits, report).Parse();
}

SyntaxTree ScriptParser::Parse() {
  tree_.levels.emplace_back();
  const Line* first = lines_.Peek();
  indents_.push_back(first == nullptr ? absl::string_view() : first->indent);
  ParseLevel(0);
  WarnOfUnitsOtherThanTab();
  return std::move(tree_);
}

void ScriptParser::ParseLevel(uint32_t level) {
  while (const Line* next = lines_.Peek()) {
    const Line line = *next;
    if (line.indent != indents_.back() && EndsLevel(line)) return;
    lines_.SkipPast(line.number);
    ParseStatement(line, level);
    first_statement_ = false;
  }
}

// Whether `line`, which is indented otherwise than this level, belongs to a level around it. If it
// belongs to none, that is reported and the line taken for one of this level.
bool ScriptParser::EndsLevel(const Line& line) {
  const auto around = indents_.end() - 1;
  if (std::find(indents_.begin(), around, line.indent) != around) return true;
  switch (CompareIndent(line.indent, indents_.back())) {
    case Depth::kSame:
      return false;
    case Depth::kDeeper:
      ReportIndentation(line, "this line is indented, but nothing above it opens a block",
                        line.text[0] == '|' ? "a pipe over several lines stands in parentheses"
                                            : "put it at the indentation of the line above");
      return false;
    case Depth::kShallower:
      ReportIndentation(line, "this indentation matches no level above",
                        "a body's first line sets its indentation");
      return false;
    case Depth::kMixed:
      ReportIndentation(line, "this line mixes tabs and blanks with the lines above",
                        "indent all of a body with the same characters");
      return false;
  }
  return false;
}

void ScriptParser::ReportIndentation(const Line& line, absl::string_view message,
                                     absl::string_view hint) {
  const bool again = line.indent == reported_indent_ && line.number <= reported_indent_line_ + 1;
  reported_indent_ = std::string(line.indent);
  reported_indent_line_ = line.number;
  if (!again) report_.Error(line.At(line.text), std::string(message), std::string(hint));
}

void ScriptParser::ParseStatement(const Line& line, uint32_t level) {
  const absl::string_view text = line.text;
  switch (text[0]) {
    case '!':
    case '$':
    case '@':
      return ParseLevelDirectives(line, level);
    case '{':
      if (first_statement_) return ParseJsonHeader(line);
      return ReportUnknownStatement(line);
    case '`':
    case '|':
    case ')':
      return ReportUnknownStatement(line);
    default:
      break;
  }
  if (IsImport(text)) return ParseImport(line, level);
  if (line.has_code) return ReportUnknownStatement(line);
  if (IsLoop(line)) return ParseLoop(line, level);
  if (IsNotInLanguage(line)) return ParseNotInLanguage(line);
  const size_t structure = FindOutsideQuotes(text, "=(");
  if (structure == absl::string_view::npos) {
    if (text.back() != ':') return ReportUnknownStatement(line);
    return ParseDefinition(line, text.substr(0, text.size() - 1), level);
  }
  if (text[structure] == '=') return ParseAssignment(line, structure, level);
  if (text.back() == ':' && IsPythonWord(FirstWord(text))) return ReportUnknownStatement(line);
  tree_.events.push_back({Event::Kind::kCall, ParseCall(line, text, level, kNoName)});
}

void ScriptParser::ParseAssignment(const Line& line, size_t equals, uint32_t level) {
  const absl::string_view left = TrimBlanks(line.text.substr(0, equals));
  const absl::string_view right = TrimBlanks(line.text.substr(equals + 1));
  const auto wrong = [&](std::string message, std::string hint) {
    report_.Error(line.At(line.text.substr(equals)), std::move(message), std::move(hint));
    BindBroken(line, left, level);
  };
  if (left == "TAB" && !right.empty() && (right[0] == '"' || right[0] == '\'')) {
    return ParseTab(line, right);
  }
  if (equals > 0 && absl::StrContains("+-*/%&^<>!~:", line.text.substr(equals - 1, 1))) {
    return wrong(absl::StrCat("'", line.text.substr(equals - 1, 2), "' is not in the language"),
                 "there is only `value = pipe(…)` and `pipe = step | step`");
  }
  if (right.empty()) {
    return wrong(absl::StrCat("nothing stands right of '", left, " ='"),
                 "write a call, `value = pipe(…)`, or a pipe, `pipe = step | step`");
  }
  const size_t structure = FindOutsideQuotes(right, "=(|");
  const char first = structure == absl::string_view::npos ? '\0' : right[structure];
  if (first == '=') return wrong("there is a second '=' in this line", "bind one name a line");
  if (first != '(' || structure == 0) return ParsePipe(line, left, right, level);
  if (FindOutsideQuotes(left, ",") != absl::string_view::npos) {
    return wrong("a call has one value", "return a dict and pick it apart in the next step");
  }
  const NameId value = TakeName(left, line.At(left), "value");
  tree_.events.push_back({Event::Kind::kCall, ParseCall(line, right, level, value)});
}

void ScriptParser::ParseTab(const Line& line, absl::string_view quoted) {
  const absl::string_view unit = quoted.substr(1, std::max<size_t>(quoted.size(), 2) - 2);
  const bool closed = quoted.size() >= 2 && quoted.back() == quoted.front();
  const std::string text = unit == "\\t" ? "\t" : std::string(unit);
  if (!closed || text.empty() || text.find_first_not_of(" \t") != std::string::npos) {
    report_.Error(line.At(quoted), absl::StrCat("TAB cannot be ", quoted),
                  "blanks or tabs in quotes are allowed, as in `TAB = '    '`");
    return;
  }
  tab_ = text;
}

void ScriptParser::ParseJsonHeader(const Line& line) {
  const Position begin = line.At(line.text);
  const size_t offset = source_.OffsetOf(begin);
  const size_t length = EndOfJson(source_.text().substr(offset));
  if (length == absl::string_view::npos) {
    report_.Error(begin, "the JSON header is never closed", "its last `}` is missing");
    tree_.complete = false;
    lines_.SkipToEnd();
    return;
  }
  report_.Warning(begin, "the JSON header is ignored", "it has never had an effect");
  const Position end = source_.PositionOf(offset + length - 1);
  const absl::string_view rest =
      TrimBlanks(WithoutComment(source_.Line(end.line).substr(end.byte + 1)));
  if (!rest.empty()) {
    report_.Error({end.line, end.byte + 1}, absl::StrCat(Quote(rest), " behind the JSON header"),
                  "begin a new line");
  }
  lines_.SkipPast(end.line);
}

// Whether `line` is one of Python's statements. A definition may have such a name: then the line
// below it is a language.
bool ScriptParser::IsNotInLanguage(const Line& line) {
  const absl::string_view word = FirstWord(line.text);
  const absl::string_view bare = absl::StripSuffix(word, ":");
  if (!IsPythonWord(bare)) return false;
  const bool has_colon = FindOutsideQuotes(line.text, ":") != absl::string_view::npos;
  const bool has_structure = FindOutsideQuotes(line.text, "=(|") != absl::string_view::npos;
  if (!has_colon) return !has_structure;
  if (has_structure || line.text.back() != ':' || !NextIsDeeper(line)) return true;
  const absl::string_view next = lines_.Peek()->text;
  Language language;
  return next[0] != '!' && next[0] != '$' && !FindLanguage(next, &language);
}

void ScriptParser::ParseNotInLanguage(const Line& line) {
  const absl::string_view word = absl::StripSuffix(FirstWord(line.text), ":");
  if (!IsCondition(word)) {
    report_.Error(line.At(line.text), absl::StrCat(Quote(word), " is not in the language"),
                  "Python stands in step files or between backticks");
    return SkipDeeper(line.indent);
  }
  report_.Error(line.At(line.text),
                absl::StrCat("conditions are not in the language: ", Quote(line.text)),
                "decide in a step: return `cancel` to drop what follows");
  // What stands below is still looked at, as if there were no condition.
  if (!NextIsDeeper(line)) return;
  reported_indent_ = std::string(lines_.Peek()->indent);
  reported_indent_line_ = lines_.Peek()->number;
}

void ScriptParser::ReportUnknownStatement(const Line& line) {
  const absl::string_view text = line.text;
  const absl::string_view word = FirstWord(text);
  std::string hint = "a line is a definition, an import, a pipe, a call, a loop or a directive";
  if (text[0] == '`') hint = "code stands below a definition's function, or behind an import list";
  if (text[0] == '|') hint = "a pipe over several lines stands in parentheses";
  if (text[0] == ')') hint = "a call ends on its line; a pipe's `(` stands right of the `=`";
  if (text[0] == '{') hint = "a JSON header can only be the first thing in a script";
  if (word == "import" || word == "from") hint = "write `import python (FUNCTION) FILE.py`";
  if (IsPythonWord(word)) hint = "Python stands in step files or between backticks";
  if (line.has_code && text[0] != '`') {
    hint = "code between backticks stands alone, below a definition's function";
  }
  if (absl::StrContains(text, "\xC2\xA0")) hint = "the line holds no-break spaces (U+00A0)";
  const size_t colon = FindOutsideQuotes(text, ":");
  if (colon != absl::string_view::npos && colon + 1 < text.size() && word != "import") {
    hint = "the language, the function and the file stand below the name, a line each, indented";
  }
  report_.Error(line.At(text), absl::StrCat("this line is not understood: ", Quote(text)),
                std::move(hint));
  if (line.has_code) SkipStrayCode(line);
  if (text.back() == ':') SkipDeeper(line.indent);
}

bool ScriptParser::NextIsDeeper(const Line& line) {
  const Line* next = lines_.Peek();
  return next != nullptr && CompareIndent(next->indent, line.indent) == Depth::kDeeper;
}

void ScriptParser::SkipDeeper(absl::string_view indent) {
  while (const Line* next = lines_.Peek()) {
    if (CompareIndent(next->indent, indent) != Depth::kDeeper) return;
    const Line line = *next;
    lines_.SkipPast(line.number);
    if (line.has_code) SkipStrayCode(line);
  }
}

// Goes on behind the code that begins where there may be none.
void ScriptParser::SkipStrayCode(const Line& line) {
  const size_t open = source_.OffsetOf(line.At(line.raw)) + line.raw.find('`');
  const size_t close = source_.text().find('`', open + 1);
  if (close != absl::string_view::npos) lines_.SkipPast(source_.PositionOf(close).line);
}

// Remembers how the block or body that begins with `first` is indented, for TAB.
void ScriptParser::NoteOpenedBlock(const Line& first, absl::string_view outer) {
  constexpr size_t kMost = 8;
  const absl::string_view unit = first.indent.substr(outer.size());
  if (opened_.size() == kMost) return;
  for (const auto& [known, at] : opened_) {
    if (known == unit) return;
  }
  opened_.emplace_back(std::string(unit), first.At(first.text));
}

void ScriptParser::WarnOfUnitsOtherThanTab() {
  if (!tab_) return;
  for (const auto& [unit, at] : opened_) {
    if (unit == *tab_) continue;
    report_.Warning(at, "this is not indented by what TAB says", "the indentation counts, not TAB");
  }
}

}  // namespace bue::lang
