// Sources of loops: streaming ones, which tell of their elements as they yield them and wait for
// readers, and `!refill` ones, which are asked call by call (run_refill.cc).
#include <algorithm>

#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr uint64_t kUnlimitedCredit = uint64_t{1} << 62;
constexpr uint64_t kTotalMax = uint64_t{1} << 48;  // Items that a source says it will give.

}  // namespace

// Whether the task is a source whose elements are told of as it yields them.
bool Scheduler::Impl::Streams(Run* run, const Item& item, uint32_t v) {
  const RunGraph::Vertex& vertex = run->graph().vertex(item.instance->region, v);
  return vertex.is_source && !vertex.refill;
}

// How many elements a streaming source may have made in all: a window more than its loops have
// begun to read, so that what waits unread stays small.
uint64_t Scheduler::Impl::CreditOf(Run* run, Item* item, uint32_t source) {
  const RunGraph& graph = run->graph();
  const uint32_t region = item->instance->region;
  uint64_t credit = 0;
  bool read = false;
  for (const uint32_t loop : graph.loops_over(region, source)) {
    const Vertex& vertex = item->vertices[loop];
    if (IsTerminal(vertex.state)) continue;
    // A loop that waits may be waiting for what takes the whole list: that needs its end.
    if (vertex.state != VertexState::kOpen && !graph.dependents(region, source).empty()) continue;
    const uint64_t by =
        std::max<uint64_t>(1, graph.program().regions[graph.vertex(region, loop).index].by);
    const Instance* instance =
        vertex.state == VertexState::kOpen ? run->FindInstance(vertex.value) : nullptr;
    const uint64_t begun = instance == nullptr ? 0 : instance->next * by;
    credit = std::max(credit, begun + std::max(options_.source_window, 2 * by));
    read = true;
  }
  return read ? credit : kUnlimitedCredit;
}

// Tells a running source of more credit once it is worth a message.
void Scheduler::Impl::GiveSourceCredit(Run* run, Item* item, uint32_t source) {
  const Vertex& vertex = item->vertices[source];
  if (vertex.state != VertexState::kLeased || !Streams(run, *item, source)) return;
  struct Lease* lease = leases_.at(vertex.lease - 1);
  const uint64_t credit = CreditOf(run, item, source);
  if (credit < lease->credit + options_.source_window / 2) return;
  const bool was_paused = lease->paused;
  if (!SetPaused(lease, false)) return;
  lease->credit = credit;
  if (was_paused) SourceMoved(lease);
  effects_->outgoing.credits.push_back(
      SourceCredit{.worker = lease->worker->id, .lease = lease->id, .elements = credit});
}

// A source that waits for readers may have none left.
void Scheduler::Impl::OnUnread(Run* run, Item* item, uint32_t source) {
  GiveSourceCredit(run, item, source);
}

// The loop has begun an item: its source may go on.
void Scheduler::Impl::ReadOn(Run* run, Instance* instance) {
  if (instance->source_done) return;
  const uint32_t source = run->graph().region(instance->region).source_vertex;
  if (source != kNoVertex) GiveSourceCredit(run, instance->opener, source);
}

void Scheduler::Impl::HandleProgress(const Worker* worker, const SourceProgress& progress) {
  struct Lease* lease = leases_.Find(progress.lease);
  if (lease == nullptr || lease->worker != worker ||
      !Streams(lease->run, *lease->item, lease->vertex)) {
    return;
  }
  Start(lease);
  if (progress.elements >= lease->credit) SetPaused(lease, true);
  SourceMoved(lease);
  Change change = TaskChange(Change::Kind::kProgress, lease->run, lease->item, lease->vertex);
  change.a = progress.address;
  change.b = progress.elements;
  change.c = static_cast<int64_t>(progress.hash);
  Do(lease->run, change);
  // A loop without tasks reads at once.
  GiveSourceCredit(lease->run, lease->item, lease->vertex);
}

// A call of a `!refill` source gave items, and behind them the cursor for the next one.
void Scheduler::Impl::SourceCalled(Run* run, Item* item, uint32_t v, const Outcome& outcome,
                                   Worker* worker) {
  const bool has_items = outcome.elements > 2;
  if (outcome.elements < 2 || (has_items && outcome.address == 0)) {
    if (outcome.address != 0) OnDelete(outcome.address);
    return Refuse(run, item, v, worker, /*may_retry=*/true,
                  "a !refill step returns (items, cursor); its worker told of neither, it may be "
                  "older than the hub");
  }
  ++worker->done;
  Change change = TaskChange(Change::Kind::kRefill, run, item, v);
  change.a = outcome.address;
  change.b = outcome.elements - 2;
  if (outcome.extra) {
    change.c = static_cast<int64_t>(std::min<uint64_t>(outcome.extra->total, kTotalMax));
  }
  // The call that gives none is the last.
  if (change.b == 0) NoteTaskEnd(*run, *item, v, HistoryEvent::End::kSucceeded, outcome.address);
  Do(run, change);
}

}  // namespace bue::hub
