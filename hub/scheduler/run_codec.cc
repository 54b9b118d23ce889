// Snapshots of a run: what a checkpoint writes and a restart reads.
//
// Varints throughout (common/varint.h). The state holds counters, instances and live items, so its
// size follows what is under way; packed blocks of ended items are rows of their own, written once.
//
//   state   := version, run state (with bits: expired, revivals), when it ended or is to stop, next
//   instance, failed units, errors, units, steps' counts, regions' counts, instances by id, what
//   sources have yielded, limits that were changed, whether a failure stopped it,
//   steps' statistics, what calls of `!refill` sources gave, ids of items
//   block   := instance, number, the packed block of KeptValues
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/varint.h"
#include "hub/scheduler/run.h"

namespace bue::hub {
namespace {

constexpr uint64_t kVersion = 5;
// Earlier ones lack what came later.
constexpr uint64_t kVersionOfYielded = 2;
constexpr uint64_t kVersionOfLimits = 3;
constexpr uint64_t kVersionOfStatistics = 4;
constexpr uint64_t kVersionOfRefill = 5;
constexpr uint64_t kReservedMax = 1 << 20;  // Items that a cursor reserves; more is nonsense.

constexpr uint64_t kElementsMax = uint64_t{1} << 62;

void PutUnit(const UnitState& unit, std::string* out) {
  PutVarint(unit.open, out);
  PutVarint((unit.failed ? 1 : 0) | (unit.filtered ? 2 : 0), out);
}

UnitState TakeUnit(VarintReader* in) {
  UnitState unit{.open = static_cast<uint32_t>(in->Varint())};
  const uint64_t flags = in->Varint();
  unit.failed = (flags & 1) != 0;
  unit.filtered = (flags & 2) != 0;
  return unit;
}

// Most vertices are fresh or done: state first, then only what the state makes meaningful.
void PutVertex(const Vertex& vertex, std::string* out) {
  // A lease is soft: after a restart the task is ready, until its worker says otherwise.
  const VertexState state =
      vertex.state == VertexState::kLeased ? VertexState::kReady : vertex.state;
  PutVarint(static_cast<uint64_t>(state) | (vertex.settled ? 16 : 0), out);
  PutVarint(vertex.missing, out);
  PutVarint(vertex.attempts, out);
  PutVarint(vertex.handbacks, out);
  PutVarint(vertex.pass, out);
  PutVarint(vertex.value, out);
  PutVarint(vertex.elements, out);
}

Vertex TakeVertex(VarintReader* in) {
  Vertex vertex;
  const uint64_t state = in->Varint();
  vertex.state = static_cast<VertexState>(
      std::min<uint64_t>(state & 15, static_cast<uint64_t>(VertexState::kFiltered)));
  vertex.settled = (state & 16) != 0;
  vertex.missing = static_cast<uint32_t>(in->Varint());
  vertex.attempts = static_cast<uint32_t>(in->Varint());
  vertex.handbacks = static_cast<uint32_t>(in->Varint());
  vertex.pass = static_cast<uint32_t>(in->Varint());
  vertex.value = in->Varint();
  vertex.elements = in->Varint();
  return vertex;
}

void PutItem(const Item& item, std::string* out) {
  PutVarint(item.index, out);
  PutVarint(item.ended ? 1 : 0, out);
  PutUnit(item.unit, out);
  for (const Vertex& vertex : item.vertices) PutVertex(vertex, out);
}

void PutInstance(const Instance& instance, std::string* out) {
  PutVarint(instance.id, out);
  PutVarint(instance.region, out);
  PutVarint(instance.parent == nullptr ? 0 : instance.parent->id, out);
  PutVarint(instance.parent_index, out);
  PutVarint(instance.segments.size(), out);
  for (const Instance::Segment& segment : instance.segments) {
    PutVarint(segment.first, out);
    PutVarint(segment.address, out);
  }
  PutVarint(instance.elements, out);
  PutVarint(instance.available, out);
  PutVarint(instance.next, out);
  PutVarint(instance.reserved, out);
  PutVarint(
      (instance.source_done ? 1 : 0) | (instance.source_failed ? 2 : 0) | (instance.closed ? 4 : 0),
      out);
  PutVarint(instance.done, out);
  PutVarint(instance.failed, out);
  PutVarint(instance.filtered, out);
  instance.kept.EncodeOpen(out);
  PutVarint(instance.items.size(), out);
  for (const Item* item = instance.first_item; item != nullptr; item = item->next) {
    PutItem(*item, out);
  }
}

}  // namespace

// Reads one run's state into a Run that was just made.
class RunCodec {
 public:
  RunCodec(Run* run, absl::string_view bytes) : run_(run), in_(bytes) {}

  bool Restore() {
    const uint64_t version = in_.Varint();
    if (version == 0 || version > kVersion) return false;
    const uint64_t state = in_.Varint();
    if ((state & 15) > static_cast<uint64_t>(RunState::kStopping)) return false;
    run_->state_ = static_cast<RunState>(state & 15);
    run_->expired_ = (state & 16) != 0;
    run_->revivals_ = static_cast<uint32_t>(state >> 5);
    const int64_t ended = in_.Signed();
    run_->ended_ = run_->active() ? absl::InfiniteFuture() : absl::FromUnixMicros(ended);
    if (run_->state_ == RunState::kStopping) run_->stop_at_ = absl::FromUnixMicros(ended);
    run_->next_instance_ = in_.Varint();
    run_->failed_units_ = in_.Varint();
    run_->errors = in_.Varint();
    run_->open_units_ = static_cast<uint32_t>(in_.Varint());
    run_->units_.resize(run_->graph_.region(0).units);
    for (UnitState& unit : run_->units_) unit = TakeUnit(&in_);
    for (Run::StepCounts& c : run_->steps_) {
      c.done = in_.Varint();
      c.failed = in_.Varint();
      c.filtered = in_.Varint();
      c.skipped = in_.Varint();
    }
    for (Run::RegionCounts& c : run_->regions_) {
      c.expected = in_.Varint();
      c.settled = in_.Varint();
      c.done = in_.Varint();
      c.failed = in_.Varint();
      c.filtered = in_.Varint();
    }
    for (uint64_t n = in_.Count(); n > 0; --n) {
      if (!TakeInstance()) return false;
    }
    if (version >= kVersionOfYielded && !TakeYielded()) return false;
    if (version >= kVersionOfLimits && !TakeLimits()) return false;
    if (version >= kVersionOfStatistics && !TakeStatistics()) return false;
    if (version >= kVersionOfRefill && !TakeCallsAndIds()) return false;
    return in_.ok() && in_.AtEnd() && run_->instances_.empty() == run_->expired_ && IsSound();
  }

 private:
  bool TakeInstance() {
    const uint64_t id = in_.Varint();
    const uint64_t region = in_.Varint();
    if (!in_.ok() || region >= run_->graph_.region_count()) return false;
    const RunGraph::RegionInfo& info = run_->graph_.region(region);
    auto made = std::make_unique<Instance>(static_cast<uint32_t>(info.kept_columns.size()));
    Instance* instance = made.get();
    if (!run_->instances_.emplace(id, std::move(made)).second) return false;
    instance->id = id;
    instance->region = static_cast<uint32_t>(region);
    const uint64_t parent = in_.Varint();
    instance->parent_index = in_.Varint();
    if (region != 0 && !Link(instance, parent)) return false;
    for (uint64_t n = in_.Count(); n > 0; --n) {
      const uint64_t first = in_.Varint();
      instance->segments.push_back(Instance::Segment{.first = first, .address = in_.Varint()});
    }
    instance->elements = in_.Varint();
    instance->available = in_.Varint();
    instance->next = in_.Varint();
    instance->reserved = in_.Varint();
    const uint64_t flags = in_.Varint();
    instance->source_done = (flags & 1) != 0;
    instance->source_failed = (flags & 2) != 0;
    instance->closed = (flags & 4) != 0;
    instance->done = in_.Varint();
    instance->failed = in_.Varint();
    instance->filtered = in_.Varint();
    if (!instance->kept.DecodeOpen(&in_)) return false;
    for (uint64_t n = in_.Count(); n > 0; --n) {
      if (!TakeItem(instance)) return false;
    }
    return in_.ok();
  }

  bool TakeYielded() {
    for (uint64_t n = in_.Count(); n > 0; --n) {
      const uint64_t instance = in_.Varint();
      const uint64_t index = in_.Varint();
      const uint64_t vertex = in_.Varint();
      const uint64_t elements = in_.Varint();
      const Item* item = run_->FindItem(instance, index);
      if (!in_.ok() || item == nullptr || vertex >= item->vertices.size()) return false;
      run_->yielded_[Run::KeyOf(*item, static_cast<uint32_t>(vertex))] = {.elements = elements,
                                                                          .hash = in_.Varint()};
    }
    return in_.ok();
  }

  bool TakeLimits() {
    for (uint64_t n = in_.Count(); n > 0; --n) {
      Change change{.kind = Change::Kind::kLimit, .node = static_cast<uint32_t>(in_.Varint())};
      change.a = in_.Varint();
      change.b = in_.Varint();
      change.c = in_.Signed();
      if (!in_.ok() || !run_->ApplyLimit(change)) return false;
    }
    run_->stopped_by_failure_ = in_.Varint() != 0;
    return in_.ok();
  }

  bool TakeStatistics() {
    const size_t steps = run_->steps_.size();
    for (uint64_t n = in_.Count(); n > 0; --n) {
      const uint64_t step = in_.Varint();
      if (!in_.ok() || step >= steps) return false;
      run_->stats.Begin(static_cast<uint32_t>(step), steps);
      if (!run_->stats.steps[step]->Take(&in_)) return false;
    }
    return in_.ok();
  }

  // What calls of `!refill` sources gave, and which items have ids.
  bool TakeCallsAndIds() {
    for (uint64_t n = in_.Count(); n > 0; --n) {
      Instance* loop = run_->FindInstance(in_.Varint());
      if (!in_.ok() || loop == nullptr || !run_->graph_.region(loop->region).refill) return false;
      loop->declared = in_.Varint();
      for (Instance::Segment& segment : loop->segments) segment.elements = in_.Varint();
    }
    for (uint64_t n = in_.Count(); n > 0; --n) {
      Instance* loop = run_->FindInstance(in_.Varint());
      if (!in_.ok() || loop == nullptr || loop->region == 0) return false;
      loop->ids = std::make_unique<ItemIds>();
      for (uint64_t ids = in_.Count(); ids > 0; --ids) {
        const uint64_t hash = in_.Varint();
        const uint64_t item = in_.Varint();
        if (!in_.ok() || item >= loop->available) return false;
        loop->ids->Set(hash, item);
      }
    }
    return in_.ok();
  }

  // The instance's place: ids grow, so the parent has been read.
  bool Link(Instance* instance, uint64_t parent) {
    instance->parent = run_->FindInstance(parent);
    // A parent without kept values or items may be gone; then nothing of this one is under way.
    if (instance->parent == nullptr) return true;
    const auto opener = instance->parent->items.find(instance->parent_index);
    if (opener != instance->parent->items.end()) instance->opener = opener->second;
    if (instance->parent->region != 0) {
      instance->prefix = absl::StrCat(instance->parent->prefix, instance->parent_index, ".");
    }
    return true;
  }

  bool TakeItem(Instance* instance) {
    const uint64_t index = in_.Varint();
    if (!in_.ok() || instance->items.contains(index)) return false;
    Item* item = run_->NewItem(instance, index);
    item->ended = in_.Varint() != 0;
    if (item->ended) {
      --instance->live;
      --run_->regions_[instance->region].live;
    }
    item->unit = TakeUnit(&in_);
    for (uint32_t v = 0; v < item->vertices.size(); ++v) {
      item->vertices[v] = TakeVertex(&in_);
      // Terminal ones are in the counts that were stored.
      const VertexState state = item->vertices[v].state;
      if (!IsTerminal(state)) run_->CountTask(*item, v, state, 1);
    }
    return in_.ok();
  }

  // ------------------------------------------------------------------------------------- checks
  // Bytes can be whole and yet tell of what cannot be. What follows relies on all of this: a state
  // that passes can be gone on with.

  bool IsSound() {
    if (run_->expired_) return !run_->active();
    const Instance& top = *run_->instances_.begin()->second;
    if (top.region != 0 || top.items.size() != 1 || top.first_item->index != 0) return false;
    std::vector<uint32_t> open(run_->units_.size());
    for (const auto& entry : run_->instances_) {
      Instance& instance = *entry.second;
      if (&instance != &top && instance.region == 0) return false;
      if (!IsSound(instance)) return false;
      for (const Item* item = instance.first_item; item != nullptr; item = item->next) {
        if (!IsSound(*item, &open)) return false;
      }
    }
    uint32_t open_units = 0;
    for (size_t unit = 0; unit < open.size(); ++unit) {
      if (run_->units_[unit].open != open[unit]) return false;
      open_units += open[unit] > 0;
    }
    return run_->open_units_ == open_units;
  }

  bool IsSound(Instance& instance) {
    if (instance.id >= run_->next_instance_ || instance.next > instance.available) return false;
    const uint64_t over = instance.done + instance.failed + instance.filtered;
    if (over > instance.next || over + instance.live != instance.next) return false;
    if (instance.closed && instance.live > 0) return false;
    if (instance.kept.OpenEnd() > instance.next) return false;
    if (instance.reserved > instance.next && instance.reserved - instance.next > kReservedMax) {
      return false;
    }
    if (instance.region == 0) return instance.available == 1;
    if (instance.parent == nullptr) return instance.closed && instance.first_item == nullptr;
    const RunGraph::RegionInfo& info = run_->graph_.region(instance.region);
    if (instance.parent->id >= instance.id || instance.parent->region != info.parent) return false;
    // Only what has ended outlives the item that opened it.
    if (instance.opener == nullptr) return instance.closed && instance.first_item == nullptr;
    const Vertex& loop = instance.opener->vertices[info.vertex_in_parent];
    if (loop.value != instance.id || (loop.state == VertexState::kOpen) == instance.closed) {
      return false;
    }
    return info.refill ? HasCalls(&instance) : HasElements(instance);
  }

  // The same of a `!refill` source, which gave them call by call.
  bool HasCalls(Instance* loop) {
    const uint64_t by = run_->ByOf(*loop);
    if (loop->elements % by != 0 || loop->available != loop->elements / by ||
        loop->elements > kElementsMax || loop->declared > kElementsMax) {
      return false;
    }
    const Instance::Segment* before = nullptr;
    for (const Instance::Segment& segment : loop->segments) {
      if (segment.first % by != 0 || segment.elements == 0 || segment.first >= loop->elements ||
          segment.elements > loop->elements - segment.first ||
          (before != nullptr &&
           (segment.first <= before->first || segment.first - before->first < before->elements))) {
        return false;
      }
      before = &segment;
    }
    const bool asked_again = !loop->source_done || loop->source_failed;
    if (asked_again && loop->elements > 0 && before == nullptr) return false;
    for (uint64_t element = loop->next * by; element < loop->elements;) {
      const Instance::Segment* segment = loop->SegmentOf(element);
      if (segment == nullptr) return false;
      element = segment->first + (segment->elements + by - 1) / by * by;
    }
    if (!run_->CountOpenItems(loop)) return false;
    run_->CountDeclared(*loop, 1);
    return true;
  }

  // Every item's element lies somewhere.
  bool HasElements(const Instance& instance) const {
    const Region& region = run_->graph_.program().regions[instance.region];
    const uint64_t by = std::max<uint64_t>(1, region.by);
    if (instance.available > instance.elements / by + (instance.elements % by != 0)) return false;
    if (region.source_node == kNoNode) return instance.elements <= region.range;
    if (instance.segments.empty()) return instance.available == 0;
    if (instance.segments.front().first != 0) return false;
    return std::is_sorted(
        instance.segments.begin(), instance.segments.end(),
        [](const Instance::Segment& a, const Instance::Segment& b) { return a.first < b.first; });
  }

  // Adds the top level's open vertices to their units.
  bool IsSound(const Item& item, std::vector<uint32_t>* open) {
    const Instance& instance = *item.instance;
    const uint32_t region = instance.region;
    if (item.index >= instance.next) return false;
    // What is packed has not been read yet: of those that ended more cannot be said.
    if (!item.ended && instance.kept.Has(item.index)) return false;
    std::vector<uint32_t> missing(item.vertices.size());
    for (uint32_t v = 0; v < item.vertices.size(); ++v) {
      if (item.vertices[v].state == VertexState::kSucceeded) continue;
      for (const uint32_t d : run_->graph_.dependents(region, v)) ++missing[d];
    }
    uint32_t open_here = 0;
    for (uint32_t v = 0; v < item.vertices.size(); ++v) {
      if (!IsSound(item, v, missing[v])) return false;
      if (IsTerminal(item.vertices[v].state)) continue;
      ++open_here;
      if (region == 0) ++(*open)[run_->graph_.vertex(0, v).unit];
    }
    if (region == 0) return !item.ended;
    return item.unit.open == open_here && (open_here == 0) == item.ended;
  }

  bool IsSound(const Item& item, uint32_t v, uint32_t missing) {
    const RunGraph::Vertex& info = run_->graph_.vertex(item.instance->region, v);
    const Vertex& vertex = item.vertices[v];
    if (vertex.state == VertexState::kWaiting && vertex.missing != missing) return false;
    if ((vertex.state == VertexState::kReady || vertex.state == VertexState::kDelayed ||
         vertex.state == VertexState::kOpen) &&
        missing != 0) {
      return false;
    }
    if (!info.is_loop) {
      return (vertex.state != VertexState::kOpen || info.refill) &&
             vertex.state != VertexState::kLeased;
    }
    if (vertex.state == VertexState::kReady || vertex.state == VertexState::kLeased ||
        vertex.state == VertexState::kDelayed) {
      return false;
    }
    const Instance* opened = vertex.value == 0 ? nullptr : run_->FindInstance(vertex.value);
    if (opened == nullptr) return vertex.state != VertexState::kOpen;
    return opened->opener == &item && opened->region == info.index;
  }

  Run* const run_;
  VarintReader in_;
};

RunSnapshot Run::Snapshot() {
  dirty = false;
  RunSnapshot snapshot{.run = number()};
  std::string& out = snapshot.state;
  PutVarint(kVersion, &out);
  PutVarint(static_cast<uint64_t>(state_) | (expired_ ? 16 : 0) | uint64_t{revivals_} << 5, &out);
  const absl::Time end = state_ == RunState::kStopping ? stop_at_ : ended_;
  PutVarint(ZigZag(end == absl::InfiniteFuture() ? 0 : absl::ToUnixMicros(end)), &out);
  PutVarint(next_instance_, &out);
  PutVarint(failed_units_, &out);
  PutVarint(errors, &out);
  PutVarint(open_units_, &out);
  for (const UnitState& unit : units_) PutUnit(unit, &out);
  for (const StepCounts& c : steps_) {
    for (const uint64_t n : {c.done, c.failed, c.filtered, c.skipped}) PutVarint(n, &out);
  }
  for (const RegionCounts& c : regions_) {
    for (const uint64_t n : {c.expected, c.settled, c.done, c.failed, c.filtered}) {
      PutVarint(n, &out);
    }
  }
  PutVarint(instances_.size(), &out);
  for (const auto& [id, instance] : instances_) {
    PutInstance(*instance, &out);
    for (const KeptValues::PackedBlock& block : instance->kept.TakeNewBlocks()) {
      RunSnapshot::Block row;
      row.key = absl::StrCat(id, ".", block.number);
      PutVarint(id, &row.bytes);
      PutVarint(block.number, &row.bytes);
      PutBytes(*block.bytes, &row.bytes);
      snapshot.blocks.push_back(std::move(row));
    }
  }
  PutVarint(yielded_.size(), &out);
  for (const auto& [key, yielded] : yielded_) {
    const auto& [instance, item, vertex] = key;
    for (const uint64_t n : {instance, item, uint64_t{vertex}, yielded.elements, yielded.hash}) {
      PutVarint(n, &out);
    }
  }
  PutVarint(changed_limits_.size(), &out);
  for (const auto& [place, limit] : changed_limits_) {
    PutVarint(place.first, &out);
    PutVarint(static_cast<uint64_t>(place.second), &out);
    PutVarint(limit.count, &out);
    PutVarint(ZigZag(absl::ToInt64Microseconds(absl::Seconds(limit.per_seconds))), &out);
  }
  PutVarint(stopped_by_failure_ ? 1 : 0, &out);
  const auto known = [](const std::unique_ptr<StepStats>& step) { return step != nullptr; };
  PutVarint(std::count_if(stats.steps.begin(), stats.steps.end(), known), &out);
  for (size_t step = 0; step < stats.steps.size(); ++step) {
    if (!known(stats.steps[step])) continue;
    PutVarint(step, &out);
    stats.steps[step]->Put(&out);
  }
  const auto refill = [this](const auto& entry) {
    return graph_.region(entry.second->region).refill;
  };
  PutVarint(std::count_if(instances_.begin(), instances_.end(), refill), &out);
  for (const auto& entry : instances_) {
    if (!refill(entry)) continue;
    PutVarint(entry.first, &out);
    PutVarint(entry.second->declared, &out);
    for (const Instance::Segment& segment : entry.second->segments) {
      PutVarint(segment.elements, &out);
    }
  }
  const auto has_ids = [](const auto& entry) { return entry.second->ids != nullptr; };
  PutVarint(std::count_if(instances_.begin(), instances_.end(), has_ids), &out);
  for (const auto& entry : instances_) {
    if (!has_ids(entry)) continue;
    PutVarint(entry.first, &out);
    PutVarint(entry.second->ids->size(), &out);
    entry.second->ids->Visit([&out](uint64_t hash, uint64_t item) {
      PutVarint(hash, &out);
      PutVarint(item, &out);
    });
  }
  return snapshot;
}

bool Run::Restore(absl::string_view state) {
  dirty = false;
  return RunCodec(this, state).Restore();
}

bool Run::RestoreBlock(absl::string_view block) {
  VarintReader in(block);
  const uint64_t id = in.Varint();
  const uint64_t number = in.Varint();
  const absl::string_view bytes = in.Bytes();
  if (!in.ok()) return false;
  Instance* instance = FindInstance(id);
  // A row of an instance that has gone since is of no use, and no harm.
  if (instance == nullptr) return true;
  return number <= instance->next / KeptValues::kBlockItems &&
         instance->kept.RestoreBlock(number, bytes);
}

}  // namespace bue::hub
