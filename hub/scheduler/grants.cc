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
  lease->queued_us = task.ready_us;
  NoteGrant(lease);
  run->Lease(item, v, lease->slot);
  SetLine(lease, line);
  lease->on_its_way = ReadyQueue::HasRate(*line);
  CountIn(lease);
  WorkerTable::Link(worker, lease);

  Yielded yielded;
  if (Streams(run, *item, v)) {
    lease->credit = CreditOf(run, item, v);
    yielded = run->YieldedBy(*item, v);
  }
  GrantGroup* group = GroupFor(*lease, yielded);
  group->lease.push_back(lease->id);
  group->item.push_back(item->index);
  group->attempt.push_back(item->vertices[v].attempts + 1);
  group->pass.push_back(run->PassOf(*item, v));
  group->handbacks.push_back(item->vertices[v].handbacks);
  if (line->of_values()) {
    group->by.insert(group->by.end(), line->hashes.begin(), line->hashes.end());
  }
  AddInputs(run, item, v, group);
  if (run->graph().vertex(item->instance->region, v).refill) {
    lease->wanted = group->inputs[0].first.back();
  }
  MayBeFollowed(*lease);
}

// The worker's last group if the task belongs to it, else a new one.
GrantGroup* Scheduler::Impl::GroupFor(const struct Lease& lease, const Yielded& yielded) {
  std::vector<GrantGroup>& groups = effects_->outgoing.grants;
  Run* run = lease.run;
  const Item& item = *lease.item;
  const uint32_t v = lease.vertex;
  const uint32_t node = run->NodeOf(item, v);
  const bool refill = run->graph().vertex(item.instance->region, v).refill;
  const auto open = open_group_.find(lease.worker->id);
  if (open != open_group_.end() && !refill) {
    GrantGroup& last = groups[open->second];
    if (last.run == run->number() && last.node == node && last.instance == item.instance->id &&
        last.pool == lease.pool && last.source_credit == lease.credit &&
        last.yielded.elements == 0 && yielded.elements == 0 &&
        last.tells_start == lease.on_its_way) {
      return &last;
    }
  }
  open_group_[lease.worker->id] = groups.size();
  const Program& program = run->graph().program();
  groups.push_back(GrantGroup{.worker = lease.worker->id,
                              .run = run->number(),
                              .node = node,
                              .step = program.nodes[node].step,
                              .instance = item.instance->id,
                              .pool = lease.pool,
                              .item_prefix = item.instance->prefix});
  GrantGroup* group = &groups.back();
  group->inputs.resize(program.nodes[node].inputs.size() + (refill ? kRefillInputs : 0));
  group->is_source = Streams(run, item, v);
  group->source_credit = lease.credit;
  group->tells_start = lease.on_its_way;
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
  size_t given = 0;
  if (graph.vertex(item->instance->region, v).refill) {
    AddCall(run->NextCall(*item, v), group);
    given = kRefillInputs;
  }
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Input& input = node.inputs[i];
    InputColumn* column = &group->inputs[given + i];
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

// The count, as the number it is, and the cursor: the last element of what the call before gave.
void Scheduler::Impl::AddCall(const Run::Call& call, GrantGroup* group) {
  InputColumn* count = &group->inputs[0];
  count->kind = InputColumn::Kind::kRange;
  count->first.push_back(call.count);
  InputColumn* cursor = &group->inputs[1];
  cursor->address.push_back(call.address);
  if (call.address == 0) return;  // None.
  cursor->kind = InputColumn::Kind::kElements;
  cursor->first.push_back(call.element);
}

void Scheduler::Impl::AddElement(Run* run, Item* item, uint32_t region, InputColumn* column) {
  const Item* holder = Run::Around(item, region);
  const Instance& instance = *holder->instance;
  const struct Region& loop = run->graph().program().regions[region];
  const uint64_t first = holder->index * std::max<uint64_t>(1, loop.by);
  if (loop.source_node == kNoNode) {
    column->kind = InputColumn::Kind::kRange;
    column->first.push_back(first);
    if (loop.by != 0) {
      column->count.push_back(static_cast<uint32_t>(std::min(loop.by, instance.elements - first)));
    }
    return;
  }
  column->kind = InputColumn::Kind::kElements;
  const Instance::Segment* segment = instance.SegmentOf(first);
  CHECK(segment != nullptr);
  // Of a `!refill` source each call's list begins anew.
  const bool refill = run->graph().region(region).refill;
  const uint64_t begin = refill ? segment->first : 0;
  const uint64_t end = refill ? segment->first + segment->elements : instance.elements;
  column->address.push_back(segment->address);
  column->first.push_back(first - begin);
  if (loop.by != 0) {
    column->count.push_back(static_cast<uint32_t>(std::min(loop.by, end - first)));
  }
}

}  // namespace bue::hub
