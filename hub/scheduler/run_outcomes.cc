// A task's outcomes, and what follows from them within its item.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

// --------------------------------------------------------------------------- a task's outcomes

void Run::Succeed(Item* item, uint32_t v, uint64_t address, uint64_t elements) {
  Vertex& vertex = item->vertices[v];
  vertex.value = address;
  vertex.elements = elements;
  vertex.losses = 0;
  if (!yielded_.empty()) yielded_.erase(KeyOf(*item, v));
  EndVertex(item, v, VertexState::kSucceeded);
}

void Run::Fail(Item* item, uint32_t v) {
  UnitState& unit = UnitOf(item, v);
  if (!unit.failed) ++failed_units_;
  unit.failed = true;
  ++errors;
  EndVertex(item, v, VertexState::kFailed);
}

void Run::Delay(Item* item, uint32_t v, uint32_t attempts, uint32_t handbacks, uint64_t micros) {
  Vertex& vertex = item->vertices[v];
  Become(item, v, VertexState::kDelayed);
  vertex.attempts = attempts;
  vertex.handbacks = handbacks;
  vertex.losses = 0;
  vertex.elements = 0;
  vertex.value = micros;
  ForgetYielded(*item, v);
  if (listener_ != nullptr) listener_->OnDelayed(this, item, v);
}

// Drops what is left of the unit.
void Run::Filter(Item* item, uint32_t v) {
  const uint32_t region = item->instance->region;
  const uint32_t unit = graph_.vertex(region, v).unit;
  UnitState& state = UnitOf(item, v);
  state.filtered = true;
  for (const uint32_t w : graph_.unit_vertices(region, unit)) {
    Vertex& vertex = item->vertices[w];
    if (IsTerminal(vertex.state)) continue;
    RevokeLease(item, w);
    if (graph_.vertex(region, w).is_loop) {
      if (vertex.state == VertexState::kOpen) Destroy(FindInstance(vertex.value));
      Settle(item, w);
      vertex.value = 0;
    } else if (vertex.state == VertexState::kOpen) {
      DropValue(&vertex);
    }
    Become(item, w, VertexState::kFiltered);
  }
  state.open = 0;
  EndUnit(item, unit);
}

// The vertices that start over: in a loop's body all; at the top level what the task depends on and
// what depends on any of that. A loop that has ended is an input, not a part.
std::vector<uint32_t> Run::ResetSet(const Item& item, uint32_t v) const {
  const uint32_t region = item.instance->region;
  const uint32_t count = graph_.region(region).count;
  std::vector<bool> in(count, region != 0);
  if (region == 0) {
    std::vector<std::vector<uint32_t>> before(count);
    for (uint32_t w = 0; w < count; ++w) {
      for (const uint32_t d : graph_.dependents(0, w)) before[d].push_back(w);
    }
    std::vector<uint32_t> stack{v};
    in[v] = true;
    std::vector<uint32_t> reached{v};
    while (!stack.empty()) {  // Up.
      const uint32_t w = stack.back();
      stack.pop_back();
      for (const uint32_t a : before[w]) {
        if (in[a] || graph_.vertex(0, a).is_loop) continue;
        in[a] = true;
        stack.push_back(a);
        reached.push_back(a);
      }
    }
    while (!reached.empty()) {  // Down.
      const uint32_t w = reached.back();
      reached.pop_back();
      const auto visit = [&](uint32_t d) {
        if (in[d]) return;
        in[d] = true;
        reached.push_back(d);
        const uint32_t source = SourceToClear(item, d);
        if (source == kNoVertex || in[source]) return;
        in[source] = true;
        reached.push_back(source);
      };
      for (const uint32_t d : graph_.dependents(0, w)) visit(d);
      for (const uint32_t d : graph_.loops_over(0, w)) visit(d);
    }
  }
  std::vector<uint32_t> set;
  for (uint32_t w = 0; w < count; ++w) {
    if (in[w]) set.push_back(w);
  }
  return set;
}

void Run::Reset(Item* item, uint32_t v) {
  const uint32_t region = item->instance->region;
  const std::vector<uint32_t> set = ResetSet(*item, v);
  UnitState& unit = UnitOf(item, v);
  for (const uint32_t w : set) {
    const uint32_t handbacks = item->vertices[w].handbacks;
    ClearVertex(item, w);
    item->vertices[w].handbacks = handbacks + (w == v ? 1 : 0);
  }
  if (unit.failed && !AnyFailed(*item, graph_.vertex(region, v).unit)) {
    unit.failed = false;
    --failed_units_;
  }
  CountMissing(item);
  // What failed outside the set still keeps what depends on it from running.
  SkipBehindFailures(item);
  for (const uint32_t w : set) {
    Vertex& vertex = item->vertices[w];
    if (vertex.state == VertexState::kWaiting && vertex.missing == 0) Activate(item, w);
  }
}

// --------------------------------------------------------------------------------- what follows

void Run::EndVertex(Item* item, uint32_t v, VertexState state) {
  CHECK(!IsTerminal(item->vertices[v].state));
  Become(item, v, state);
  const uint32_t region = item->instance->region;
  const uint32_t unit = graph_.vertex(region, v).unit;
  if (state == VertexState::kSucceeded) {
    Satisfied(item, v);
  } else {
    SkipDependents(item, v);
  }
  UnitState& unit_state = UnitOf(item, v);
  CHECK(unit_state.open > 0);
  if (--unit_state.open == 0) EndUnit(item, unit);
}

void Run::Satisfied(Item* item, uint32_t v) {
  const uint32_t region = item->instance->region;
  for (const uint32_t loop : graph_.loops_over(region, v)) {
    Vertex& vertex = item->vertices[loop];
    if (vertex.state == VertexState::kOpen) {
      TakeSource(item, FindInstance(vertex.value));
    }
  }
  for (const uint32_t d : graph_.dependents(region, v)) {
    Vertex& dependent = item->vertices[d];
    if (dependent.state != VertexState::kWaiting) continue;
    CHECK(dependent.missing > 0);
    if (--dependent.missing == 0) Activate(item, d);
  }
  for (const uint32_t loop : graph_.loops_over(region, v)) {
    if (item->vertices[loop].state == VertexState::kWaiting) TryOpen(item, loop);
  }
}

void Run::Activate(Item* item, uint32_t v) {
  if (graph_.vertex(item->instance->region, v).is_loop) {
    TryOpen(item, v);
    return;
  }
  Become(item, v, VertexState::kReady);
  if (listener_ != nullptr) listener_->OnReady(this, item, v);
}

bool Run::SourceReady(Item* item, uint32_t v) const {
  const uint32_t region = graph_.vertex(item->instance->region, v).index;
  const uint32_t source = graph_.region(region).source_vertex;
  if (source == kNoVertex) return true;  // A range, or the loop waited for the source itself.
  const Vertex& vertex = item->vertices[source];
  return vertex.state == VertexState::kSucceeded ||
         (!IsTerminal(vertex.state) && vertex.elements > 1);
}

void Run::TryOpen(Item* item, uint32_t v) {
  // A replay opens loops where the journal says so.
  if (listener_ == nullptr) return;
  if (item->vertices[v].missing > 0 || !SourceReady(item, v)) return;
  const uint64_t id = next_instance_++;
  listener_->OnFollowing(Change{.kind = Change::Kind::kOpened,
                                .node = graph_.vertex(item->instance->region, v).index,
                                .run = number(),
                                .instance = id,
                                .item = item->index,
                                .a = item->instance->id});
  Open(item, v, id);
}

void Run::Open(Item* item, uint32_t v, uint64_t id) {
  dirty = true;  // Also when an item that begins opens it, without a change of its own.
  const uint32_t region = graph_.vertex(item->instance->region, v).index;
  auto made =
      std::make_unique<Instance>(static_cast<uint32_t>(graph_.region(region).kept_columns.size()));
  Instance* instance = made.get();
  instance->id = id;
  instance->region = region;
  instance->parent = item->instance;
  instance->parent_index = item->index;
  instance->opener = item;
  // What a `!refill` source gave must be on disk before an item of it runs: asked again, it may
  // give others.
  if (!graph_.region(region).refill) instance->reserved = kFirstReservation;
  if (item->instance->region != 0) {
    instance->prefix = absl::StrCat(item->instance->prefix, item->index, ".");
  }
  instances_.emplace(id, std::move(made));
  item->vertices[v].state = VertexState::kOpen;
  item->vertices[v].value = id;
  TakeSource(item, instance);
}

void Run::TakeSource(Item* item, Instance* instance) {
  const Region& region = graph_.program().regions[instance->region];
  if (region.source_node == kNoNode) {
    Grow(instance, region.range, /*done=*/true);
    return;
  }
  const uint32_t source_region = graph_.program().nodes[region.source_node].region;
  if (graph_.region(instance->region).refill) {
    TakeCall(item, graph_.region(instance->region).source_vertex, instance);
    return;
  }
  Item* holder = Around(item, source_region);
  const Vertex& source = holder->vertices[graph_.vertex_of_node(region.source_node)];
  const uint64_t elements = source.elements == 0 ? 0 : source.elements - 1;
  if (elements > instance->elements &&
      (instance->segments.empty() || instance->segments.back().address != source.value)) {
    AddSegment(instance, source.value);
  }
  Grow(instance, std::max(elements, instance->elements), source.state == VertexState::kSucceeded);
}

// Elements of items that are complete stay where they were; a batch does not straddle objects.
void Run::AddSegment(Instance* instance, uint64_t address) {
  const uint64_t by = std::max<uint64_t>(1, graph_.program().regions[instance->region].by);
  instance->segments.push_back(
      Instance::Segment{.first = instance->available * by, .address = address});
}

void Run::Grow(Instance* instance, uint64_t elements, bool done) {
  const uint64_t by = std::max<uint64_t>(1, graph_.program().regions[instance->region].by);
  instance->elements = elements;
  const uint64_t available = done ? (elements + by - 1) / by : elements / by;
  regions_[instance->region].expected += available - instance->available;
  instance->available = available;
  if (done && !instance->source_done) {
    instance->source_done = true;
    Settle(instance->opener, graph_.region(instance->region).vertex_in_parent);
  }
  if (graph_.region(instance->region).count == 0) {
    // An empty body: its items are over before they begin.
    regions_[instance->region].done += available - instance->next;
    instance->done += available - instance->next;
    instance->next = available;
  }
  if (HasMore(*instance)) {
    if (listener_ != nullptr) listener_->OnCursor(this, instance);
  } else {
    CloseIfDone(instance);
  }
}

void Run::Settle(Item* item, uint32_t v) {
  Vertex& vertex = item->vertices[v];
  if (vertex.settled) return;
  vertex.settled = true;
  const uint32_t region = graph_.vertex(item->instance->region, v).index;
  ++regions_[region].settled;
  if (!graph_.region(region).refill || vertex.state != VertexState::kOpen) return;
  Instance* loop = FindInstance(vertex.value);
  // Destroyed; or its source failed, and may go on to what it said.
  if (loop == nullptr || loop->source_failed) return;
  CountDeclared(*loop, -1);
  loop->declared = 0;
}

// A vertex without a value: what waits for it will never run. Iterative, because a chain of calls
// can be a million long. The unit cannot end here: v itself is counted after this.
void Run::SkipDependents(Item* item, uint32_t v) {
  const uint32_t region = item->instance->region;
  std::vector<uint32_t> stack{v};
  const auto skip = [&](uint32_t d) {
    Vertex& vertex = item->vertices[d];
    if (vertex.state != VertexState::kWaiting) return;
    Become(item, d, VertexState::kSkipped);
    --UnitOf(item, d).open;
    stack.push_back(d);
    const RunGraph::Vertex& info = graph_.vertex(region, d);
    if (!info.is_loop) return;
    Settle(item, d);
    const uint32_t source = graph_.region(info.index).source_vertex;
    if (source == kNoVertex) return;
    if (graph_.vertex(region, source).refill) return SkipSource(item, source);
    if (listener_ != nullptr) listener_->OnUnread(this, item, source);
  };
  while (!stack.empty()) {
    const uint32_t w = stack.back();
    stack.pop_back();
    for (const uint32_t d : graph_.dependents(region, w)) skip(d);
    for (const uint32_t loop : graph_.loops_over(region, w)) {
      if (item->vertices[loop].state == VertexState::kOpen) {
        EndSource(item, loop);
      } else {
        skip(loop);
      }
    }
  }
}

// The streaming source of an open loop failed: the items that have begun are the last.
void Run::EndSource(Item* item, uint32_t loop) {
  // A replay has not begun them all; it ends the source where the journal says so.
  if (listener_ == nullptr) return;
  Instance* instance = FindInstance(item->vertices[loop].value);
  if (instance->source_failed) return;
  const Change change{.kind = Change::Kind::kSourceFailed,
                      .run = number(),
                      .instance = instance->id,
                      .a = instance->next};
  listener_->OnFollowing(change);
  CHECK(ApplySourceFailed(change));
}

bool Run::ApplySourceFailed(const Change& change) {
  Instance* instance = FindInstance(change.instance);
  if (instance == nullptr || instance->region == 0 || instance->source_failed ||
      change.a > instance->available) {
    return false;
  }
  const uint32_t loop = graph_.region(instance->region).vertex_in_parent;
  Item* item = instance->opener;
  // What a `!refill` source has given is there, begun or not, and goes on from there if it is
  // retried.
  if (!graph_.region(instance->region).refill) {
    while (instance->next < change.a) BeginNext(instance);
    regions_[instance->region].expected -= instance->available - instance->next;
    instance->available = instance->next;
  }
  instance->source_done = instance->source_failed = true;
  Settle(item, loop);
  CloseIfDone(instance);
  return true;
}

}  // namespace bue::hub
