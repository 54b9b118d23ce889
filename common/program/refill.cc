#include "common/program/refill.h"

#include <algorithm>

namespace bue {

std::vector<RefillMisuse> FindRefillMisuses(const Program& program) {
  const auto is_refill = [](const Step& step) { return step.refill; };
  if (std::none_of(program.steps.begin(), program.steps.end(), is_refill)) return {};
  std::vector<uint32_t> loops(program.nodes.size());
  std::vector<bool> far(program.nodes.size()), taken(program.nodes.size());
  for (const Node& node : program.nodes) {
    for (const Input& input : node.inputs) {
      if (input.kind == Input::Kind::kNode) taken[input.index] = true;
    }
  }
  for (size_t r = 1; r < program.regions.size(); ++r) {
    const uint32_t source = program.regions[r].source_node;
    if (source == kNoNode) continue;
    ++loops[source];
    if (program.nodes[source].region != program.regions[r].parent) far[source] = true;
  }
  std::vector<RefillMisuse> misuses;
  for (uint32_t n = 0; n < program.nodes.size(); ++n) {
    const Step& step = program.steps[program.nodes[n].step];
    if (!step.refill) continue;
    absl::string_view why;
    if (step.language != Language::kPython) {
      why = "is Python";
    } else if (taken[n]) {
      why = "gives its items to a loop; no other step can take them";
    } else if (loops[n] == 0) {
      why = "gives the items of a loop, and none iterates over this one";
    } else if (loops[n] > 1) {
      why = "gives each item once, so only one loop can iterate over it";
    } else if (far[n]) {
      why = "gives each item once, so the loop over it cannot lie within another loop";
    } else {
      continue;
    }
    misuses.push_back({.node = n, .why = why});
  }
  return misuses;
}

}  // namespace bue
