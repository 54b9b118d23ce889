#include "common/lang/resolver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/lang/expression.h"
#include "common/lang/suggestion.h"

namespace bue::lang {
namespace {

using Kind = ValueRef::Kind;

// Where a name of a value is used.
struct Use {
  NameId name = kNoName;
  Position at;
  uint32_t level = 0;
  uint32_t call = kNone;  // Whose argument it is.
  bool quoted = false;
  bool is_loop_source = false;
};

bool LooksLikeNumber(absl::string_view text) {
  const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  return text.size() > sign && (absl::ascii_isdigit(text[sign]) || text[sign] == '.');
}

class Resolver {
 public:
  Resolver(const SyntaxTree& tree, const CompileLimits& limits, Definitions* definitions,
           Report* report)
      : tree_(tree),
        limits_(limits),
        definitions_(*definitions),
        report_(*report),
        values_(tree.names.count()) {
    resolution_.call_pipes.resize(tree.calls.size(), kNone);
    resolution_.arguments.resize(tree.arguments.size());
    resolution_.loops.resize(tree.loops.size());
  }

  Resolution Resolve();

 private:
  // A use that nothing above answers.
  struct OpenUse {
    Use use;
    ValueRef* answer;
  };

  void ResolveCall(uint32_t index);
  void BindValue(uint32_t index);
  void ResolveArguments(uint32_t index);
  void ResolvePipe(uint32_t index);
  void EnterLoop(uint32_t index);
  void ResolveLoopSource(uint32_t index);
  bool ResolveRange(uint32_t index);
  void ResolveValue(const Use& use, ValueRef* answer);
  void WarnIfFanInIsMeant(const Use& use, ValueRef above);

  void IndexBindings();
  void ResolveBelow(const OpenUse& open);

  void ReportUnknownPipe(const Call& call);
  void ReportUnknownValue(const Use& use);
  bool ReportWhatItIsInstead(const Use& use);
  std::vector<absl::string_view> ValueNamesSeenFrom(uint32_t level) const;
  bool IsEmptyCall(uint32_t index) const;
  absl::string_view Text(NameId name) const { return tree_.names.Text(name); }
  Position At(const Call& call) const { return {call.line, call.byte}; }

  const SyntaxTree& tree_;
  const CompileLimits& limits_;
  Definitions& definitions_;
  Report& report_;

  Resolution resolution_;
  ValueNames values_;
  std::vector<OpenUse> open_;
  // The first two calls that bind a name in a level. Filled once open_ is complete.
  absl::flat_hash_map<uint64_t, std::pair<uint32_t, uint32_t>> bindings_;
  absl::flat_hash_set<uint64_t> warned_fan_ins_;
};

Resolution Resolver::Resolve() {
  for (const Event& event : tree_.events) {
    switch (event.kind) {
      case Event::Kind::kCall:
        ResolveCall(event.index);
        BindValue(event.index);
        break;
      case Event::Kind::kEnterLoop:
        EnterLoop(event.index);
        break;
      case Event::Kind::kLeaveLoop:
        values_.LeaveLoop();
        break;
    }
  }
  if (!open_.empty()) IndexBindings();
  for (const OpenUse& open : open_) ResolveBelow(open);
  definitions_.CheckUncalledPipes();
  if (resolution_.node_count > limits_.nodes) {
    report_.Error({},
                  absl::StrCat("the calls make ", resolution_.node_count, " tasks: at most ",
                               limits_.nodes, " are allowed in one script"),
                  "loop over a list instead; a loop may have any number of items");
  }
  return std::move(resolution_);
}

void Resolver::ResolveCall(uint32_t index) {
  if (tree_.calls[index].broken) return;
  ResolvePipe(index);
  ResolveArguments(index);
}

void Resolver::ResolvePipe(uint32_t index) {
  if (resolution_.node_count > limits_.nodes) return;  // Which will be reported.
  const Call& call = tree_.calls[index];
  const uint32_t pipe = definitions_.FindPipe(call.level, call.pipe);
  if (pipe == kNone) return ReportUnknownPipe(call);
  const uint32_t resolved = definitions_.Resolve(call.level, pipe);
  if (definitions_.at(resolved).broken) return;
  resolution_.call_pipes[index] = resolved;
  resolution_.node_count += definitions_.at(resolved).steps.size();
}

void Resolver::ResolveArguments(uint32_t index) {
  const Call& call = tree_.calls[index];
  for (uint32_t i = call.arguments_begin; i < call.arguments_end; ++i) {
    const Argument& argument = tree_.arguments[i];
    ResolveValue(Use{.name = argument.name,
                     .at = {call.line, argument.byte},
                     .level = call.level,
                     .call = index,
                     .quoted = argument.quoted},
                 &resolution_.arguments[i]);
  }
}

bool Resolver::IsEmptyCall(uint32_t index) const {
  const uint32_t pipe = resolution_.call_pipes[index];
  return pipe != kNone && definitions_.at(pipe).steps.empty();
}

// A call of an empty pipe binds nothing: what the name meant before it still does.
void Resolver::BindValue(uint32_t index) {
  const NameId value = tree_.calls[index].value;
  if (value == kNoName || IsEmptyCall(index)) return;
  const Kind kind = resolution_.call_pipes[index] == kNone ? Kind::kBroken : Kind::kCall;
  values_.Bind(value, {kind, index});
}

void Resolver::EnterLoop(uint32_t index) {
  ResolveLoopSource(index);
  values_.EnterLoop(tree_.loops[index].variable, index);
}

void Resolver::ResolveLoopSource(uint32_t index) {
  const Loop& loop = tree_.loops[index];
  LoopSource& source = resolution_.loops[index];
  switch (loop.source) {
    case Loop::Source::kBroken:
      source.value.kind = Kind::kBroken;
      return;
    case Loop::Source::kValue:
      return ResolveValue(Use{.name = loop.value,
                              .at = loop.value_at,
                              .level = loop.parent_level,
                              .quoted = loop.value_quoted,
                              .is_loop_source = true},
                          &source.value);
    case Loop::Source::kCall:
      break;
  }
  if (ResolveRange(index)) return;
  ResolveCall(loop.call);
  source.value = {resolution_.call_pipes[loop.call] == kNone ? Kind::kBroken : Kind::kCall,
                  loop.call};
  if (!IsEmptyCall(loop.call)) return;
  source.is_range = true;  // Of nothing.
  report_.Warning(At(tree_.calls[loop.call]),
                  absl::StrCat("the loop goes over '", Text(tree_.calls[loop.call].pipe),
                               "', a pipe without steps"),
                  "its body never runs");
}

// `range(8)`, unless there is a pipe of this name. True if it is one, right or wrong.
bool Resolver::ResolveRange(uint32_t index) {
  const Loop& loop = tree_.loops[index];
  const Call& call = tree_.calls[loop.call];
  if (Text(call.pipe) != "range" || definitions_.FindPipe(call.level, call.pipe) != kNone) {
    return false;
  }
  LoopSource& source = resolution_.loops[index];
  source.is_range = true;
  const uint32_t count = call.arguments_end - call.arguments_begin;
  const absl::string_view text = count == 0 ? "" : Text(tree_.arguments[call.arguments_begin].name);
  const std::optional<uint64_t> elements = ParseWholeNumber(text);
  if (count == 1 && elements && *elements <= limits_.range_elements) {
    source.range = *elements;
    return true;
  }
  source.value.kind = Kind::kBroken;
  std::string message = "`range` takes one whole number";
  if (count == 1) absl::StrAppend(&message, ", not '", text, "'");
  report_.Error(
      count == 0 ? At(call) : Position{call.line, tree_.arguments[call.arguments_begin].byte},
      std::move(message),
      absl::StrCat("from 0 to ", limits_.range_elements,
                   ", as in `for i in range(8):`; to loop over a value that a step "
                   "returns, write `for x in value:`"));
  return true;
}

void Resolver::ResolveValue(const Use& use, ValueRef* answer) {
  const ValueRef above = values_.FindAbove(use.name);
  const ValueRef fan_in = values_.FindFanIn(use.name);
  if (above.kind != Kind::kUnbound) {
    *answer = above;
    if (fan_in.kind == Kind::kCall) WarnIfFanInIsMeant(use, above);
  } else if (fan_in.kind != Kind::kUnbound) {
    *answer = fan_in;
  } else {
    open_.push_back({use, answer});
  }
}

// A name that was bound in front of a loop and again in its body keeps its meaning behind the loop.
void Resolver::WarnIfFanInIsMeant(const Use& use, ValueRef above) {
  const Call& inside = tree_.calls[values_.FindFanIn(use.name).index];
  const bool is_variable = above.kind == Kind::kLoopVariable;
  const uint32_t line =
      is_variable ? tree_.loops[above.index].at.line : tree_.calls[above.index].line;
  if (inside.line < line) return;
  if (!warned_fan_ins_.insert(uint64_t{use.at.line} << 32 | use.name).second) return;
  report_.Warning(
      use.at,
      absl::StrCat("'", Text(use.name), "' means what line ", line,
                   " binds, not the list of the loop that binds it in line ", inside.line),
      "give the loop's value a name of its own to use its list");
}

void Resolver::IndexBindings() {
  for (uint32_t i = 0; i < tree_.calls.size(); ++i) {
    const Call& call = tree_.calls[i];
    if (call.value == kNoName || IsEmptyCall(i)) continue;
    const auto [entry, inserted] =
        bindings_.try_emplace(uint64_t{call.level} << 32 | call.value, i, kNone);
    if (!inserted && entry->second.second == kNone) entry->second.second = i;
  }
}

// Nothing above binds the name, so whatever its level or one around it binds lies below.
void Resolver::ResolveBelow(const OpenUse& open) {
  for (uint32_t level = open.use.level;; level = tree_.levels[level].parent) {
    const auto found = bindings_.find(uint64_t{level} << 32 | open.use.name);
    if (found != bindings_.end()) {
      const auto [first, second] = found->second;
      const uint32_t call = first == open.use.call ? second : first;
      if (call != kNone) {
        const bool broken = resolution_.call_pipes[call] == kNone;
        *open.answer = {broken ? Kind::kBroken : Kind::kCall, call};
        resolution_.in_text_order = false;
        return;
      }
    }
    if (level == 0) break;
  }
  open.answer->kind = Kind::kBroken;
  if (tree_.complete) ReportUnknownValue(open.use);
}

void Resolver::ReportUnknownPipe(const Call& call) {
  if (!tree_.complete) return;
  if (report_.full()) return report_.Error(At(call), "");
  const absl::string_view name = Text(call.pipe);
  if (definitions_.FindStep(call.level, call.pipe) != kNone) {
    return report_.Error(At(call), absl::StrCat("'", name, "' is a step; only pipes are called"),
                         absl::StrCat("put it in a pipe, `a_pipe = | ", name, "`, and call that"));
  }
  std::string hint = DidYouMean(name, definitions_.PipeNames(call.level));
  if (hint.empty() && values_.FindAbove(call.pipe).kind != Kind::kUnbound) {
    hint = absl::StrCat("'", name, "' is a value; only pipes are called");
  }
  report_.Error(At(call), absl::StrCat("no pipe named '", name, "'"), std::move(hint));
}

void Resolver::ReportUnknownValue(const Use& use) {
  if (report_.full()) return report_.Error(use.at, "");
  if (ReportWhatItIsInstead(use)) return;
  const absl::string_view name = Text(use.name);
  if (use.quoted || LooksLikeNumber(name)) {
    const absl::string_view quote = use.quoted ? "\"" : "";
    return report_.Error(use.at, absl::StrCat("literals cannot be arguments: ", quote, name, quote),
                         "arguments are values of calls and loop variables; let a step return it");
  }
  report_.Error(use.at, absl::StrCat("no value named '", name, "'"),
                DidYouMean(name, ValueNamesSeenFrom(use.level),
                           "values are bound by calls, `value = pipe()`, and by loops"));
}

// Names that exist, but are no values here.
bool Resolver::ReportWhatItIsInstead(const Use& use) {
  const absl::string_view name = Text(use.name);
  const auto error = [&](std::string message, std::string hint) {
    report_.Error(use.at, std::move(message), std::move(hint));
    return true;
  };
  for (const Loop& loop : tree_.loops) {
    if (loop.variable != use.name) continue;
    return error(absl::StrCat("'", name, "' is the variable of the loop in line ", loop.at.line,
                              ", and is known only in there"),
                 "a value bound by a call in the loop can be used after it: it is the list of all "
                 "items' values");
  }
  for (uint32_t i = 0; i < tree_.calls.size(); ++i) {
    const Call& call = tree_.calls[i];
    if (call.value != use.name) continue;
    if (i == use.call) {
      return error(absl::StrCat("'", name, "' is bound by the very call that needs it"), "");
    }
    if (IsEmptyCall(i)) {
      return error(absl::StrCat("'", name, "' has no value: the pipe '", Text(call.pipe),
                                "' called in line ", call.line, " has no steps"),
                   "");
    }
    return error(
        absl::StrCat("'", name, "' is bound inside the loop in line ",
                     tree_.loops[tree_.levels[call.level].loop].at.line, ", which is below"),
        "its list is known below the loop");
  }
  if (definitions_.FindPipe(use.level, use.name) != kNone) {
    return error(absl::StrCat("'", name, "' is a pipe, not a value"),
                 use.is_loop_source ? absl::StrCat("call it: `for x in ", name, "():`")
                                    : absl::StrCat("call it first: `v = ", name, "()`"));
  }
  if (definitions_.FindStep(use.level, use.name) != kNone) {
    return error(absl::StrCat("'", name, "' is a step, not a value"),
                 absl::StrCat("put it in a pipe and call that: `p = | ", name, "`, `v = p()`"));
  }
  return false;
}

std::vector<absl::string_view> Resolver::ValueNamesSeenFrom(uint32_t level) const {
  std::vector<absl::string_view> names;
  for (const Call& call : tree_.calls) {
    if (names.size() == kCandidatesMax) break;
    if (call.value == kNoName || !definitions_.Encloses(call.level, level)) continue;
    names.push_back(Text(call.value));
  }
  for (const Loop& loop : tree_.loops) {
    if (loop.variable != kNoName && definitions_.Encloses(loop.level, level)) {
      names.push_back(Text(loop.variable));
    }
  }
  return names;
}

}  // namespace

Resolution ResolveNames(const SyntaxTree& tree, const CompileLimits& limits,
                        Definitions* definitions, Report* report) {
  return Resolver(tree, limits, definitions, report).Resolve();
}

}  // namespace bue::lang
