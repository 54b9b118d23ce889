#include "common/lang/definitions.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/lang/suggestion.h"

namespace bue::lang {

Definitions::Definitions(const SyntaxTree& tree, Report* report)
    : tree_(tree),
      report_(*report),
      called_(tree.pipes.size()),
      step_reported_(tree.pipe_steps.size()) {
  FindLevelsWithDefinitions();
  FillSteps();
  FillPipes();
}

void Definitions::FindLevelsWithDefinitions() {
  for (uint32_t level = 0; level < tree_.levels.size(); ++level) {
    const bool own = level == 0 || tree_.levels[level].has_definitions;
    level_with_definitions_.push_back(own ? level
                                          : level_with_definitions_[tree_.levels[level].parent]);
  }
}

void Definitions::FillSteps() {
  for (uint32_t i = 0; i < tree_.steps.size(); ++i) {
    const StepDefinition& step = tree_.steps[i];
    const auto [first, inserted] = steps_.emplace(Key(step.level, step.name), i);
    if (inserted || step.broken) continue;
    report_.Warning(
        step.at, absl::StrCat("the step '", tree_.names.Text(step.name), "' is defined again"),
        absl::StrCat("the first one counts, line ", tree_.steps[first->second].at.line));
  }
}

void Definitions::FillPipes() {
  for (uint32_t i = 0; i < tree_.pipes.size(); ++i) {
    const PipeDefinition& pipe = tree_.pipes[i];
    const auto [first, inserted] = pipes_.emplace(Key(pipe.level, pipe.name), i);
    if (inserted || pipe.broken || tree_.pipes[first->second].broken) continue;
    report_.Warning(
        pipe.at, absl::StrCat("the pipe '", tree_.names.Text(pipe.name), "' is defined again"),
        absl::StrCat("the first one counts, line ", tree_.pipes[first->second].at.line));
  }
}

uint32_t Definitions::Find(const Table& table, uint32_t level, NameId name) const {
  while (true) {
    level = level_with_definitions_[level];
    const auto found = table.find(Key(level, name));
    if (found != table.end()) return found->second;
    if (level == 0) return kNone;
    level = tree_.levels[level].parent;
  }
}

bool Definitions::IsHidden(uint32_t index) const {
  const StepDefinition& step = tree_.steps[index];
  return steps_.at(Key(step.level, step.name)) != index;
}

uint32_t Definitions::Resolve(uint32_t level, uint32_t index) {
  level = level_with_definitions_[level];
  const auto [entry, inserted] =
      resolved_index_.emplace(Key(level, index), static_cast<uint32_t>(resolved_.size()));
  if (!inserted) return entry->second;
  called_[index] = true;
  const PipeDefinition& pipe = tree_.pipes[index];
  PipeAtLevel resolved{.broken = pipe.broken};
  for (uint32_t i = pipe.steps_begin; i < pipe.steps_end; ++i) {
    const uint32_t step = FindStep(level, tree_.pipe_steps[i].name);
    if (step != kNone) resolved.steps.push_back(step);
    resolved.broken = resolved.broken || step == kNone || tree_.steps[step].broken;
    if (step != kNone || step_reported_[i]) continue;
    step_reported_[i] = true;
    ReportUnknownStep(pipe, tree_.pipe_steps[i], level, /*called=*/true);
  }
  resolved_.push_back(std::move(resolved));
  return static_cast<uint32_t>(resolved_.size() - 1);
}

void Definitions::CheckUncalledPipes() {
  for (uint32_t index = 0; index < tree_.pipes.size(); ++index) {
    const PipeDefinition& pipe = tree_.pipes[index];
    if (called_[index] || pipe.broken) continue;
    for (uint32_t i = pipe.steps_begin; i < pipe.steps_end; ++i) {
      const PipeStep& step = tree_.pipe_steps[i];
      if (FindStep(pipe.level, step.name) != kNone) continue;
      ReportUnknownStep(pipe, step, pipe.level, /*called=*/false);
    }
  }
}

void Definitions::ReportUnknownStep(const PipeDefinition& pipe, const PipeStep& step,
                                    uint32_t level, bool called) {
  if (report_.full()) return report_.Error(step.at, "");
  const absl::string_view name = tree_.names.Text(step.name);
  std::string message =
      absl::StrCat("no step named '", name, "', in the pipe '", tree_.names.Text(pipe.name), "'");
  std::string hint = DidYouMean(name, StepNames(level));
  if (FindPipe(level, step.name) != kNone) {
    hint = absl::StrCat("'", name, "' is a pipe; a pipe is made of steps");
  } else if (hint.empty() && pipe.bare) {
    hint = "right of `=` stands a pipe, `step | step`, or a call, `pipe(…)`";
  }
  if (called || pipe.bare) return report_.Error(step.at, std::move(message), std::move(hint));
  report_.Warning(step.at, std::move(message), std::move(hint));
}

std::vector<absl::string_view> Definitions::StepNames(uint32_t level) const {
  std::vector<absl::string_view> names;
  for (const StepDefinition& step : tree_.steps) {
    if (Encloses(step.level, level)) names.push_back(tree_.names.Text(step.name));
  }
  return names;
}

std::vector<absl::string_view> Definitions::PipeNames(uint32_t level) const {
  std::vector<absl::string_view> names;
  for (const PipeDefinition& pipe : tree_.pipes) {
    if (Encloses(pipe.level, level)) names.push_back(tree_.names.Text(pipe.name));
  }
  return names;
}

bool Definitions::Encloses(uint32_t outer, uint32_t inner) const {
  while (inner > outer) inner = tree_.levels[inner].parent;
  return inner == outer;
}

}  // namespace bue::lang
