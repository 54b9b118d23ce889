// What has ended runs again: tasks that failed, when somebody asks for it; tasks and items whose
// values are lost.
//
// What ended around them opens again: the loop is not over any more, so its item is not either, and
// what was made from the whole loop is made anew.
#include <algorithm>
#include <iterator>
#include <utility>

#include "common/check.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

// --------------------------------------------------------------------------------- failed tasks

bool Run::IsFailureOf(const Item& item, uint32_t v, uint32_t step) const {
  if (item.vertices[v].state != VertexState::kFailed) return false;
  return step == kNoStep || StepOf(item, v).name == graph_.program().steps[step].name;
}

uint64_t Run::CountFailed(uint32_t step) const {
  uint64_t count = 0;
  for (const auto& [id, instance] : instances_) {
    for (const Item* item = instance->first_item; item != nullptr; item = item->next) {
      for (uint32_t v = 0; v < item->vertices.size(); ++v) count += IsFailureOf(*item, v, step);
    }
  }
  return count;
}

// All is cleared before anything goes on: clearing a loop's item may drop what was made from that
// loop, with the items in it.
bool Run::ApplyRetry(const Change& change) {
  if (expired_ || !active() || change.a > graph_.program().steps.size()) return false;
  const uint32_t step = change.a == 0 ? kNoStep : static_cast<uint32_t>(change.a - 1);
  const std::vector<ItemToRetry> items = FindItemsToRetry(step);
  for (const ItemToRetry& failed : items) {
    Item* item = FindItem(failed.instance, failed.index);
    if (item == nullptr) continue;
    ReopenItem(item);
    for (const uint32_t unit : failed.units) ClearFailures(item, unit, step);
    CountMissing(item);
  }
  for (const ItemToRetry& failed : items) {
    if (Item* item = FindItem(failed.instance, failed.index)) GoOn(item, failed.units);
  }
  return true;
}

// Inner ones first.
std::vector<Run::ItemToRetry> Run::FindItemsToRetry(uint32_t step) const {
  std::vector<std::vector<ItemToRetry>> by_depth;
  for (const auto& [id, instance] : instances_) {
    const uint32_t depth = graph_.region(instance->region).depth;
    if (by_depth.size() <= depth) by_depth.resize(depth + 1);
    for (const Item* item = instance->first_item; item != nullptr; item = item->next) {
      ItemToRetry found{.instance = id, .index = item->index};
      for (uint32_t v = 0; v < item->vertices.size(); ++v) {
        if (!IsFailureOf(*item, v, step)) continue;
        found.units.push_back(graph_.vertex(instance->region, v).unit);
      }
      if (found.units.empty()) continue;
      std::sort(found.units.begin(), found.units.end());
      found.units.erase(std::unique(found.units.begin(), found.units.end()), found.units.end());
      by_depth[depth].push_back(std::move(found));
    }
  }
  std::vector<ItemToRetry> items;
  for (auto depth = by_depth.rbegin(); depth != by_depth.rend(); ++depth) {
    std::move(depth->begin(), depth->end(), std::back_inserter(items));
  }
  return items;
}

// Failed tasks start over; what was skipped or dropped with them waits again. Other failures of the
// unit stay, and will keep what depends on them from running.
void Run::ClearFailures(Item* item, uint32_t unit, uint32_t step) {
  const uint32_t region = item->instance->region;
  bool fails_still = false;
  uint32_t any = kNoVertex;
  for (const uint32_t v : graph_.unit_vertices(region, unit)) {
    any = v;
    Vertex& vertex = item->vertices[v];
    if (vertex.state == VertexState::kFailed && !IsFailureOf(*item, v, step)) {
      fails_still = true;
    } else if (vertex.state == VertexState::kFailed) {
      ClearVertex(item, v);
      vertex.recomputes = 0;
      for (const uint32_t loop : graph_.loops_over(region, v)) ReopenSource(item, loop);
    } else if (vertex.state == VertexState::kSkipped || vertex.state == VertexState::kFiltered) {
      // A loop that had begun when its source failed goes on with that.
      const bool begun = graph_.vertex(region, v).is_loop && vertex.value != 0 &&
                         FindInstance(vertex.value) != nullptr;
      if (!begun) ClearVertex(item, v);
    }
  }
  UnitState& state = UnitOf(item, any);
  state.filtered = false;
  if (state.failed && !fails_still) {
    state.failed = false;
    --failed_units_;
  }
}

// What was cleared runs, as far as nothing that still failed is in its way.
void Run::GoOn(Item* item, const std::vector<uint32_t>& units) {
  const uint32_t region = item->instance->region;
  CountMissing(item);
  const auto is_open = [&](uint32_t unit) {
    return (region == 0 ? units_[unit] : item->unit).open > 0;
  };
  std::vector<uint32_t> open;
  std::copy_if(units.begin(), units.end(), std::back_inserter(open), is_open);
  SkipBehindFailures(item);
  // A source whose loop cannot open does not run again either: that may have been all.
  for (const uint32_t unit : open) {
    if (is_open(unit)) continue;
    EndUnit(item, unit);
    if (region != 0) return;
  }
  for (uint32_t v = 0; v < item->vertices.size(); ++v) {
    if (!graph_.vertex(region, v).is_loop || item->vertices[v].state != VertexState::kOpen)
      continue;
    Instance* instance = FindInstance(item->vertices[v].value);
    if (!instance->source_done) Grow(instance, instance->elements, /*done=*/false);
  }
  ActivateWaiting(item);
}

// The loop over a source that failed, and runs again, may grow.
void Run::ReopenSource(Item* item, uint32_t loop) {
  Vertex& vertex = item->vertices[loop];
  Instance* instance = vertex.value == 0 ? nullptr : FindInstance(vertex.value);
  if (instance == nullptr || !instance->source_failed) return;
  if (IsTerminal(vertex.state)) {
    OpenUnit(item, loop);
    vertex.state = VertexState::kOpen;
  }
  if (std::exchange(vertex.settled, false)) --regions_[instance->region].settled;
  if (std::exchange(instance->closed, false)) instance->kept.Reopen(instance->next);
  instance->source_done = instance->source_failed = false;
}

// ----------------------------------------------------------------------------------- lost values

bool Run::Untaken(const Item& item, uint32_t v) const {
  const uint32_t region = item.instance->region;
  const auto is_over = [&](uint32_t d) {
    const VertexState state = item.vertices[d].state;
    return state == VertexState::kOpen || (IsTerminal(state) && state != VertexState::kSkipped);
  };
  // A source that is still running may have given elements to its loops already.
  const auto went_on = [&](uint32_t d) {
    const auto loops = graph_.loops_over(region, d);
    return is_over(d) || std::any_of(loops.begin(), loops.end(), is_over);
  };
  const auto dependents = graph_.dependents(region, v);
  const auto loops = graph_.loops_over(region, v);
  return std::none_of(dependents.begin(), dependents.end(), went_on) &&
         std::none_of(loops.begin(), loops.end(), went_on);
}

bool Run::ApplyRecompute(const Change& change) {
  Item* item = FindItem(change.instance, change.item);
  if (item == nullptr || item->ended || change.node >= graph_.program().nodes.size() ||
      graph_.program().nodes[change.node].region != item->instance->region) {
    return false;
  }
  const uint32_t v = graph_.vertex_of_node(change.node);
  if (item->vertices[v].state != VertexState::kSucceeded || !Untaken(*item, v)) return false;
  ClearVertex(item, v);
  for (const uint32_t d : graph_.dependents(item->instance->region, v)) {
    Vertex& vertex = item->vertices[d];
    if (vertex.state != VertexState::kReady && vertex.state != VertexState::kLeased &&
        vertex.state != VertexState::kDelayed) {
      continue;
    }
    const Vertex before = vertex;
    ClearVertex(item, d);
    vertex.attempts = before.attempts;
    vertex.handbacks = before.handbacks;
  }
  CountMissing(item);
  if (item->vertices[v].missing == 0) Activate(item, v);
  return true;
}

// Of an item that has succeeded only its values are left, so all of it runs again.
bool Run::ApplyRestart(const Change& change) {
  Instance* instance = FindInstance(change.instance);
  if (instance == nullptr || instance->region == 0 || change.item >= instance->next) return false;
  Item* item = FindItem(change.instance, change.item);
  if (item != nullptr) {
    if (!item->ended) return false;
    ReopenItem(item);
    if (item->unit.failed) --failed_units_;
    item->unit.failed = item->unit.filtered = false;
    for (uint32_t v = 0; v < item->vertices.size(); ++v) ClearVertex(item, v);
  } else {
    if (!instance->kept.Succeeded(change.item) || !HasElement(*instance, change.item)) return false;
    ReopenInstance(instance);
    DropKept(instance, change.item);
    item = NewItem(instance, change.item);
    ReturnToSegment(instance, change.item);
  }
  CountMissing(item);
  ActivateWaiting(item);
  return true;
}

// Forgets that an item which is not there any more has succeeded.
void Run::DropKept(Instance* instance, uint64_t index) {
  const uint32_t region = instance->region;
  const std::vector<uint32_t>& columns = graph_.region(region).kept_columns;
  std::vector<uint64_t> inner;
  instance->kept.Visit(index, [&](uint64_t, absl::Span<const uint64_t> values) {
    for (size_t i = 0; i < columns.size(); ++i) {
      if (graph_.vertex(region, columns[i]).is_loop) {
        inner.push_back(values[i]);
      } else if (values[i] != 0 && listener_ != nullptr) {
        listener_->OnDelete(values[i]);
      }
    }
    return false;
  });
  for (const uint64_t id : inner) {
    if (Instance* opened = FindInstance(id)) Destroy(opened);
  }
  for (uint32_t v = 0; v < graph_.region(region).count; ++v) {
    const RunGraph::Vertex& info = graph_.vertex(region, v);
    if (info.is_loop) {
      --regions_[info.index].settled;
    } else {
      --steps_[graph_.program().nodes[info.index].step].done;
    }
  }
  instance->kept.Unset(index);
  --instance->done;
  --regions_[region].done;
}

// --------------------------------------------------------------------------- what opens again

// A vertex of the unit, which was terminal, is about to be under way again.
void Run::OpenUnit(Item* item, uint32_t v) {
  UnitState& unit = UnitOf(item, v);
  if (unit.open == 0 && item->instance->region == 0) ++open_units_;
  ++unit.open;
}

// An ended item, and what is around it, is under way again. Its vertices are the caller's.
void Run::ReopenItem(Item* item) {
  if (!item->ended) return;
  Instance* instance = item->instance;
  RegionCounts& counts = regions_[instance->region];
  const bool failed = item->unit.failed;
  const bool filtered = item->unit.filtered && !failed;
  --(failed ? instance->failed : filtered ? instance->filtered : instance->done);
  --(failed ? counts.failed : filtered ? counts.filtered : counts.done);
  item->ended = false;
  ++instance->live;
  ++counts.live;
  ReopenInstance(instance);
  instance->kept.Unset(item->index);
}

void Run::ReopenInstance(Instance* instance) {
  if (!instance->closed) return;
  instance->closed = false;
  instance->kept.Reopen(instance->next);
  Item* opener = instance->opener;
  ReopenItem(opener);
  const uint32_t v = graph_.region(instance->region).vertex_in_parent;
  OpenUnit(opener, v);
  opener->vertices[v].state = VertexState::kOpen;
  StartOver(opener, v);
}

// What was made from the value of `v`, directly or not, is made again.
void Run::StartOver(Item* item, uint32_t v) {
  const uint32_t region = item->instance->region;
  std::vector<uint32_t> stack{v};
  std::vector<uint32_t> sources;
  const auto clear_one = [&](uint32_t d) {
    UnitState& unit = UnitOf(item, d);
    const bool failed = item->vertices[d].state == VertexState::kFailed;
    ClearVertex(item, d);
    stack.push_back(d);
    if (!failed || !unit.failed || AnyFailed(*item, graph_.vertex(region, d).unit)) return;
    unit.failed = false;
    --failed_units_;
  };
  const auto clear = [&](uint32_t d) {
    if (item->vertices[d].state == VertexState::kWaiting) return;
    clear_one(d);
    const uint32_t source = SourceToClear(*item, d);
    if (source == kNoVertex) return;
    clear_one(source);
    sources.push_back(source);
  };
  while (!stack.empty()) {
    const uint32_t w = stack.back();
    stack.pop_back();
    for (const uint32_t d : graph_.dependents(region, w)) clear(d);
    for (const uint32_t loop : graph_.loops_over(region, w)) clear(loop);
  }
  CountMissing(item);
  SkipBehindFailures(item);
  for (const uint32_t source : sources) {
    const Vertex& vertex = item->vertices[source];
    if (vertex.state == VertexState::kWaiting && vertex.missing == 0) Activate(item, source);
  }
}

// A loop that starts over has nothing left of what its `!refill` source gave: that source, which
// has not failed, starts over with it.
uint32_t Run::SourceToClear(const Item& item, uint32_t v) const {
  const RunGraph::Vertex& info = graph_.vertex(item.instance->region, v);
  if (!info.is_loop || !graph_.region(info.index).refill) return kNoVertex;
  const uint32_t source = graph_.region(info.index).source_vertex;
  const VertexState state = item.vertices[source].state;
  return state == VertexState::kWaiting || state == VertexState::kFailed ? kNoVertex : source;
}

// What waits for something that will have no value will never run.
void Run::SkipBehindFailures(Item* item) {
  for (uint32_t w = 0; w < item->vertices.size(); ++w) {
    const VertexState state = item->vertices[w].state;
    if (IsTerminal(state) && state != VertexState::kSucceeded) SkipDependents(item, w);
  }
}

bool Run::AnyFailed(const Item& item, uint32_t unit) const {
  for (const uint32_t v : graph_.unit_vertices(item.instance->region, unit)) {
    if (item.vertices[v].state == VertexState::kFailed) return true;
  }
  return false;
}

// Back to waiting, whatever it was; what it made is dropped. CountMissing must follow.
void Run::ClearVertex(Item* item, uint32_t v) {
  Vertex& vertex = item->vertices[v];
  const RunGraph::Vertex& info = graph_.vertex(item->instance->region, v);
  RevokeLease(item, v);
  CountTask(*item, v, vertex.state, -1);
  if (IsTerminal(vertex.state)) OpenUnit(item, v);
  if (info.is_loop) {
    if (vertex.value != 0) {
      if (Instance* instance = FindInstance(vertex.value)) Destroy(instance);
    }
    if (vertex.settled) --regions_[info.index].settled;
  } else if (vertex.state == VertexState::kSucceeded || vertex.state == VertexState::kOpen) {
    DropValue(&vertex);
  }
  vertex = Vertex{.recomputes = vertex.recomputes, .pass = vertex.pass + 1};
  const uint32_t source = info.is_loop ? graph_.region(info.index).source_vertex : v;
  if (source != kNoVertex && item->vertices[source].elements == 0) ForgetYielded(*item, source);
}

// What a source has yielded binds its next attempt only while somebody has taken of it.
void Run::ForgetYielded(const Item& item, uint32_t source) {
  if (!AnyTakes(item, source)) yielded_.erase(KeyOf(item, source));
}

// Whether a loop has begun with what the source yields.
bool Run::AnyTakes(const Item& item, uint32_t source) const {
  const auto loops = graph_.loops_over(item.instance->region, source);
  return std::any_of(loops.begin(), loops.end(),
                     [&](uint32_t loop) { return item.vertices[loop].value != 0; });
}

// How many vertices each one that waits is waiting for.
void Run::CountMissing(Item* item) {
  for (Vertex& vertex : item->vertices) {
    if (vertex.state == VertexState::kWaiting) vertex.missing = 0;
  }
  for (uint32_t w = 0; w < item->vertices.size(); ++w) {
    if (item->vertices[w].state == VertexState::kSucceeded) continue;
    for (const uint32_t d : graph_.dependents(item->instance->region, w)) {
      if (item->vertices[d].state == VertexState::kWaiting) ++item->vertices[d].missing;
    }
  }
}

void Run::ActivateWaiting(Item* item) {
  const uint64_t serial = item->serial;
  for (uint32_t v = 0; v < item->vertices.size() && item->serial == serial; ++v) {
    const Vertex& vertex = item->vertices[v];
    if (vertex.state == VertexState::kWaiting && vertex.missing == 0) Activate(item, v);
  }
}

}  // namespace bue::hub
