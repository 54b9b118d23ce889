// The record of an attempt that failed: which, and what it was called with.
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr size_t kInputsShown = 64;

// A column of one task.
TaskInput Single(const InputColumn& column) {
  const auto only = [](const auto& values) { return values.empty() ? 0 : values.front(); };
  return TaskInput{.kind = column.kind,
                   .address = only(column.address),
                   .first = only(column.first),
                   .count = only(column.count),
                   .instance = only(column.instance),
                   .node = column.node};
}

uint32_t MakerOf(const Program& program, const Input& input) {
  return input.kind == Input::Kind::kNode ? input.index : program.regions[input.index].source_node;
}

}  // namespace

ErrorRecord Scheduler::Impl::RecordOf(Run* run, Item* item, uint32_t v, const TaskError& error,
                                      const std::string& worker) {
  return ErrorRecord{.run = run->number(),
                     .step = run->StepOf(*item, v).name,
                     .item = run->NameOf(*item),
                     .attempt = item->vertices[v].attempts + 1,
                     .pass = run->PassOf(*item, v),
                     .action = error.action,
                     .worker = worker,
                     .type = error.type,
                     .message = error.message,
                     .traceback = error.traceback,
                     .at = now_,
                     .inputs = InputsOf(run, item, v)};
}

// REQUIRES: the lease that has just ended was the task's.
TaskInputs Scheduler::Impl::InputsOf(Run* run, Item* item, uint32_t v) {
  const Program& program = run->graph().program();
  const Node& node = program.nodes[run->NodeOf(*item, v)];
  const bool refill = run->graph().vertex(item->instance->region, v).refill;
  const size_t of_call = refill ? kRefillInputs : 0;
  GrantGroup granted;
  granted.inputs.resize(of_call + node.inputs.size());
  AddInputs(run, item, v, &granted);
  // Other items may have begun since.
  if (refill) granted.inputs[0].first = {attempt_.wanted};
  TaskInputs inputs;
  for (size_t i = 0; i < granted.inputs.size(); ++i) {
    if (inputs.shown.size() == kInputsShown) {
      inputs.others = granted.inputs.size() - i;
      break;
    }
    if (refill && i == 0 && attempt_.wanted == 0) continue;
    TaskInput& input = inputs.shown.emplace_back(Single(granted.inputs[i]));
    if (input.kind == TaskInput::Kind::kRange) continue;
    const uint32_t maker = i < of_call ? kNoNode : MakerOf(program, node.inputs[i - of_call]);
    // A cursor is the step's own.
    input.from = program.steps[maker == kNoNode ? node.step : program.nodes[maker].step].name;
  }
  return inputs;
}

}  // namespace bue::hub
