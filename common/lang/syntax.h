// SyntaxTree is a parsed script: what stands where, with no name looked up yet. The parser makes
// it, the resolver turns it into nodes and regions.
//
// A level is the script's top or a loop's body. Calls and loops of all levels lie in flat tables,
// in the order of the text, and `events` says when a loop's body begins and ends: a script of a
// million calls is a few flat vectors. Plain data. The script's text outlives it.
#ifndef BUE_COMMON_LANG_SYNTAX_H_
#define BUE_COMMON_LANG_SYNTAX_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/lang/directives.h"
#include "common/lang/source_text.h"
#include "common/program/program.h"

namespace bue::lang {

using NameId = uint32_t;
inline constexpr NameId kNoName = UINT32_MAX;
inline constexpr uint32_t kNone = UINT32_MAX;

// Gives every name a small number.
class Names {
 public:
  NameId Intern(absl::string_view name);
  absl::string_view Text(NameId id) const { return texts_[id]; }
  uint32_t count() const { return static_cast<uint32_t>(texts_.size()); }

 private:
  std::deque<std::string> texts_;  // A deque does not move its strings.
  absl::flat_hash_map<absl::string_view, NameId> ids_;
};

// What follows the function's name: a path, or code between backticks.
struct StepSource {
  Position at;
  bool is_inline = false;
  std::string text;  // The path as written, or the code.
};

struct StepDefinition {
  NameId name = kNoName;
  Position at;
  uint32_t level = 0;
  bool broken = false;  // Reported already; only the name counts.
  Language language = Language::kPython;
  NameId relation = kNoName;
  uint32_t source = kNone;  // Into SyntaxTree::sources.
  Directives own;
};

struct PipeStep {
  NameId name = kNoName;
  Position at;
};

struct PipeDefinition {
  NameId name = kNoName;
  Position at;
  uint32_t level = 0;
  bool broken = false;
  bool bare = false;         // `p = a`: without a bar or parentheses.
  uint32_t steps_begin = 0;  // Into SyntaxTree::pipe_steps.
  uint32_t steps_end = 0;
};

struct Argument {
  NameId name = kNoName;
  uint32_t byte = 0;  // In the call's line.
  bool quoted = false;
};

// `value = pipe(arguments)`. A loop's source is one as well, but has no event of its own.
struct Call {
  uint32_t line = 0;
  uint32_t byte = 0;  // Where the pipe's name stands.
  uint32_t level = 0;
  NameId value = kNoName;
  NameId pipe = kNoName;
  uint32_t arguments_begin = 0;  // Into SyntaxTree::arguments.
  uint32_t arguments_end = 0;
  bool broken = false;  // Reported already; only the value's name counts.
};

struct Loop {
  enum class Source : uint8_t { kCall, kValue, kBroken };
  Position at;
  Source source = Source::kBroken;
  NameId variable = kNoName;
  uint32_t parent_level = 0;
  uint32_t level = 0;      // Of its body.
  uint32_t call = kNone;   // kCall; `range(8)` is one as well.
  NameId value = kNoName;  // kValue.
  Position value_at;
  bool value_quoted = false;
  uint64_t by = 0;
};

// `$ name` at file level or in a body: the scope of the definitions below it.
struct OldScope {
  uint32_t line = 0;
  std::string scope;
};

struct Level {
  uint32_t parent = kNone;
  uint32_t loop = kNone;  // Whose body it is; kNone for the top.
  Directives defaults;
  std::vector<OldScope> old_scopes;
  bool has_definitions = false;  // Of steps or pipes.
};

struct Event {
  enum class Kind : uint8_t { kCall, kEnterLoop, kLeaveLoop };
  Kind kind = Kind::kCall;
  uint32_t index = 0;  // Into calls or loops.
};

struct SyntaxTree {
  Names names;
  std::vector<Level> levels;  // [0] is the top.
  std::vector<StepSource> sources;
  std::vector<StepDefinition> steps;  // In the order of the text, also those that a namesake hides.
  std::vector<PipeDefinition> pipes;
  std::vector<PipeStep> pipe_steps;
  std::vector<Call> calls;
  std::vector<Argument> arguments;
  std::vector<Loop> loops;
  std::vector<Event> events;
  bool complete = true;  // False: the parser gave up before the end, names may be missing.
};

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_SYNTAX_H_
