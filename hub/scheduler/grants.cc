// Writing a grant: the lease, and the task with its inputs as columns of a group.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

void Scheduler::Impl::Grant(Line* line, Worker* worker, const TaskRef& task) {
  const RunQueue* queue = line->queue;
  Run* run = queue->run;
  Item* item = task.item;
  const uint32_t v = task.vertex;
  struct Lease* lease = leases_.Take(/*adopted=*/0);
  lease->run = run;
  lease->item = item;
  lease->vertex = v;
  lease->pool = queue->pool;
  NoteGrant(lease);
  run->Lease(item, v, lease->slot);
  lease->line = line;
  ready_.Pass(line, /*starts=*/true);
  WorkerTable::Link(worker, lease);

  Yielded yielded;
  if (run->graph().vertex(item->instance->region, v).is_source) {
    lease->credit = CreditOf(run, item, v);
    yielded = run->YieldedBy(*item, v);
  }
  GrantGroup* group = GroupFor(worker, run, *item, v, queue->pool, lease->credit, yielded);
  group->lease.push_back(lease->id);
  group->item.push_back(item->index);
  group->attempt.push_back(item->vertices[v].attempts + 1);
  group->pass.push_back(run->PassOf(*item, v));
  group->handbacks.push_back(item->vertices[v].handbacks);
  AddInputs(run, item, v, group);
}

// The worker's last group if the task belongs to it, else a new one.
GrantGroup* Scheduler::Impl::GroupFor(Worker* worker, Run* run, const Item& item, uint32_t v,
                                      Pool pool, uint64_t credit, const Yielded& yielded) {
  std::vector<GrantGroup>& groups = effects_->outgoing.grants;
  const uint32_t node = run->NodeOf(item, v);
  const auto open = open_group_.find(worker->id);
  if (open != open_group_.end()) {
    GrantGroup& last = groups[open->second];
    if (last.run == run->number() && last.node == node && last.instance == item.instance->id &&
        last.pool == pool && last.source_credit == credit && last.yielded.elements == 0 &&
        yielded.elements == 0) {
      return &last;
    }
  }
  open_group_[worker->id] = groups.size();
  const Program& program = run->graph().program();
  groups.push_back(GrantGroup{.worker = worker->id,
                              .run = run->number(),
                              .node = node,
                              .step = program.nodes[node].step,
                              .instance = item.instance->id,
                              .pool = pool,
                              .item_prefix = item.instance->prefix});
  GrantGroup* group = &groups.back();
  group->inputs.resize(program.nodes[node].inputs.size());
  group->is_source = run->graph().vertex(item.instance->region, v).is_source;
  group->source_credit = credit;
  group->yielded = yielded;
  if (!run->announced) {
    run->announced = true;
    effects_->outgoing.run_steps.push_back(
        RunSteps{.run = run->number(), .program = run->graph().shared_program()});
  }
  return group;
}

void Scheduler::Impl::AddInputs(Run* run, Item* item, uint32_t v, GrantGroup* group) {
  const RunGraph& graph = run->graph();
  const Program& program = graph.program();
  const Node& node = program.nodes[run->NodeOf(*item, v)];
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Input& input = node.inputs[i];
    InputColumn* column = &group->inputs[i];
    if (input.kind == Input::Kind::kElement) {
      AddElement(run, item, input.index, column);
      continue;
    }
    const uint32_t from = program.nodes[input.index].region;
    const uint32_t common = graph.common_region(from, node.region);
    Item* holder = Run::Around(item, common);
    if (from != common) {
      column->kind = InputColumn::Kind::kFanIn;
      column->node = input.index;
      column->instance.push_back(holder->vertices[graph.loop_towards(common, from)].value);
      continue;
    }
    // A value from further out is the same for all tasks of the instance.
    if (from != node.region && !column->address.empty()) continue;
    const Vertex& producer = holder->vertices[graph.vertex_of_node(input.index)];
    CHECK(producer.state == VertexState::kSucceeded);
    column->address.push_back(producer.value);
  }
}

void Scheduler::Impl::AddElement(Run* run, Item* item, uint32_t region, InputColumn* column) {
  const Item* holder = Run::Around(item, region);
  const Instance& instance = *holder->instance;
  const struct Region& loop = run->graph().program().regions[region];
  const uint64_t first = holder->index * std::max<uint64_t>(1, loop.by);
  column->first.push_back(first);
  if (loop.by != 0) {
    column->count.push_back(static_cast<uint32_t>(std::min(loop.by, instance.elements - first)));
  }
  if (loop.source_node == kNoNode) {
    column->kind = InputColumn::Kind::kRange;
    return;
  }
  column->kind = InputColumn::Kind::kElements;
  const auto after = std::upper_bound(
      instance.segments.begin(), instance.segments.end(), first,
      [](uint64_t element, const Instance::Segment& segment) { return element < segment.first; });
  CHECK(after != instance.segments.begin());
  column->address.push_back(std::prev(after)->address);
}

}  // namespace bue::hub
