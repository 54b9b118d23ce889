// The door of changes, items, and soft transitions. Outcomes: run_outcomes.cc, ends: run_end.cc.
#include "hub/scheduler/run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace bue::hub {

Run::Run(RunAdded added, std::shared_ptr<const Program> program)
    : added_(std::move(added)), graph_(std::move(program)) {
  steps_.resize(graph_.program().steps.size());
  regions_.resize(graph_.region_count());
  for (const Step& step : graph_.program().steps) limits_queues_ |= step.queue > 0;
  free_.resize(graph_.region_count());
}

Run::~Run() = default;

void Run::Begin() {
  auto top =
      std::make_unique<Instance>(static_cast<uint32_t>(graph_.region(0).kept_columns.size()));
  top->id = next_instance_++;
  top->available = top->reserved = top->durable = 1;
  top->source_done = true;
  Instance* instance = top.get();
  instances_.emplace(instance->id, std::move(top));
  regions_[0].expected = 1;
  units_.resize(graph_.region(0).units);
  open_units_ = static_cast<uint32_t>(units_.size());
  for (uint32_t v = 0; v < graph_.region(0).count; ++v) {
    ++units_[graph_.vertex(0, v).unit].open;
  }
  BeginNext(instance);
}

// ------------------------------------------------------------------------------------- changes

bool Run::Apply(const Change& change, Item* item) {
  dirty = true;
  switch (change.kind) {
    case Change::Kind::kReserve:
      return ApplyReserve(change);
    case Change::Kind::kOpened:
      return ApplyOpened(change);
    case Change::Kind::kProgress:
      return ApplyProgress(change);
    case Change::Kind::kSucceeded:
    case Change::Kind::kFailed:
    case Change::Kind::kDelayed:
    case Change::Kind::kReset:
    case Change::Kind::kFiltered:
      return ApplyToTask(change, item);
    case Change::Kind::kState:
      return ApplyState(change);
    case Change::Kind::kExpired:
      return ApplyExpired();
    case Change::Kind::kLimit:
      return ApplyLimit(change);
    case Change::Kind::kRetry:
      return ApplyRetry(change);
    case Change::Kind::kRecompute:
      return ApplyRecompute(change);
    case Change::Kind::kRestart:
      return ApplyRestart(change);
    case Change::Kind::kSourceFailed:
      return ApplySourceFailed(change);
    case Change::Kind::kRefill:
      return ApplyRefill(change);
    case Change::Kind::kItemId:
      return ApplyItemId(change);
    case Change::Kind::kDeleted:
      return true;  // Its owner drops the run.
  }
  return false;
}

bool Run::ApplyReserve(const Change& change) {
  Instance* instance = FindInstance(change.instance);
  if (instance == nullptr || change.a < instance->reserved) return false;
  instance->reserved = change.a;
  return true;
}

bool Run::ApplyItemId(const Change& change) {
  Instance* instance = FindInstance(change.instance);
  if (instance == nullptr || instance->region == 0 || change.item >= instance->available) {
    return false;
  }
  if (instance->ids == nullptr) instance->ids = std::make_unique<ItemIds>();
  instance->ids->Set(change.a, change.item);
  return true;
}

// Replay only: when it happens, the loop is opened by what caused it.
bool Run::ApplyOpened(const Change& change) {
  Instance* parent = FindInstance(change.a);
  if (parent == nullptr || change.node == 0 || change.node >= graph_.region_count() ||
      graph_.region(change.node).parent != parent->region || FindInstance(change.instance)) {
    return false;
  }
  Item* item = EnsureBegun(parent, change.item);
  if (item == nullptr) return false;
  next_instance_ = std::max(next_instance_, change.instance + 1);
  Open(item, graph_.region(change.node).vertex_in_parent, change.instance);
  return true;
}

bool Run::ApplyProgress(const Change& change) {
  Instance* instance = FindInstance(change.instance);
  Item* item = instance == nullptr ? nullptr : EnsureBegun(instance, change.item);
  if (item == nullptr || change.node >= graph_.program().nodes.size()) return false;
  const uint32_t v = graph_.vertex_of_node(change.node);
  Vertex& source = item->vertices[v];
  if (IsTerminal(source.state) || graph_.vertex(instance->region, v).refill) return false;
  // A new attempt is only on its way to where another one was.
  if (change.b < YieldedBy(*item, v).elements) return true;
  if (change.c != 0) {
    yielded_[KeyOf(*item, v)] = {.elements = change.b, .hash = static_cast<uint64_t>(change.c)};
  }
  if (source.state == VertexState::kDelayed) Become(item, v, VertexState::kReady);  // In a replay.
  source.elements = 1 + change.b;
  source.value = change.a;
  for (const uint32_t loop : graph_.loops_over(instance->region, v)) {
    Vertex& vertex = item->vertices[loop];
    if (vertex.state == VertexState::kWaiting) {
      TryOpen(item, loop);  // With what the source has so far.
    } else if (vertex.state == VertexState::kOpen) {
      Instance* opened = FindInstance(vertex.value);
      if (change.b <= opened->elements) continue;  // A retried source catches up.
      if (opened->segments.empty() || opened->segments.back().address != change.a) {
        AddSegment(opened, change.a);
      }
      Grow(opened, change.b, /*done=*/false);
    }
  }
  return true;
}

bool Run::ApplyToTask(const Change& change, Item* item) {
  Instance* instance = item == nullptr ? FindInstance(change.instance) : item->instance;
  if (instance == nullptr || change.node >= graph_.program().nodes.size() ||
      graph_.program().nodes[change.node].region != instance->region) {
    return false;
  }
  if (item == nullptr) item = EnsureBegun(instance, change.item);
  if (item == nullptr || item->ended) return false;
  const uint32_t v = graph_.vertex_of_node(change.node);
  // A task whose value is lost asks for a reset after it has succeeded.
  const VertexState state = item->vertices[v].state;
  if (IsTerminal(state) &&
      !(change.kind == Change::Kind::kReset && state == VertexState::kSucceeded)) {
    return false;
  }
  switch (change.kind) {
    case Change::Kind::kSucceeded:
      Succeed(item, v, change.a, change.b);
      return true;
    case Change::Kind::kFailed:
      Fail(item, v);
      return true;
    case Change::Kind::kDelayed:
      Delay(item, v, static_cast<uint32_t>(change.a), static_cast<uint32_t>(change.b),
            static_cast<uint64_t>(change.c));
      return true;
    case Change::Kind::kReset:
      Reset(item, v);
      return true;
    default:
      Filter(item, v);
      return true;
  }
}

bool Run::ApplyState(const Change& change) {
  if (change.a > static_cast<uint64_t>(RunState::kStopping)) return false;
  const bool was_cut_off = IsCutOff();
  state_ = static_cast<RunState>(change.a);
  stop_at_ = absl::InfiniteFuture();
  if (state_ == RunState::kStopping) {
    stop_at_ = absl::FromUnixMicros(static_cast<int64_t>(change.b));
    stopped_by_failure_ = change.item != 0;
  } else if (active()) {
    stopped_by_failure_ = false;
  }
  ended_ = absl::InfiniteFuture();
  if (active()) {
    revivals_ += was_cut_off ? 1 : 0;
    return true;
  }
  ended_ = absl::FromUnixMicros(change.c);
  // What ran of a cancelled run is revoked; its data stays until the run is deleted.
  for (const auto& [id, instance] : instances_) {
    for (Item* item = instance->first_item; item != nullptr; item = item->next) {
      for (uint32_t v = 0; v < item->vertices.size(); ++v) {
        if (item->vertices[v].state == VertexState::kLeased) {
          RevokeLease(item, v);
          Become(item, v, VertexState::kReady);
        }
      }
    }
    if (listener_ != nullptr) listener_->OnInstanceGone(this, instance.get());
  }
  if (listener_ != nullptr) listener_->OnEnded(this);
  return true;
}

// The values of an ended run go; counts and error records stay.
bool Run::ApplyExpired() {
  if (active()) return false;
  if (listener_ != nullptr) {
    VisitAddresses([this](uint64_t address) { listener_->OnDelete(address); });
  }
  expired_ = true;
  yielded_.clear();
  last_found_ = nullptr;
  instances_.clear();
  pool_.clear();
  for (auto& list : free_) list.clear();
  for (StepCounts& counts : steps_) {
    counts.running = counts.ready = counts.returned = counts.delayed = 0;
  }
  return true;
}

// --------------------------------------------------------------------------------------- items

Item* Run::NewItem(Instance* instance, uint64_t index) {
  const uint32_t region = instance->region;
  Item* item;
  if (free_[region].empty()) {
    pool_.push_back(std::make_unique<Item>());
    item = pool_.back().get();
  } else {
    item = free_[region].back();
    free_[region].pop_back();
  }
  item->instance = instance;
  item->index = index;
  item->serial = next_serial_++;
  item->ended = false;
  // Also one whose element is found only now: what told of it may have been lost with the power.
  item->loaded = resuming_ || index < instance->foreign;
  item->unit = UnitState{.open = graph_.region(region).count};
  item->vertices.assign(graph_.region(region).count, Vertex{});
  for (uint32_t v = 0; v < item->vertices.size(); ++v) {
    item->vertices[v].missing = graph_.vertex(region, v).needed;
  }
  item->previous = instance->last_item;
  item->next = nullptr;
  (item->previous == nullptr ? instance->first_item : item->previous->next) = item;
  instance->last_item = item;
  instance->items.emplace(index, item);
  ++instance->live;
  ++regions_[region].live;
  return item;
}

void Run::FreeItem(Item* item) {
  Instance* instance = item->instance;
  (item->previous == nullptr ? instance->first_item : item->previous->next) = item->next;
  (item->next == nullptr ? instance->last_item : item->next->previous) = item->previous;
  instance->items.erase(item->index);
  LeaveSegment(instance, item->index);
  const auto forget = [&](auto* of_sources) {
    if (of_sources->empty()) return;  // Mostly: sources are few.
    of_sources->erase(of_sources->lower_bound({instance->id, item->index, 0}),
                      of_sources->upper_bound({instance->id, item->index, UINT32_MAX}));
  };
  forget(&yielded_);
  forget(&declared_);
  for (const Input& input : graph_.region(instance->region).by) {
    by_hashes.Forget(item->serial, input);
  }
  item->serial = 0;
  free_[instance->region].push_back(item);
}

void Run::ReleaseMemory() {
  by_hashes = ByHashes();
  for (std::vector<Item*>& list : free_) {
    list.clear();
    list.shrink_to_fit();
  }
  std::erase_if(pool_, [](const std::unique_ptr<Item>& item) { return item->serial == 0; });
  pool_.shrink_to_fit();
}

Item* Run::BeginNext(Instance* instance) {
  CHECK(HasMore(*instance));
  const uint32_t region = instance->region;  // The item, and with it the loop, may end in here.
  Item* item = NewItem(instance, instance->next++);
  const uint64_t serial = item->serial;
  if (graph_.region(region).refill) {
    AskSource(instance->opener, graph_.region(region).source_vertex);
  }
  for (const uint32_t v : graph_.region(region).roots) {
    // A root loop without elements can end the item at once.
    if (item->serial != serial) return nullptr;
    if (item->vertices[v].state == VertexState::kWaiting) Activate(item, v);
  }
  if (region == 0 && graph_.region(0).count == 0 && listener_ != nullptr) {
    listener_->OnFollowing(Change{.kind = Change::Kind::kState,
                                  .run = number(),
                                  .a = static_cast<uint64_t>(RunState::kSucceeded)});
  }
  return item->serial == serial ? item : nullptr;
}

Item* Run::EnsureBegun(Instance* instance, uint64_t index) {
  if (index >= instance->available) return nullptr;
  while (instance->next <= index) BeginNext(instance);
  const auto found = instance->items.find(index);
  return found == instance->items.end() ? nullptr : found->second;
}

Item* Run::FindItem(uint64_t instance, uint64_t index) {
  Instance* found = FindInstance(instance);
  if (found == nullptr) return nullptr;
  const auto item = found->items.find(index);
  return item == found->items.end() ? nullptr : item->second;
}

Instance* Run::LookUpInstance(uint64_t id) {
  const auto found = instances_.find(id);
  return found == instances_.end() ? nullptr : last_found_ = found->second.get();
}

void Run::EraseInstance(Instance* instance) {
  last_found_ = nullptr;
  instances_.erase(instance->id);
}

Item* Run::Around(Item* item, uint32_t region) {
  while (item->instance->region != region) item = item->instance->opener;
  return item;
}

UnitState& Run::UnitOf(Item* item, uint32_t v) {
  return item->instance->region == 0 ? units_[graph_.vertex(0, v).unit] : item->unit;
}

const UnitState& Run::unit(const Item& item, uint32_t v) const {
  return item.instance->region == 0 ? units_[graph_.vertex(0, v).unit] : item.unit;
}

const Step& Run::StepOf(const Item& item, uint32_t v) const {
  return graph_.program().steps[graph_.program().nodes[NodeOf(item, v)].step];
}

std::string Run::NameOf(const Item& item) const {
  return item.instance->region == 0 ? "" : absl::StrCat(item.instance->prefix, item.index);
}

Run::TaskKey Run::KeyOf(const Item& item, uint32_t v) { return {item.instance->id, item.index, v}; }

Yielded Run::YieldedBy(const Item& item, uint32_t v) const {
  const auto found = yielded_.find(KeyOf(item, v));
  return found == yielded_.end() ? Yielded{} : found->second;
}

// -------------------------------------------------------------------------------- soft changes

void Run::Lease(Item* item, uint32_t v, uint32_t lease) {
  Vertex& vertex = item->vertices[v];
  CHECK(vertex.state == VertexState::kReady);
  Become(item, v, VertexState::kLeased);
  vertex.lease = lease + 1;
}

// One whose outcome is just being taken in has no lease any more.
void Run::RevokeLease(Item* item, uint32_t v) {
  const Vertex& vertex = item->vertices[v];
  if (vertex.state != VertexState::kLeased || vertex.lease == 0 || listener_ == nullptr) return;
  listener_->OnRevoke(this, item, v);
}

void Run::Unlease(Item* item, uint32_t v) {
  Vertex& vertex = item->vertices[v];
  CHECK(vertex.state == VertexState::kLeased);
  Become(item, v, VertexState::kReady);
  vertex.lease = 0;
  if (listener_ != nullptr) listener_->OnReady(this, item, v);
}

void Run::Wake(Item* item, uint32_t v) {
  Vertex& vertex = item->vertices[v];
  CHECK(vertex.state == VertexState::kDelayed);
  Become(item, v, VertexState::kReady);
  vertex.value = 0;
  if (listener_ != nullptr) listener_->OnReady(this, item, v);
}

// ---------------------------------------------------------------------------------- after a load

void Run::ResumeAfterLoad() {
  // What was read is on disk. An ended run may be revived, and begin items, later.
  for (const auto& [id, instance] : instances_) {
    instance->durable = instance->foreign = instance->reserved;
    for (Item* item = instance->first_item; item != nullptr; item = item->next) item->loaded = true;
  }
  if (!active()) return;
  resuming_ = true;
  Announce(/*after_load=*/true);
  resuming_ = false;
}

void Run::Revive() {
  for (const auto& [id, instance] : instances_) instance->queued = 0;
  Announce(/*after_load=*/false);
}

void Run::Announce(bool after_load) {
  CHECK(listener_ != nullptr);
  // By id: inner instances come after those that opened them, and new ones at the end.
  for (auto entry = instances_.begin(); entry != instances_.end();) {
    Instance* instance = entry->second.get();
    const uint64_t id = instance->id;
    if (!instance->closed) {
      for (Item* item = instance->first_item; item != nullptr;) {
        Item* next = item->next;
        const uint64_t serial = item->serial;
        for (uint32_t v = 0; v < item->vertices.size() && item->serial == serial; ++v) {
          const Vertex& vertex = item->vertices[v];
          if (item->ended) break;
          if (vertex.state == VertexState::kReady) listener_->OnReady(this, item, v);
          if (vertex.state == VertexState::kDelayed) listener_->OnDelayed(this, item, v);
          if (vertex.state == VertexState::kOpen && graph_.vertex(instance->region, v).refill) {
            AskSource(item, v);
          }
          if (vertex.state == VertexState::kWaiting && vertex.missing == 0 &&
              graph_.vertex(instance->region, v).is_loop) {
            TryOpen(item, v);
          }
        }
        item = next;
      }
    }
    if (FindInstance(id) != nullptr && !instance->closed) {
      if (after_load) {
        BeginReserved(id);
      } else if (HasMore(*instance)) {
        listener_->OnCursor(this, instance);
      }
    }
    entry = instances_.upper_bound(id);
  }
}

// Items that may be running somewhere. Looked up each time: the last one can end the loop.
void Run::BeginReserved(uint64_t id) {
  Instance* instance = FindInstance(id);
  while (instance != nullptr && Run::HasMore(*instance) && instance->next < instance->reserved) {
    BeginNext(instance);
    instance = FindInstance(id);
  }
  if (instance == nullptr) return;
  if (HasMore(*instance)) {
    listener_->OnCursor(this, instance);
  } else {
    CloseIfDone(instance);
  }
}

}  // namespace bue::hub
