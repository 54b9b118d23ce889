#include "common/lang/program_builder.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/program/limits_by.h"

namespace bue::lang {
namespace {

class ProgramBuilder {
 public:
  ProgramBuilder(const SyntaxTree& tree, const Definitions& definitions,
                 const Resolution& resolution, absl::Span<const uint32_t> source_files,
                 Program* program)
      : tree_(tree),
        definitions_(definitions),
        resolution_(resolution),
        source_files_(source_files),
        program_(*program),
        steps_(tree.steps.size(), kNone),
        last_nodes_(tree.calls.size(), kNoNode) {}

  void Build(absl::Span<const Begin> order) {
    AddSteps();
    AddRegions();
    program_.nodes.reserve(resolution_.node_count + tree_.loops.size());
    for (const Begin& begin : order) {
      if (begin.is_loop) {
        SetSource(begin.index);
      } else {
        AddCall(begin.index);
      }
    }
    AddBindings();
  }

 private:
  void AddSteps() {
    for (uint32_t i = 0; i < tree_.steps.size(); ++i) {
      if (definitions_.IsHidden(i)) continue;
      steps_[i] = static_cast<uint32_t>(program_.steps.size());
      program_.steps.push_back(MakeStep(tree_.steps[i]));
    }
  }

  Step MakeStep(const StepDefinition& definition) const {
    const StepSource& source = tree_.sources[definition.source];
    Step step{.name = std::string(tree_.names.Text(definition.name)),
              .language = definition.language,
              .relation = std::string(tree_.names.Text(definition.relation)),
              .line = definition.at.line};
    if (source.is_inline) {
      step.code = source.text;
    } else {
      step.file = source_files_[definition.source];
    }
    ApplyLevel(definition.level, definition.at.line, &step);
    definition.own.ApplyTo(&step);
    return step;
  }

  // What `level` and those around it say to a definition in `line`.
  void ApplyLevel(uint32_t level, uint32_t line, Step* step) const {
    const Level& here = tree_.levels[level];
    if (here.parent != kNone) ApplyLevel(here.parent, line, step);
    here.defaults.ApplyTo(step);
    const auto below =
        std::lower_bound(here.old_scopes.begin(), here.old_scopes.end(), line,
                         [](const OldScope& scope, uint32_t l) { return scope.line < l; });
    if (below != here.old_scopes.begin()) step->scope = std::prev(below)->scope;
  }

  void AddRegions() {
    program_.regions.emplace_back();
    for (uint32_t i = 0; i < tree_.loops.size(); ++i) {
      const Loop& loop = tree_.loops[i];
      program_.regions.push_back(Region{.parent = RegionOf(loop.parent_level),
                                        .range = resolution_.loops[i].range,
                                        .by = loop.by,
                                        .variable = std::string(tree_.names.Text(loop.variable)),
                                        .line = loop.at.line});
    }
  }

  // A level is its loop's region; loops come in the order of their levels.
  uint32_t RegionOf(uint32_t level) const { return level == 0 ? 0 : tree_.levels[level].loop + 1; }

  Input InputOf(ValueRef value) const {
    if (value.kind == ValueRef::Kind::kLoopVariable) {
      return {Input::Kind::kElement, value.index + 1};
    }
    CHECK(value.kind == ValueRef::Kind::kCall);
    CHECK(last_nodes_[value.index] != kNoNode);
    return {Input::Kind::kNode, last_nodes_[value.index]};
  }

  uint32_t AddNode(Node node) {
    program_.nodes.push_back(std::move(node));
    return static_cast<uint32_t>(program_.nodes.size() - 1);
  }

  void AddCall(uint32_t index) {
    const Call& call = tree_.calls[index];
    if (resolution_.call_pipes[index] == kNone) return;  // The `range` of a loop.
    for (const uint32_t step : definitions_.at(resolution_.call_pipes[index]).steps) {
      Node node{.step = steps_[step], .region = RegionOf(call.level), .line = call.line};
      if (last_nodes_[index] != kNoNode) {
        node.inputs = {{Input::Kind::kNode, last_nodes_[index]}};
      } else {
        node.inputs.reserve(call.arguments_end - call.arguments_begin);
        for (uint32_t i = call.arguments_begin; i < call.arguments_end; ++i) {
          node.inputs.push_back(InputOf(resolution_.arguments[i]));
        }
      }
      SetBy(ValuesOf(call, program_.steps[node.step]), &program_, &node);
      last_nodes_[index] = AddNode(std::move(node));
    }
  }

  // What the step's limits go by: values that the call passes, then variables of loops around it,
  // the innermost first. One less than there are names if one of these is neither.
  std::vector<Input> ValuesOf(const Call& call, const Step& step) const {
    std::vector<Input> by;
    for (const std::string& name : NamesOfBy(step)) {
      if (const std::optional<Input> input = FindBy(call, name)) by.push_back(*input);
    }
    return by;
  }

  std::optional<Input> FindBy(const Call& call, absl::string_view name) const {
    for (uint32_t i = call.arguments_begin; i < call.arguments_end; ++i) {
      if (tree_.names.Text(tree_.arguments[i].name) == name) {
        return InputOf(resolution_.arguments[i]);
      }
    }
    for (uint32_t region = RegionOf(call.level); region != 0;
         region = program_.regions[region].parent) {
      if (program_.regions[region].variable == name) return Input{Input::Kind::kElement, region};
    }
    return std::nullopt;
  }

  // A loop over an element, or over another loop's list, gets a node of its own that has the list.
  void SetSource(uint32_t index) {
    const Loop& loop = tree_.loops[index];
    const LoopSource& source = resolution_.loops[index];
    if (source.is_range) return;
    Region& region = program_.regions[index + 1];
    const Input input = InputOf(source.value);
    if (source.value.kind == ValueRef::Kind::kCall &&
        definitions_.Encloses(tree_.calls[source.value.index].level, loop.parent_level)) {
      region.source_node = input.index;
      return;
    }
    region.source_node = AddNode(Node{.step = ListStep(loop),
                                      .region = RegionOf(loop.parent_level),
                                      .inputs = {input},
                                      .line = loop.at.line});
  }

  // The step that hands a loop its list. It has the level's scope and priority and nothing else.
  uint32_t ListStep(const Loop& loop) {
    Step around{.language = Language::kList};
    ApplyLevel(loop.parent_level, loop.at.line, &around);
    program_.steps.push_back(Step{.name = absl::StrCat("items of ", tree_.names.Text(loop.value)),
                                  .language = Language::kList,
                                  .scope = around.scope,
                                  .priority = around.priority,
                                  .line = loop.at.line});
    return static_cast<uint32_t>(program_.steps.size() - 1);
  }

  void AddBindings() {
    absl::flat_hash_map<uint64_t, size_t> known;
    for (uint32_t i = 0; i < tree_.calls.size(); ++i) {
      const Call& call = tree_.calls[i];
      if (call.value == kNoName || last_nodes_[i] == kNoNode) continue;
      const auto [entry, inserted] =
          known.emplace(uint64_t{call.level} << 32 | call.value, program_.bindings.size());
      if (inserted) {
        program_.bindings.push_back(
            {std::string(tree_.names.Text(call.value)), RegionOf(call.level), last_nodes_[i]});
      } else {
        program_.bindings[entry->second].node = last_nodes_[i];
      }
    }
  }

  const SyntaxTree& tree_;
  const Definitions& definitions_;
  const Resolution& resolution_;
  absl::Span<const uint32_t> source_files_;
  Program& program_;
  std::vector<uint32_t> steps_;       // Of the program, per definition.
  std::vector<uint32_t> last_nodes_;  // Per call; kNoNode as long as it has none.
};

}  // namespace

void BuildProgram(const SyntaxTree& tree, const Definitions& definitions,
                  const Resolution& resolution, absl::Span<const Begin> order,
                  absl::Span<const uint32_t> source_files, Program* program) {
  ProgramBuilder(tree, definitions, resolution, source_files, program).Build(order);
}

}  // namespace bue::lang
