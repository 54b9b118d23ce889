// `!refill` sources: asked for items again and again, as f(count, cursor), whenever their loop runs
// low. A call's items and the cursor for the next call are one list in the bucket and one change
// here, so a restart can neither lose items nor get them twice. Items that are over leave nothing
// behind: a source may go on for ever.
//
//   waiting -> ready -> leased -> open (rests) -> ready … -> succeeded (gave nothing more)
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "hub/scheduler/run.h"

namespace bue::hub {
namespace {

constexpr uint64_t kItemsMax = uint64_t{1} << 48;  // Of a call.
constexpr uint64_t kQueue = 1000;  // Elements, if the loop's first step has no `!queue`.

uint64_t Batches(uint64_t elements, uint64_t by) { return (elements + by - 1) / by; }

// Instance::SegmentOf, to change it; the end: none.
std::vector<Instance::Segment>::iterator FindSegment(Instance* loop, uint64_t element) {
  const Instance::Segment* found = loop->SegmentOf(element);
  return found == nullptr ? loop->segments.end()
                          : loop->segments.begin() + (found - loop->segments.data());
}

}  // namespace

const Instance::Segment* Instance::SegmentOf(uint64_t element) const {
  const auto after =
      std::upper_bound(segments.begin(), segments.end(), element,
                       [](uint64_t e, const Segment& segment) { return e < segment.first; });
  if (after == segments.begin()) return nullptr;
  const Segment& segment = *std::prev(after);
  // Those of other sources go as far as the next one, or the end.
  if (segment.elements > 0 && element - segment.first >= segment.elements) return nullptr;
  return &segment;
}

uint64_t Run::ByOf(const Instance& instance) const {
  return std::max<uint64_t>(1, graph_.program().regions[instance.region].by);
}

bool Run::HasElement(const Instance& instance, uint64_t index) const {
  return !graph_.region(instance.region).refill ||
         instance.SegmentOf(index * ByOf(instance)) != nullptr;
}

// Null: it is not open.
Instance* Run::LoopOver(const Item& item, uint32_t source) {
  const uint32_t loop = graph_.loops_over(item.instance->region, source).front();
  const Vertex& vertex = item.vertices[loop];
  return vertex.state == VertexState::kOpen ? FindInstance(vertex.value) : nullptr;
}

// ----------------------------------------------------------------------------- when, and for what

uint64_t Run::QueueOf(const Instance& instance) const {
  uint64_t queue = 0;
  for (const uint32_t root : graph_.region(instance.region).roots) {
    const RunGraph::Vertex& vertex = graph_.vertex(instance.region, root);
    if (vertex.is_loop) continue;
    const uint64_t limit =
        LimitOf(graph_.program().nodes[vertex.index].step, LimitKind::kQueue).count;
    if (limit > 0) queue = queue == 0 ? limit : std::min(queue, limit);
  }
  return queue > 0 ? queue : std::max<uint64_t>(1, kQueue / ByOf(instance));
}

// Less than half of the queue is left. A replay leaves this to the end of the load.
void Run::AskSource(Item* item, uint32_t source) {
  if (listener_ == nullptr || item->vertices[source].state != VertexState::kOpen) return;
  const Instance* loop = LoopOver(*item, source);
  if (loop == nullptr) return;
  const uint64_t waiting = loop->available - loop->next;
  const uint64_t queue = QueueOf(*loop);
  // More may wait than that: sources give what they like, and limits change.
  const bool low = waiting < queue && waiting < queue - waiting;
  if (low || waiting == 0) Activate(item, source);
}

void Run::AskSources() {
  for (const auto& [id, instance] : instances_) {
    const RunGraph::RegionInfo& region = graph_.region(instance->region);
    if (region.refill && !instance->closed) AskSource(instance->opener, region.source_vertex);
  }
}

Run::Call Run::NextCall(const Item& item, uint32_t v) {
  const Instance* loop = LoopOver(item, v);
  if (loop == nullptr) {  // The first call; nobody can say how long a queue of another loop is.
    const uint32_t region =
        graph_.vertex(item.instance->region, graph_.loops_over(item.instance->region, v).front())
            .index;
    Instance none(0);
    none.region = region;
    return {.count = CountFor(none)};
  }
  Call call{.count = CountFor(*loop)};
  if (!loop->segments.empty()) {
    call.address = loop->segments.back().address;
    call.element = loop->segments.back().elements;
  }
  return call;
}

// So many that the queue is nine tenths full.
uint64_t Run::CountFor(const Instance& loop) const {
  const uint64_t queue = QueueOf(loop);
  const uint64_t wanted = queue - Batches(queue, 10);
  const uint64_t waiting = loop.available - loop.next;
  return std::max<uint64_t>(1, wanted > waiting ? wanted - waiting : 0) * ByOf(loop);
}

// ------------------------------------------------------------------------------- what a call gave

bool Run::ApplyRefill(const Change& change) {
  Instance* instance = FindInstance(change.instance);
  if (instance == nullptr || change.node >= graph_.program().nodes.size() || change.c < 0 ||
      change.b > kItemsMax || graph_.program().nodes[change.node].region != instance->region) {
    return false;
  }
  Item* item = EnsureBegun(instance, change.item);
  const uint32_t v = graph_.vertex_of_node(change.node);
  if (item == nullptr || item->ended || !graph_.vertex(instance->region, v).refill ||
      IsTerminal(item->vertices[v].state)) {
    return false;
  }
  Vertex& source = item->vertices[v];
  Become(item, v, VertexState::kOpen);
  source.attempts = source.handbacks = source.lease = 0;
  source.losses = 0;
  ++source.pass;  // A lease of this call is none of the next one's.
  Instance* loop = LoopOver(*item, v);
  if (change.b == 0) {
    if (change.a != 0 && listener_ != nullptr) listener_->OnDelete(change.a);
    source.value = 0;
    source.elements = 1;
    // The last cursor is of no use any more.
    if (loop != nullptr && !loop->segments.empty() && loop->segments.back().open == 0) {
      if (listener_ != nullptr) listener_->OnDelete(loop->segments.back().address);
      loop->segments.pop_back();
    }
    EndVertex(item, v, VertexState::kSucceeded);
    return true;
  }
  source.value = change.a;
  source.elements = 1 + change.b;
  declared_[KeyOf(*item, v)] = static_cast<uint64_t>(change.c);
  if (loop != nullptr) {
    TakeCall(item, v, loop);
  } else {
    TryOpen(item, graph_.loops_over(instance->region, v).front());
  }
  return true;
}

// What the last call gave becomes items of the loop; if there is nothing, the source has ended.
void Run::TakeCall(Item* item, uint32_t v, Instance* loop) {
  Vertex& source = item->vertices[v];
  if (source.state != VertexState::kOpen) {
    Grow(loop, loop->elements, /*done=*/source.state == VertexState::kSucceeded);
    return;
  }
  const uint64_t by = ByOf(*loop);
  const uint64_t elements = source.elements - 1;
  if (!loop->segments.empty() && loop->segments.back().open == 0) {
    if (listener_ != nullptr) listener_->OnDelete(loop->segments.back().address);
    loop->segments.pop_back();
  }
  loop->segments.push_back({.first = loop->elements,
                            .address = std::exchange(source.value, 0),
                            .elements = elements,
                            .open = Batches(elements, by)});
  CountDeclared(*loop, -1);
  const auto declared = declared_.find(KeyOf(*item, v));
  if (declared != declared_.end()) {
    if (declared->second != 0) loop->declared = declared->second;
    declared_.erase(declared);
  }
  Grow(loop, loop->elements + Batches(elements, by) * by, /*done=*/false);
  if (graph_.region(loop->region).count == 0) loop->segments.back().open = 0;  // No items either.
  CountDeclared(*loop, 1);
  AskSource(item, v);
}

// A loop whose source has said how many items there will be is as good as settled.
void Run::CountDeclared(const Instance& loop, int64_t by) {
  if (loop.declared == 0) return;
  const uint64_t items = Batches(loop.declared - 1, ByOf(loop));
  regions_[loop.region].declared += by;
  if (items > loop.available) {
    regions_[loop.region].more += by * static_cast<int64_t>(items - loop.available);
  }
}

// An item is over, and nobody will run it again: when all of a call's are, its list goes. Unless it
// holds the cursor for the next call.
void Run::LeaveSegment(Instance* instance, uint64_t index) {
  if (!graph_.region(instance->region).refill) return;
  const auto segment = FindSegment(instance, index * ByOf(*instance));
  if (segment == instance->segments.end()) return;
  CHECK(segment->open > 0);
  if (--segment->open > 0) return;
  const bool has_cursor = std::next(segment) == instance->segments.end() &&
                          (!instance->source_done || instance->source_failed);
  if (has_cursor) return;
  if (listener_ != nullptr) listener_->OnDelete(segment->address);
  instance->segments.erase(segment);
}

// The reverse: an item that was over runs again.
void Run::ReturnToSegment(Instance* instance, uint64_t index) {
  if (!graph_.region(instance->region).refill) return;
  const auto segment = FindSegment(instance, index * ByOf(*instance));
  CHECK(segment != instance->segments.end());
  ++segment->open;
}

void Run::DropSegments(Instance* instance) {
  if (!graph_.region(instance->region).refill) return;
  for (const Instance::Segment& segment : std::exchange(instance->segments, {})) {
    if (listener_ != nullptr) listener_->OnDelete(segment.address);
  }
}

// Which items are still to come, or kept, is known once all that was stored is read.
bool Run::CountOpenItems(Instance* loop) const {
  const uint64_t by = ByOf(*loop);
  for (Instance::Segment& segment : loop->segments) {
    const uint64_t begin = segment.first / by;
    const uint64_t end = begin + Batches(segment.elements, by);
    segment.open = end - std::clamp(loop->next, begin, end);
  }
  for (const Item* item = loop->first_item; item != nullptr; item = item->next) {
    const auto segment = FindSegment(loop, item->index * by);
    if (segment == loop->segments.end()) return false;
    ++segment->open;
  }
  return true;
}

// Nobody will ever take what it gives.
void Run::SkipSource(Item* item, uint32_t v) {
  Vertex& source = item->vertices[v];
  if (IsTerminal(source.state)) return;
  RevokeLease(item, v);
  if (source.state == VertexState::kOpen) DropValue(&source);
  Become(item, v, VertexState::kSkipped);
  --UnitOf(item, v).open;
}

}  // namespace bue::hub
