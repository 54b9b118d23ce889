// ScriptParser is the parser's inside: recursive descent over lines. Its methods lie in four files:
//   parser.cc             levels, indentation, which kind of statement a line is
//   parser_loops.cc       `for` headers
//   parser_calls.cc       calls, pipes, names
//   parser_definitions.cc definitions, imports, directives, code between backticks
// Only those include this header.
#ifndef BUE_COMMON_LANG_SCRIPT_PARSER_H_
#define BUE_COMMON_LANG_SCRIPT_PARSER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/lang/compiler.h"
#include "common/lang/lexer.h"
#include "common/lang/report.h"
#include "common/lang/source_text.h"
#include "common/lang/syntax.h"

namespace bue::lang {

// The text of several lines as one, and the way back.
struct JoinedText {
  std::string text;
  std::vector<std::pair<size_t, Position>> pieces;  // Where each piece begins, in both.

  void Append(absl::string_view piece, Position at);
  Position At(size_t byte) const;
};

class ScriptParser {
 public:
  ScriptParser(const SourceText& source, const CompileLimits& limits, Report* report)
      : source_(source), limits_(limits), report_(*report), lines_(source) {}

  SyntaxTree Parse();

 private:
  // A directive of a definition, remembered until the definition's language is known.
  struct UsedDirective {
    DirectiveKind kind;
    std::string name;
    Position at;
  };

  // The parts of a definition as its lines come in.
  struct Block {
    StepDefinition step;
    std::vector<UsedDirective> directives;
    bool has_language = false;
    bool has_relation = false;
    bool has_source = false;
    bool reported = false;  // An error has been said; a missing part is no news.
  };

  // --- parser.cc
  void ParseLevel(uint32_t level);
  bool EndsLevel(const Line& line);
  void ReportIndentation(const Line& line, absl::string_view message, absl::string_view hint);
  void ParseStatement(const Line& line, uint32_t level);
  void ParseAssignment(const Line& line, size_t equals, uint32_t level);
  void ParseTab(const Line& line, absl::string_view quoted);
  void ParseJsonHeader(const Line& line);
  bool IsNotInLanguage(const Line& line);
  void ParseNotInLanguage(const Line& line);
  void ReportUnknownStatement(const Line& line);
  bool NextIsDeeper(const Line& line);
  void SkipDeeper(absl::string_view indent);
  void SkipStrayCode(const Line& line);
  void NoteOpenedBlock(const Line& first, absl::string_view outer);
  void WarnOfUnitsOtherThanTab();

  // --- parser_loops.cc
  bool IsLoop(const Line& line);
  void ParseLoop(const Line& line, uint32_t level);
  void BindBrokenVariables(const Line& line, absl::string_view names, uint32_t level);
  void ParseLoopSource(const Line& line, absl::string_view source, Loop* loop);
  bool ParseBy(const Line& line, absl::string_view number, Loop* loop);
  void ParseBody(const Line& header, absl::string_view behind_colon, uint32_t level);

  // --- parser_calls.cc
  // The name in `text`, trimmed and without its quotes; kNoName once an error about it, the `what`,
  // is reported at `at`.
  NameId TakeName(absl::string_view text, Position at, absl::string_view what);
  void ParsePipe(const Line& line, absl::string_view name, absl::string_view bars, uint32_t level);
  bool ParseBars(const Line& line, absl::string_view bars);
  bool ParsePipeLines(const Line& opening, absl::string_view first, Position at);
  void FinishPipe(PipeDefinition pipe);
  // Parses `text`, all of a statement or of a loop's source, as a call; the index of the call,
  // which is marked broken if an error was reported.
  uint32_t ParseCall(const Line& line, absl::string_view text, uint32_t level, NameId value);
  bool ParseCallText(const Line& line, absl::string_view text, Call* call);
  bool ReportMisformedCall(const Line& line, absl::string_view text, size_t open);
  bool ParseArguments(const Line& line, absl::string_view inside);
  bool ParseArgument(const Line& line, absl::string_view argument);
  void BindBroken(const Line& line, absl::string_view name, uint32_t level);

  // --- parser_definitions.cc
  void ParseDefinition(const Line& line, absl::string_view name, uint32_t level);
  void ParseBlockLine(const Line& line, Block* block);
  void FinishDefinition(Block block);
  void AddStep(StepDefinition step);
  void CheckAgainstLanguage(const StepDefinition& step, const std::vector<UsedDirective>& used);
  bool ParseLanguage(absl::string_view text, Position at, Language* language);
  uint32_t ParseSource(uint32_t line, size_t byte, bool* broken);
  bool ReadCode(Position open, StepSource* source);
  std::string CodeBetween(size_t open, size_t close) const;
  bool IsImport(absl::string_view text) const;
  void ParseImport(const Line& line, uint32_t level);
  bool ReadImportList(const Line& line, size_t open, JoinedText* list, Position* end);
  void ParseImportEntries(const JoinedText& list, const StepDefinition& step);
  void ParseImportEntry(const JoinedText& list, absl::string_view entry, StepDefinition step);
  bool ParseImportNames(absl::string_view names, Position at, StepDefinition* step);
  void ParseLevelDirectives(const Line& line, uint32_t level);
  // Parses the directive `text` into `into`; false if it is wrong, which is then reported.
  bool ParseOneDirective(absl::string_view text, Position at, absl::string_view where,
                         Directives* into, DirectiveKind* kind);

  // Constant after construction.
  const SourceText& source_;
  const CompileLimits& limits_;
  Report& report_;

  LineReader lines_;
  SyntaxTree tree_;
  std::vector<absl::string_view> indents_;  // Of the level being parsed and those around it.
  bool first_statement_ = true;
  uint32_t definition_end_ = 0;  // The line of the last definition's source.
  uint64_t code_bytes_ = 0;

  // An indentation already complained about: the lines below with the same are not again.
  std::string reported_indent_;
  uint32_t reported_indent_line_ = 0;

  // What `TAB = …` says, and each indentation that blocks and bodies have been opened with.
  std::optional<std::string> tab_;
  std::vector<std::pair<std::string, Position>> opened_;
};

// Cuts `text`, which begins with a directive, where further directives begin.
std::vector<absl::string_view> SplitDirectives(absl::string_view text);

// Where the first directive begins in an import list's entry; npos if it has none.
size_t FindDirective(absl::string_view text, size_t from);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_SCRIPT_PARSER_H_
