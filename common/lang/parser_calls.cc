#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/lang/script_parser.h"

namespace bue::lang {
namespace {

constexpr size_t kNotFound = absl::string_view::npos;

bool IsPlainNameCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == ' ' || c == '.';
}

bool IsControl(char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7F; }

// Whether `text` is one name in double quotes.
bool IsQuoted(absl::string_view text) {
  return text.size() >= 2 && text[0] == '"' && SkipQuoted(text, 0) == text.size();
}

// What cannot be in a name without quotes, since it means something.
std::string NotInNames(absl::string_view name) {
  if (absl::StrContains("!$@'{[", name.substr(0, 1))) return std::string(name.substr(0, 1));
  const size_t at = name.find_first_of("()|=:,`\"");
  return at == kNotFound ? "" : std::string(name.substr(at, 1));
}

// Whether an argument is a literal of Python: a string, a list, a dict.
bool LooksLikeLiteral(absl::string_view argument) {
  if (absl::StrContains("[{'", argument.substr(0, 1))) return true;
  const size_t quote = argument.find_first_of("\"'");
  if (quote == kNotFound || IsQuoted(argument)) return false;
  return true;  // f"…", "a" "b"
}

}  // namespace

NameId ScriptParser::TakeName(absl::string_view text, Position at, absl::string_view what) {
  absl::string_view name = TrimBlanks(text);
  at.byte += static_cast<uint32_t>(name.empty() ? 0 : name.data() - text.data());
  const auto wrong = [&](std::string message, std::string hint) {
    report_.Error(at, std::move(message), std::move(hint));
    return kNoName;
  };
  if (name.empty()) return wrong(absl::StrCat("the ", what, "'s name is missing"), "");
  if (name.size() > 4ull * limits_.name_characters ||
      CountCharacters(name) > limits_.name_characters) {
    return wrong(absl::StrCat("the ", what, "'s name is longer than ", limits_.name_characters,
                              " characters"),
                 "");
  }
  if (absl::c_all_of(name, IsPlainNameCharacter)) return tree_.names.Intern(name);
  if (absl::c_any_of(name, IsControl)) {
    return wrong(absl::StrCat("the ", what, "'s name holds a control character"), "");
  }
  if (IsQuoted(name)) {
    name = TrimBlanks(name.substr(1, name.size() - 2));
    if (name.empty()) return wrong(absl::StrCat("the ", what, "'s name is empty"), "");
    return tree_.names.Intern(name);
  }
  const std::string character = NotInNames(name);
  if (character.empty()) return tree_.names.Intern(name);
  return wrong(absl::StrCat("the ", what, "'s name '", name, "' cannot hold ", character),
               character == "\"" || character == "`"
                   ? "double quotes stand round the whole name"
                   : absl::StrCat("put it in double quotes: `\"", name, "\"`"));
}

// Keeps the name that a broken line would have bound, so that its uses are not reported as well.
void ScriptParser::BindBroken(const Line& line, absl::string_view name, uint32_t level) {
  name = TrimBlanks(name);
  if (IsQuoted(name)) name = TrimBlanks(name.substr(1, name.size() - 2));
  if (name.empty() || CountCharacters(name) > limits_.name_characters) return;
  const NameId id = tree_.names.Intern(name);
  tree_.levels[level].has_definitions = true;
  tree_.pipes.push_back(
      PipeDefinition{.name = id, .at = line.At(line.text), .level = level, .broken = true});
  tree_.calls.push_back(Call{.line = line.number, .level = level, .value = id, .broken = true});
  tree_.events.push_back({Event::Kind::kCall, static_cast<uint32_t>(tree_.calls.size() - 1)});
}

void ScriptParser::ParsePipe(const Line& line, absl::string_view name, absl::string_view bars,
                             uint32_t level) {
  PipeDefinition pipe{.at = line.At(line.text), .level = level};
  pipe.name = TakeName(name, line.At(name), "pipe");
  pipe.steps_begin = static_cast<uint32_t>(tree_.pipe_steps.size());
  const bool in_parentheses = bars[0] == '(';
  pipe.bare = !in_parentheses && FindOutsideQuotes(bars, "|") == kNotFound;
  pipe.broken = in_parentheses ? !ParsePipeLines(line, bars.substr(1), line.At(bars))
                               : !ParseBars(line, bars);
  FinishPipe(pipe);
}

void ScriptParser::FinishPipe(PipeDefinition pipe) {
  pipe.steps_end = static_cast<uint32_t>(tree_.pipe_steps.size());
  const uint32_t steps = pipe.steps_end - pipe.steps_begin;
  if (steps > limits_.pipe_steps) {
    report_.Error(pipe.at, absl::StrCat("the pipe has ", steps, " steps: at most ",
                                        limits_.pipe_steps, " are allowed"));
    pipe.broken = true;
  }
  if (pipe.name == kNoName) return;
  if (steps == 0 && !pipe.broken) {
    report_.Warning(pipe.at,
                    absl::StrCat("the pipe '", tree_.names.Text(pipe.name), "' has no steps"),
                    "calling it does nothing");
  }
  tree_.levels[pipe.level].has_definitions = true;
  tree_.pipes.push_back(pipe);
}

// `a | b`, with empty places anywhere. False if an error was reported.
bool ScriptParser::ParseBars(const Line& line, absl::string_view bars) {
  const size_t open = FindOutsideQuotes(bars, "()");
  if (open != kNotFound) {
    report_.Error(line.At(bars.substr(open)), "a pipe names steps, it does not call them",
                  "write `pipe = step | step`, then `value = pipe(…)`");
    return false;
  }
  bool good = true;
  while (!bars.empty()) {
    const size_t bar = FindOutsideQuotes(bars, "|");
    const absl::string_view step = TrimBlanks(bars.substr(0, bar));
    if (!step.empty()) {
      const NameId name = TakeName(step, line.At(step), "step");
      good = good && name != kNoName;
      if (name != kNoName) tree_.pipe_steps.push_back({name, line.At(step)});
    }
    bars = bar == kNotFound ? absl::string_view() : bars.substr(bar + 1);
  }
  return good;
}

// A pipe in parentheses, from behind its `(`, over as many lines as it takes.
bool ScriptParser::ParsePipeLines(const Line& opening, absl::string_view first, Position at) {
  Line line = opening;
  absl::string_view text = TrimBlanks(first);
  bool good = true;
  bool after_bar = true;  // Whether a step may follow.
  while (true) {
    const size_t close = FindOutsideQuotes(text, ")");
    const absl::string_view bars = TrimBlanks(text.substr(0, close));
    if (!bars.empty()) {
      if (!after_bar && bars[0] != '|') {
        report_.Error(line.At(bars), "a '|' is missing in front of this step",
                      "steps of a pipe are separated by `|`");
        good = false;
      }
      good = ParseBars(line, bars) && good;
      after_bar = bars.back() == '|';
    }
    if (close != kNotFound) {
      const absl::string_view behind = TrimBlanks(text.substr(close + 1));
      if (behind.empty()) return good;
      report_.Error(line.At(behind), absl::StrCat("'", behind, "' behind the pipe's ')'"),
                    "the pipe ends there");
      return false;
    }
    const Line* next = lines_.Peek();
    const bool is_other_statement =
        next != nullptr && (next->has_code || FindOutsideQuotes(next->text, "=:(") != kNotFound);
    if (next == nullptr || is_other_statement) {
      report_.Error(at, "the pipe's '(' is never closed", "its `)` is missing");
      return false;
    }
    line = *next;
    text = line.text;
    lines_.SkipPast(line.number);
  }
}

uint32_t ScriptParser::ParseCall(const Line& line, absl::string_view text, uint32_t level,
                                 NameId value) {
  const Position at = line.At(text);
  Call call{.line = at.line, .byte = at.byte, .level = level, .value = value};
  call.arguments_begin = static_cast<uint32_t>(tree_.arguments.size());
  call.broken = !ParseCallText(line, text, &call);
  call.arguments_end = static_cast<uint32_t>(tree_.arguments.size());
  if (call.arguments_end - call.arguments_begin > limits_.call_arguments) {
    report_.Error(at,
                  absl::StrCat("the call has more than ", limits_.call_arguments, " arguments"));
    call.broken = true;
  }
  tree_.calls.push_back(call);
  return static_cast<uint32_t>(tree_.calls.size() - 1);
}

bool ScriptParser::ParseCallText(const Line& line, absl::string_view text, Call* call) {
  const size_t open = FindOutsideQuotes(text, "(");
  if (ReportMisformedCall(line, text, open)) return false;
  const absl::string_view inside = text.substr(open + 1, text.size() - open - 2);
  call->pipe = TakeName(text.substr(0, open), line.At(text), "pipe");
  const bool good = ParseArguments(line, inside);
  return good && call->pipe != kNoName;
}

bool ScriptParser::ReportMisformedCall(const Line& line, absl::string_view text, size_t open) {
  const size_t close = FindOutsideQuotes(text, ")", open);
  const size_t second_open = FindOutsideQuotes(text, "(", open + 1);
  if (close == kNotFound) {
    report_.Error(line.At(text.substr(open)), "a call ends on the line it begins on",
                  "put all of it on one line, `)` included");
    SkipDeeper(line.indent);
    const Line* next = lines_.Peek();
    if (next != nullptr && next->text[0] == ')') lines_.SkipPast(next->number);
    return true;
  }
  if (second_open < close) {
    report_.Error(line.At(text.substr(second_open)), "a call cannot be an argument",
                  "bind the inner one to a name first: `v = p()`, then `q(v)`");
    return true;
  }
  const absl::string_view behind = TrimBlanks(text.substr(close + 1));
  if (behind.empty()) return false;
  std::string hint = "one call a line";
  if (behind[0] == '|') hint = "write `pipe = step | step`, then call the pipe";
  if (behind[0] == ':') hint = "only a loop's line ends in ':'";
  report_.Error(line.At(behind), absl::StrCat("'", behind, "' behind the call"), std::move(hint));
  return true;
}

bool ScriptParser::ParseArguments(const Line& line, absl::string_view inside) {
  while (!inside.empty()) {
    const size_t comma = FindOutsideQuotes(inside, ",");
    const absl::string_view argument = TrimBlanks(inside.substr(0, comma));
    if (!argument.empty() && (argument[0] == '[' || argument[0] == '{')) {
      return ParseArgument(line, TrimBlanks(inside));  // Its commas are its own.
    }
    if (!argument.empty() && !ParseArgument(line, argument)) return false;
    inside = comma == kNotFound ? absl::string_view() : inside.substr(comma + 1);
  }
  return true;
}

bool ScriptParser::ParseArgument(const Line& line, absl::string_view argument) {
  const Position at = line.At(argument);
  if (LooksLikeLiteral(argument)) {
    report_.Error(at, absl::StrCat("literals cannot be arguments: ", argument),
                  "arguments are values of calls and loop variables; let a step return it");
    return false;
  }
  const bool quoted = IsQuoted(argument);
  const size_t structure = FindOutsideQuotes(argument, "=|:");
  if (structure != kNotFound) {
    const char c = argument[structure];
    report_.Error(at, absl::StrCat("'", argument, "' cannot be an argument"),
                  c == '=' ? "there are no keyword arguments; a step gets them in the call's order"
                  : c == '|' ? "a pipe is defined first, `p = a | b`, and called: `v = p()`"
                             : "arguments are values of calls and loop variables");
    return false;
  }
  const absl::string_view name = quoted ? argument.substr(1, argument.size() - 2) : argument;
  tree_.arguments.push_back(Argument{tree_.names.Intern(TrimBlanks(name)), at.byte, quoted});
  return true;
}

}  // namespace bue::lang
