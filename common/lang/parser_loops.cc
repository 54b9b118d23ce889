#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/lang/expression.h"
#include "common/lang/languages.h"
#include "common/lang/script_parser.h"

namespace bue::lang {
namespace {

constexpr size_t kNotFound = absl::string_view::npos;

// Where `word` stands in `text` with blanks on both sides, outside of quotes.
size_t FindWord(absl::string_view text, absl::string_view word) {
  for (size_t at = FindOutsideQuotes(text, " \t"); at != kNotFound;
       at = FindOutsideQuotes(text, " \t", at + 1)) {
    const absl::string_view rest = text.substr(at + 1);
    if (FirstWord(rest) == word && rest.size() > word.size()) return at + 1;
  }
  return kNotFound;
}

// The last two words of `text`.
struct Tail {
  absl::string_view before;  // All but them.
  absl::string_view first;
  absl::string_view second;
};

Tail LastTwoWords(absl::string_view text) {
  const auto cut = [&text] {
    text = TrimBlanks(text);
    size_t begin = text.size();
    while (begin > 0 && !IsBlank(text[begin - 1])) --begin;
    const absl::string_view word = text.substr(begin);
    text = text.substr(0, begin);
    return word;
  };
  Tail tail;
  tail.second = cut();
  tail.first = cut();
  tail.before = TrimBlanks(text);
  return tail;
}

}  // namespace

// `for NAME in …`. A definition may be called `for use in reports:`; then the line below it is a
// language.
bool ScriptParser::IsLoop(const Line& line) {
  const absl::string_view text = line.text;
  if (FirstWord(text) != "for" || FindWord(text, "in") == kNotFound) return false;
  if (FindOutsideQuotes(text, "(") != kNotFound || !NextIsDeeper(line)) return true;
  Language language;
  return !FindLanguage(lines_.Peek()->text, &language);
}

void ScriptParser::ParseLoop(const Line& line, uint32_t level) {
  const absl::string_view text = line.text;
  if (indents_.size() > limits_.nesting_depth) {
    report_.Error(line.At(text),
                  absl::StrCat("loops are nested more than ", limits_.nesting_depth, " deep"),
                  "split the script, or let a step return a flat list");
    return SkipDeeper(line.indent);
  }
  const size_t in = FindWord(text, "in");
  const absl::string_view variable = TrimBlanks(text.substr(3, in - 3));
  absl::string_view source = text.substr(in + 2);
  absl::string_view behind_colon;
  const size_t colon = FindOutsideQuotes(source, ":");
  if (colon == kNotFound) {
    report_.Error(line.At(text.substr(text.size() - 1)), "a ':' is missing at the loop's end",
                  "write `for x in pipe():`");
  } else {
    behind_colon = TrimBlanks(source.substr(colon + 1));
    source = source.substr(0, colon);
  }

  Loop loop{.at = line.At(text), .parent_level = level};
  loop.level = static_cast<uint32_t>(tree_.levels.size());
  if (FindOutsideQuotes(variable, ",") != kNotFound) {
    report_.Error(line.At(variable), absl::StrCat("a loop has one variable, not '", variable, "'"),
                  "take the element apart in a step");
  } else {
    loop.variable = TakeName(variable, line.At(text.substr(3)), "loop variable");
  }
  ParseLoopSource(line, TrimBlanks(source), &loop);

  const auto index = static_cast<uint32_t>(tree_.loops.size());
  tree_.levels.push_back(Level{.parent = level, .loop = index});
  tree_.loops.push_back(loop);
  tree_.events.push_back({Event::Kind::kEnterLoop, index});
  if (loop.variable == kNoName) BindBrokenVariables(line, variable, loop.level);
  ParseBody(line, behind_colon, loop.level);
  tree_.events.push_back({Event::Kind::kLeaveLoop, index});
}

// The names in `a, b` are known in the body, so that their uses are not reported as well.
void ScriptParser::BindBrokenVariables(const Line& line, absl::string_view names, uint32_t level) {
  for (const absl::string_view name : absl::StrSplit(names, ',')) BindBroken(line, name, level);
}

// `pipe(a, b)`, `value` or `range(8)`, and `by 100` behind each.
void ScriptParser::ParseLoopSource(const Line& line, absl::string_view source, Loop* loop) {
  if (source.empty()) {
    report_.Error(line.At(line.text), "the loop has nothing to go over",
                  "write `for x in pipe():`, `for x in value:` or `for i in range(8):`");
    return;
  }
  const size_t close = source.rfind(')');
  if (FindOutsideQuotes(source, "(") != kNotFound) {
    if (close != kNotFound) {
      const absl::string_view behind = TrimBlanks(source.substr(close + 1));
      if (FirstWord(behind) == "by") {
        if (!ParseBy(line, TrimBlanks(behind.substr(2)), loop)) return;
        source = source.substr(0, close + 1);
      }
    }
    loop->call = ParseCall(line, source, loop->parent_level, kNoName);
    if (!tree_.calls[loop->call].broken) loop->source = Loop::Source::kCall;
    return;
  }
  const Tail tail = LastTwoWords(source);
  if (tail.first == "by" && !tail.before.empty()) {
    if (!ParseBy(line, tail.second, loop)) return;
    source = tail.before;
  }
  if (source[0] == '[' || source[0] == '{' || absl::ascii_isdigit(source[0])) {
    report_.Error(line.At(source), absl::StrCat("a loop cannot go over the literal '", source, "'"),
                  "let a step return the list, or write `range(N)`");
    return;
  }
  loop->value_at = line.At(source);
  loop->value_quoted = source[0] == '"';
  loop->value = TakeName(source, loop->value_at, "value");
  if (loop->value != kNoName) loop->source = Loop::Source::kValue;
}

bool ScriptParser::ParseBy(const Line& line, absl::string_view number, Loop* loop) {
  const std::optional<uint64_t> by = ParseWholeNumber(number);
  if (by && *by > 0) {
    loop->by = *by;
    return true;
  }
  report_.Error(number.empty() ? line.At(line.text) : line.At(number),
                absl::StrCat("`by` takes a whole number above 0, not '", number, "'"),
                "write `for xs in pipe() by 100:`");
  return false;
}

void ScriptParser::ParseBody(const Line& header, absl::string_view behind_colon, uint32_t level) {
  if (!behind_colon.empty()) {
    report_.Error(header.At(behind_colon), "a loop's body cannot stand in the loop's line",
                  "put it on the next line, indented");
    Line rest = header;
    rest.text = behind_colon;
    ParseStatement(rest, level);
    return;
  }
  if (!NextIsDeeper(header)) {
    report_.Error(header.At(header.text), "the loop has no body",
                  "indent the lines that belong to it");
    return;
  }
  const Line first = *lines_.Peek();
  if (MixesTabsAndBlanks(first.indent.substr(header.indent.size()))) {
    ReportIndentation(first, "this indentation mixes tabs and blanks", "use one of them");
  }
  NoteOpenedBlock(first, header.indent);
  indents_.push_back(first.indent);
  ParseLevel(level);
  indents_.pop_back();
}

}  // namespace bue::lang
