// The end of units, items and loops, and which values go with them.
#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/inlined_vector.h"
#include "common/check.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

void Run::EndUnit(Item* item, uint32_t unit) {
  const UnitState& state = item->instance->region == 0 ? units_[unit] : item->unit;
  if (listener_ != nullptr) listener_->OnUnitEnded(this, *item, unit, state);
  if (!state.failed && !HasRetained(*item, unit)) DeleteIntermediates(item, unit);
  if (item->instance->region != 0) {
    EndItem(item);
    return;
  }
  CHECK(open_units_ > 0);
  if (--open_units_ > 0 || !active()) return;
  // A replay ends the run where the journal says so.
  if (listener_ == nullptr) return;
  listener_->OnFollowing(Change{
      .kind = Change::Kind::kState,
      .run = number(),
      .a = static_cast<uint64_t>(failed_units_ > 0 ? RunState::kFailed : RunState::kSucceeded)});
}

void Run::EndItem(Item* item) {
  Instance* instance = item->instance;
  RegionCounts& counts = regions_[instance->region];
  const bool failed = item->unit.failed;
  const bool filtered = item->unit.filtered && !failed;
  absl::InlinedVector<uint64_t, 8> values;
  if (!failed && !filtered) {
    for (const uint32_t v : graph_.region(instance->region).kept_columns) {
      values.push_back(item->vertices[v].value);
    }
  }
  instance->kept.Set(item->index, !failed && !filtered, values);
  ++(failed ? instance->failed : filtered ? instance->filtered : instance->done);
  ++(failed ? counts.failed : filtered ? counts.filtered : counts.done);
  --instance->live;
  --counts.live;
  if (failed || HasRetained(*item, /*unit=*/0)) {
    item->ended = true;  // Everything needed to run it again stays.
  } else {
    FreeItem(item);
  }
  if (HasMore(*instance)) {
    if (listener_ != nullptr) listener_->OnCursor(this, instance);
  } else {
    CloseIfDone(instance);
  }
}

void Run::CloseIfDone(Instance* instance) {
  if (instance->closed || !instance->source_done || HasMore(*instance) || instance->live > 0) {
    return;
  }
  Close(instance);
}

void Run::Close(Instance* instance) {
  instance->closed = true;
  instance->kept.Close();
  if (instance->first_item == nullptr && !instance->source_failed) instance->ids.reset();
  if (listener_ != nullptr) listener_->OnInstanceGone(this, instance);
  Item* opener = instance->opener;
  const uint32_t v = graph_.region(instance->region).vertex_in_parent;
  const bool failed = instance->source_failed;
  // Nobody will look at an instance without kept values or failed items again, unless its source
  // failed: retried, that goes on where it was.
  if (!failed && !graph_.region(instance->region).keeps && instance->first_item == nullptr) {
    EraseInstance(instance);
  }
  EndVertex(opener, v, failed ? VertexState::kSkipped : VertexState::kSucceeded);
}

// With all in it. Items that have not ended leave the counts as if they had never been, begun or
// not, because a replay begins fewer of them; so do those that failed, which nobody can retry any
// more. Work that went well stays counted.
void Run::Destroy(Instance* instance) {
  if (listener_ != nullptr) listener_->OnInstanceGone(this, instance);
  const uint32_t region = instance->region;
  DropSegments(instance);
  CountDeclared(*instance, -1);
  regions_[region].expected -= instance->available - instance->done - instance->filtered;
  regions_[region].failed -= instance->failed;
  std::vector<uint64_t> inner;
  const std::vector<uint32_t>& columns = graph_.region(region).kept_columns;
  instance->kept.Visit(0, [&](uint64_t, absl::Span<const uint64_t> values) {
    for (size_t i = 0; i < columns.size(); ++i) {
      if (graph_.vertex(region, columns[i]).is_loop) {
        inner.push_back(values[i]);
      } else if (values[i] != 0 && listener_ != nullptr) {
        listener_->OnDelete(values[i]);
      }
    }
    return true;
  });
  for (Item* item = instance->first_item; item != nullptr; item = item->next) {
    if (item->unit.failed) --failed_units_;
    for (uint32_t v = 0; v < item->vertices.size(); ++v) DestroyVertex(item, v, &inner);
  }
  for (const uint64_t id : inner) {
    if (Instance* opened = FindKept(id, *instance)) Destroy(opened);
  }
  while (Item* item = instance->first_item) {
    if (!item->ended) --regions_[region].live;
    FreeItem(item);
  }
  EraseInstance(instance);
}

void Run::DestroyVertex(Item* item, uint32_t v, std::vector<uint64_t>* inner) {
  Vertex& vertex = item->vertices[v];
  const RunGraph::Vertex& info = graph_.vertex(item->instance->region, v);
  const bool stays_counted = item->ended && !item->unit.failed;
  RevokeLease(item, v);
  if (info.is_loop) {
    if (vertex.value != 0) inner->push_back(vertex.value);
    if (vertex.settled && !stays_counted) --regions_[info.index].settled;
  } else if (vertex.state == VertexState::kSucceeded || vertex.state == VertexState::kOpen) {
    DropValue(&vertex);
  }
  if (!stays_counted) CountTask(*item, v, vertex.state, -1);
}

void Run::DropValue(Vertex* vertex) {
  if (vertex->value != 0 && listener_ != nullptr) listener_->OnDelete(vertex->value);
  vertex->value = 0;
}

// A unit is over and will not be run again: what nobody outside it reads goes.
void Run::DeleteIntermediates(Item* item, uint32_t unit) {
  const uint32_t region = item->instance->region;
  const bool filtered = region == 0 ? units_[unit].filtered : item->unit.filtered;
  for (const uint32_t v : graph_.unit_vertices(region, unit)) {
    const RunGraph::Vertex& info = graph_.vertex(region, v);
    Vertex& vertex = item->vertices[v];
    if (vertex.state != VertexState::kSucceeded) continue;
    if (!info.is_loop) {
      if (filtered || !info.kept) DropValue(&vertex);
      continue;
    }
    Instance* instance = FindInstance(vertex.value);
    if (instance == nullptr) continue;
    if (filtered) {
      Destroy(instance);
      vertex.value = 0;
    } else if (region == 0) {
      DeleteFannedIn(instance);
    }
  }
}

// Of the loop's ended items and of loops in them; results stay.
void Run::DeleteFannedIn(Instance* instance) {
  if (listener_ == nullptr) return;
  const std::vector<uint32_t>& columns = graph_.region(instance->region).kept_columns;
  const auto stays = [&](uint32_t v) { return graph_.vertex(instance->region, v).held; };
  if (absl::c_all_of(columns, stays)) return;  // There may be a hundred million items.
  instance->kept.Visit(0, [&](uint64_t, absl::Span<const uint64_t> values) {
    for (size_t i = 0; i < columns.size(); ++i) {
      const RunGraph::Vertex& info = graph_.vertex(instance->region, columns[i]);
      if (info.is_loop) {
        if (Instance* inner = FindKept(values[i], *instance)) DeleteFannedIn(inner);
      } else if (values[i] != 0 && !info.held) {
        listener_->OnDelete(values[i]);
      }
    }
    return true;
  });
}

// A stored number is not taken on trust: one that leads elsewhere would lead in circles.
Instance* Run::FindKept(uint64_t id, const Instance& outer) {
  Instance* inner = FindInstance(id);
  return inner != nullptr && inner->parent == &outer ? inner : nullptr;
}

bool Run::HasRetained(const Item& item, uint32_t unit) {
  if (!graph_.region(item.instance->region).has_loops) return false;
  for (const uint32_t v : graph_.unit_vertices(item.instance->region, unit)) {
    if (!graph_.vertex(item.instance->region, v).is_loop || item.vertices[v].value == 0) continue;
    const Instance* instance = FindInstance(item.vertices[v].value);
    if (instance != nullptr && instance->first_item != nullptr) return true;
  }
  return false;
}

}  // namespace bue::hub
