#include "common/program/limits_by.h"

#include <algorithm>

namespace bue {
namespace {

bool GoesBy(const Step& step) { return !step.max_running.by.empty() || !step.rate.by.empty(); }

}  // namespace

std::vector<std::string> NamesOfBy(const Step& step) {
  std::vector<std::string> names;
  for (const Limit* limit : {&step.max_running, &step.rate}) {
    if (!limit->by.empty()) names.push_back(limit->by);
  }
  return names;
}

std::vector<LimitByMisuse> FindLimitByMisuses(const Program& program) {
  const auto goes_by = [](const Node& node) { return node.by != 0; };
  if (std::none_of(program.steps.begin(), program.steps.end(), GoesBy) &&
      std::none_of(program.nodes.begin(), program.nodes.end(), goes_by)) {
    return {};
  }
  std::vector<LimitByMisuse> misuses;
  for (uint32_t n = 0; n < program.nodes.size(); ++n) {
    const Node& node = program.nodes[n];
    const Step& step = program.steps[node.step];
    const std::vector<Input>& by = ByOf(program, node);
    if (by.empty() && !GoesBy(step)) continue;
    if (by.size() != NamesOfBy(step).size()) {
      misuses.push_back({.node = n,
                         .why = "names one that its call does not pass, and no loop around it "
                                "has as its variable"});
      continue;
    }
    for (const Input& input : by) {
      if (input.kind != Input::Kind::kNode ||
          Encloses(program, program.nodes[input.index].region, node.region)) {
        continue;
      }
      misuses.push_back(
          {.node = n,
           .why = "goes by a list of what the items of a loop made; it takes one value"});
      break;
    }
  }
  return misuses;
}

}  // namespace bue
