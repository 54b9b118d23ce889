#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/lang/languages.h"
#include "common/lang/script_parser.h"

namespace bue::lang {
namespace {

constexpr size_t kNotFound = absl::string_view::npos;

bool BeginsDirective(absl::string_view text) { return absl::StrContains("!$@", text.substr(0, 1)); }

absl::string_view LeadingBlanks(absl::string_view text) {
  size_t end = 0;
  while (end < text.size() && IsBlank(text[end])) ++end;
  return text.substr(0, end);
}

absl::string_view CommonPrefix(absl::string_view a, absl::string_view b) {
  size_t length = 0;
  while (length < a.size() && length < b.size() && a[length] == b[length]) ++length;
  return a.substr(0, length);
}

// Whether a line cannot be part of an import list: its `)` has been forgotten.
bool IsOutsideImportLists(absl::string_view text) {
  const absl::string_view word = FirstWord(text);
  const absl::string_view inside = text.substr(0, FindOutsideQuotes(text, ")"));
  return word == "import" || word == "for" || FindOutsideQuotes(inside, "=:") != kNotFound;
}

// What the lines of a code block lose in a body that is indented by `body`: that, if the code lies
// in the body; as much as its first line has, if it lies further left. `lines[0]` is what stands
// behind the opening backtick.
absl::string_view LostIndent(const std::vector<absl::string_view>& lines, absl::string_view body) {
  for (size_t i = 1; i < lines.size(); ++i) {
    const absl::string_view indent = LeadingBlanks(lines[i]);
    const bool is_last = i + 1 == lines.size();
    if (indent.size() == lines[i].size() && !is_last) continue;  // A blank line says nothing.
    const absl::string_view lost = CommonPrefix(indent, body);
    // `def f(x):` needs a line below it that is indented.
    const bool opens = absl::EndsWith(TrimBlanks(lines[0]), ":");
    return opens && lost.size() == indent.size() ? absl::string_view() : lost;
  }
  return body;
}

}  // namespace

size_t FindDirective(absl::string_view text, size_t from) {
  for (size_t at = FindOutsideQuotes(text, "!$@", from); at != kNotFound;
       at = FindOutsideQuotes(text, "!$@", at + 1)) {
    if (at == 0 || IsBlank(text[at - 1]) || text[at - 1] == ')') return at;
  }
  return kNotFound;
}

std::vector<absl::string_view> SplitDirectives(absl::string_view text) {
  std::vector<absl::string_view> directives;
  while (!text.empty()) {
    const size_t next = FindDirective(text, 1);
    directives.push_back(TrimBlanks(text.substr(0, next)));
    text = next == kNotFound ? absl::string_view() : text.substr(next);
  }
  return directives;
}

bool ScriptParser::ParseOneDirective(absl::string_view text, Position at, absl::string_view where,
                                     Directives* into, DirectiveKind* kind) {
  const ParsedDirective parsed = ParseDirective(text, limits_, into);
  *kind = parsed.kind;
  if (!parsed.ok) {
    at.byte += static_cast<uint32_t>(parsed.error_at);
    report_.Error(at, parsed.error, parsed.hint);
    return false;
  }
  if (parsed.kind == DirectiveKind::kOldVelocity) {
    report_.Warning(at, "`@` has no effect", "use `!rate` to limit how often a step starts");
  }
  if (parsed.repeats) {
    report_.Warning(at, absl::StrCat("'", parsed.name, "' is given again for this ", where),
                    "the last one counts");
  }
  return true;
}

void ScriptParser::ParseLevelDirectives(const Line& line, uint32_t level) {
  for (const absl::string_view text : SplitDirectives(line.text)) {
    Directives old_scope;
    Directives* into = text[0] == '$' ? &old_scope : &tree_.levels[level].defaults;
    DirectiveKind kind;
    if (!ParseOneDirective(text, line.At(text), level == 0 ? "file" : "body", into, &kind))
      continue;
    if (kind == DirectiveKind::kRefill) {
      report_.Error(line.At(text), "`!refill` belongs to one step",
                    "write it in that step's definition or import entry");
    }
    if (kind != DirectiveKind::kOldScope) continue;
    tree_.levels[level].old_scopes.push_back({line.number, *old_scope.scope});
    if (definition_end_ != 0 && line.number == definition_end_ + 1) {
      report_.Warning(
          line.At(text), "this scope is that of the definitions below",
          "the definition above ends before it; put it inside, indented, to set its own");
    }
  }
}

void ScriptParser::ParseDefinition(const Line& line, absl::string_view name, uint32_t level) {
  Block block;
  block.step.at = line.At(line.text);
  block.step.level = level;
  block.step.name = TakeName(name, block.step.at, "step");
  block.reported = block.step.name == kNoName;
  char kind = '\0';  // Of this block's indentation.
  for (bool first = true; NextIsDeeper(line); first = false) {
    const Line next = *lines_.Peek();
    const absl::string_view unit = next.indent.substr(line.indent.size());
    if (first) NoteOpenedBlock(next, line.indent);
    if (first) kind = unit[0];
    if (unit.find_first_not_of(kind) != kNotFound) {
      ReportIndentation(next, "this line mixes tabs and blanks with the lines above",
                        "indent all of a definition with the same characters");
    }
    lines_.SkipPast(next.number);
    definition_end_ = next.number;
    ParseBlockLine(next, &block);
  }
  FinishDefinition(std::move(block));
}

void ScriptParser::ParseBlockLine(const Line& line, Block* block) {
  const absl::string_view text = line.text;
  if (block->has_source) {
    const bool directive = BeginsDirective(text);
    report_.Error(
        line.At(text),
        absl::StrCat("'", text, "' stands behind the source of '",
                     block->reported ? "" : tree_.names.Text(block->step.name), "'"),
        directive ? "directives stand before the file or the code" : "a definition ends there");
    block->reported = true;
    if (line.has_code) SkipStrayCode(line);
    return;
  }
  if (BeginsDirective(text)) {
    for (const absl::string_view directive : SplitDirectives(text)) {
      DirectiveKind kind;
      ParseOneDirective(directive, line.At(directive), "step", &block->step.own, &kind);
      block->directives.push_back({kind, std::string(FirstWord(directive)), line.At(directive)});
    }
    return;
  }
  if (block->has_relation) {
    block->has_source = true;
    bool broken = false;
    block->step.source = ParseSource(line.number, line.indent.size(), &broken);
    if (!broken) definition_end_ = lines_.last_skipped();
    block->reported = block->reported || broken;
    return;
  }
  if (line.has_code) {
    report_.Error(line.At(text), "the code comes too early",
                  "above it stand the language and the function's or table's name, a line each");
    block->reported = block->has_source = true;
    return SkipStrayCode(line);
  }
  if (!block->has_language) {
    block->has_language = true;
    block->reported = !ParseLanguage(text, line.At(text), &block->step.language) || block->reported;
    return;
  }
  block->has_relation = true;
  block->step.relation = TakeName(text, line.At(text), "function or table");
  block->reported = block->reported || block->step.relation == kNoName;
}

void ScriptParser::FinishDefinition(Block block) {
  if (block.step.name == kNoName) return;
  if (!block.reported && !block.has_source) {
    const absl::string_view name = tree_.names.Text(block.step.name);
    const absl::string_view missing = !block.has_language   ? "its language"
                                      : !block.has_relation ? "its function or table"
                                                            : "its file or code";
    report_.Error(
        block.step.at,
        absl::StrCat("the definition of '", name, "' ends too early: ", missing, " is missing"),
        "below the name stand, indented: language, function or table, file or `code`");
    block.reported = true;
  }
  block.step.broken = block.reported;
  if (!block.step.broken) CheckAgainstLanguage(block.step, block.directives);
  AddStep(std::move(block.step));
}

void ScriptParser::AddStep(StepDefinition step) {
  if (!step.broken && tree_.sources[step.source].is_inline) {
    const uint64_t bytes = tree_.sources[step.source].text.size();
    const bool was_within = code_bytes_ <= limits_.inline_code_bytes;
    code_bytes_ += bytes;
    if (was_within && code_bytes_ > limits_.inline_code_bytes) {
      report_.Error(step.at,
                    absl::StrCat("up to this step the script has more than ",
                                 limits_.inline_code_bytes, " bytes of code between backticks"),
                    "each step of an import list gets the code; put it in a file");
    }
  }
  tree_.levels[step.level].has_definitions = true;
  tree_.steps.push_back(std::move(step));
}

// `!refill` and `!mode` are about Python.
void ScriptParser::CheckAgainstLanguage(const StepDefinition& step,
                                        const std::vector<UsedDirective>& used) {
  if (step.language == Language::kPython) return;
  for (const UsedDirective& directive : used) {
    if (directive.kind == DirectiveKind::kRefill) {
      report_.Error(directive.at, "'!refill' is for Python steps only",
                    absl::StrCat("'", tree_.names.Text(step.name), "' is SQL"));
    }
    if (directive.kind == DirectiveKind::kMode) {
      report_.Warning(directive.at, "'!mode' has no effect on an SQL step",
                      "SQL runs in the worker itself");
    }
  }
}

bool ScriptParser::ParseLanguage(absl::string_view text, Position at, Language* language) {
  if (FindLanguage(text, language)) return true;
  report_.Error(at, absl::StrCat("unknown language '", text, "'"), UnknownLanguageHint(text));
  return false;
}

// A path to the line's end, or code between backticks, from `byte` of line `number`. Reads on
// behind it. The index of the source; kNone, and `*broken`, once an error is reported.
uint32_t ScriptParser::ParseSource(uint32_t number, size_t byte, bool* broken) {
  const absl::string_view raw = source_.Line(number);
  const absl::string_view text = TrimBlanks(WithoutComment(raw.substr(byte)));
  StepSource source{.at = {number, static_cast<uint32_t>(text.data() - raw.data())}};
  lines_.SkipPast(number);
  *broken = true;
  if (text.empty()) {
    report_.Error({number, static_cast<uint32_t>(byte)}, "the file or the code is missing",
                  "behind an import list's ')' stands, on the same line, a path or `code`");
    return kNone;
  }
  if (text[0] == '`') {
    if (!ReadCode(source.at, &source)) return kNone;
  } else {
    const size_t backtick = text.find('`');
    source.text = std::string(text[0] == '"' && SkipQuoted(text, 0) == text.size()
                                  ? text.substr(1, text.size() - 2)
                                  : text);
    if (backtick != kNotFound || source.text.empty() || source.text.size() > limits_.path_bytes) {
      report_.Error(
          source.at, absl::StrCat("'", text.substr(0, 80), "' is no path"),
          absl::StrCat("a path has no backticks and at most ", limits_.path_bytes, " bytes"));
      return kNone;
    }
  }
  *broken = false;
  tree_.sources.push_back(std::move(source));
  return static_cast<uint32_t>(tree_.sources.size() - 1);
}

// Code from the backtick at `open` to the next one.
bool ScriptParser::ReadCode(Position open, StepSource* source) {
  const absl::string_view text = source_.text();
  const size_t begin = source_.OffsetOf(open);
  const size_t close = text.find('`', begin + 1);
  if (close == kNotFound) {
    report_.Error(open, "the code that begins with ` is never closed",
                  "a backtick at its end is missing");
    lines_.SkipToEnd();
    tree_.complete = false;
    return false;
  }
  const Position end = source_.PositionOf(close);
  lines_.SkipPast(end.line);
  const absl::string_view rest = source_.Line(end.line).substr(end.byte + 1);
  const absl::string_view behind = TrimBlanks(WithoutComment(rest));
  if (!behind.empty()) {
    report_.Error({end.line, end.byte + 1},
                  absl::StrCat("'", behind.substr(0, 80), "' behind the code's closing backtick"),
                  "code cannot hold a backtick; there is no escape for it");
    // The code goes on up to a backtick that stands alone.
    const size_t next = text.find('`', close + 1);
    if (next == kNotFound) return false;
    const Position at = source_.PositionOf(next);
    if (TrimBlanks(WithoutComment(source_.Line(at.line).substr(at.byte + 1))).empty()) {
      lines_.SkipPast(at.line);
    }
    return false;
  }
  source->is_inline = true;
  source->text = CodeBetween(begin, close);
  return true;
}

// The text between two backticks as steps get it: line ends are LF, and in a loop's body the lines
// lose the body's indentation.
std::string ScriptParser::CodeBetween(size_t open, size_t close) const {
  const absl::string_view code = source_.text().substr(open + 1, close - open - 1);
  if (code.find_first_of("\r\n") == kNotFound) return std::string(code);
  const uint32_t first = source_.PositionOf(open).line;
  const Position end = source_.PositionOf(close);
  std::vector<absl::string_view> lines = {
      source_.Line(first).substr(source_.PositionOf(open).byte + 1)};
  for (uint32_t number = first + 1; number < end.line; ++number)
    lines.push_back(source_.Line(number));
  lines.push_back(source_.Line(end.line).substr(0, end.byte));
  // The outermost level's indentation counts as well, for scripts that are indented as a whole.
  const absl::string_view lost = LostIndent(lines, indents_.back());
  std::string text(lines[0]);
  for (size_t i = 1; i < lines.size(); ++i) {
    absl::StrAppend(&text, "\n", lines[i].substr(CommonPrefix(lines[i], lost).size()));
  }
  return text;
}

// `import LANGUAGE (…`.
bool ScriptParser::IsImport(absl::string_view text) const {
  if (FirstWord(text) != "import") return false;
  const size_t open = FindOutsideQuotes(text, "(=|`");
  if (open == kNotFound || text[open] != '(') return false;
  const absl::string_view language = TrimBlanks(text.substr(6, open - 6));
  return !language.empty() && FirstWord(language) == language;
}

void ScriptParser::ParseImport(const Line& line, uint32_t level) {
  const size_t open = FindOutsideQuotes(line.text, "(");
  const absl::string_view language = TrimBlanks(line.text.substr(6, open - 6));
  StepDefinition step{.level = level};
  const bool known = ParseLanguage(language, line.At(language), &step.language);
  JoinedText list;
  Position end;
  bool broken = true;
  if (ReadImportList(line, open, &list, &end))
    step.source = ParseSource(end.line, end.byte, &broken);
  step.broken = broken || !known;
  ParseImportEntries(list, step);
}

void ScriptParser::ParseImportEntries(const JoinedText& list, const StepDefinition& step) {
  const absl::string_view text = list.text;
  bool any = false;
  int depth = 0;
  size_t begin = 0;
  for (size_t at = 0; at <= text.size(); at = at < text.size() ? SkipQuoted(text, at) : at + 1) {
    const bool at_end = at == text.size();
    if (!at_end && text[at] == '(') ++depth;
    if (!at_end && text[at] == ')') --depth;
    if (!at_end && (text[at] != ',' || depth != 0)) continue;
    const absl::string_view entry = TrimBlanks(text.substr(begin, at - begin));
    if (!entry.empty()) ParseImportEntry(list, entry, step);
    any = any || !entry.empty();
    begin = at + 1;
  }
  if (!any && !step.broken) {
    report_.Warning(tree_.sources[step.source].at, "this import names no steps", "");
  }
}

// The text up to the parenthesis that closes the one at byte `open` of `line.text`; `*end` is
// behind it. False once an error is reported.
bool ScriptParser::ReadImportList(const Line& line, size_t open, JoinedText* list, Position* end) {
  const Position opening = line.At(line.text.substr(open));
  Line current = line;
  absl::string_view text = line.text.substr(open + 1);
  int depth = 1;
  while (true) {
    for (size_t at = 0; at < text.size(); at = SkipQuoted(text, at)) {
      if (text[at] == '`') break;
      if (text[at] == '(') ++depth;
      if (text[at] != ')' || --depth > 0) continue;
      list->Append(text.substr(0, at), current.At(text));
      *end = current.At(text.substr(at + 1));
      return true;
    }
    const bool has_code = text.find('`') != kNotFound;
    list->Append(absl::StrCat(text.substr(0, text.find('`')), " "), current.At(text));
    const Line* next = lines_.Peek();
    const bool other_statement = next != nullptr && IsOutsideImportLists(next->text);
    if (next == nullptr || has_code || other_statement) {
      report_.Error(opening, "the import list's '(' is never closed", "its `)` is missing");
      if (has_code) SkipStrayCode(current);
      return false;
    }
    current = *next;
    text = current.text;
    lines_.SkipPast(current.number);
  }
}

// `FUNCTION [as STEP] {directive}`.
void ScriptParser::ParseImportEntry(const JoinedText& list, absl::string_view entry,
                                    StepDefinition step) {
  const auto at = [&](absl::string_view part) { return list.At(part.data() - list.text.data()); };
  const size_t directives = FindDirective(entry, 0);
  step.at = at(entry);
  const bool named = ParseImportNames(TrimBlanks(entry.substr(0, directives)), step.at, &step);
  std::vector<UsedDirective> used;
  if (directives != kNotFound) {
    for (const absl::string_view text : SplitDirectives(entry.substr(directives))) {
      DirectiveKind kind;
      ParseOneDirective(text, at(text), "step", &step.own, &kind);
      used.push_back({kind, std::string(FirstWord(text)), at(text)});
    }
  }
  if (!named) return;
  if (!step.broken) CheckAgainstLanguage(step, used);
  AddStep(std::move(step));
}

bool ScriptParser::ParseImportNames(absl::string_view names, Position at, StepDefinition* step) {
  // A name broken over lines is one with single blanks.
  std::string text;
  std::vector<size_t> as_at;
  for (absl::string_view rest = names; !rest.empty();) {
    absl::string_view word = FirstWord(rest);
    if (rest[0] == '"') word = rest.substr(0, SkipQuoted(rest, 0));
    if (word == "as") as_at.push_back(text.size());
    absl::StrAppend(&text, text.empty() ? "" : " ", word);
    rest = TrimBlanks(rest.substr(word.size()));
  }
  const absl::string_view all = text;
  if (as_at.empty() || all == "as") {
    step->name = step->relation = TakeName(all, at, "step");
    return step->name != kNoName;
  }
  const size_t split = as_at[0];
  if (as_at.size() > 1 || split == 0 || split + 3 >= all.size()) {
    report_.Error(at, absl::StrCat("'", all, "' is no entry of an import list"),
                  "write `FUNCTION` or `FUNCTION as STEP`");
    return false;
  }
  step->relation = TakeName(all.substr(0, split), at, "function or table");
  step->name = TakeName(all.substr(split + 3), at, "step");
  return step->relation != kNoName && step->name != kNoName;
}

}  // namespace bue::lang
