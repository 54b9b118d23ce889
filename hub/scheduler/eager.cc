// Eager starts: where nothing else waits, a worker goes on to the next task of a chain by itself as
// soon as the value it takes is durable, and the hub hears of both at once. That takes the way to
// the hub and back out of every step of a chain.
//
// An offer is no lease: the hub forgets it. What a worker says it went on to is taken in as if the
// worker had come back with it, and revoked where that does not fit. So an offer needs no place in
// the record, and who is granted something else meanwhile is no worse off than without.
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

// Leases of a turn that may be followed by an offer. More than that were not idle workers'.
constexpr size_t kFollowedMax = 64;

}  // namespace

void Scheduler::Impl::MayBeFollowed(const struct Lease& lease) {
  if (followed_.size() < kFollowedMax) followed_.push_back(lease.id);
}

// After all grants of the turn.
void Scheduler::Impl::OfferNext() {
  for (const uint64_t id : followed_) {
    struct Lease* lease = leases_.Find(id);
    if (lease == nullptr) continue;
    const uint32_t next = NextAlone(*lease);
    if (next != kNoVertex) Offer(lease, next);
  }
  followed_.clear();
}

// The task that takes the value of the lease's, nothing else, and is alone in that: kNoVertex if
// there is none, or it is one whose start only the hub can decide on.
uint32_t Scheduler::Impl::NextAlone(const struct Lease& lease) {
  Run* run = lease.run;
  const RunGraph& graph = run->graph();
  const uint32_t region = lease.item->instance->region;
  const auto dependents = graph.dependents(region, lease.vertex);
  if (dependents.size() != 1 || graph.vertex(region, lease.vertex).is_source) return kNoVertex;
  const uint32_t next = dependents[0];
  const RunGraph::Vertex& vertex = graph.vertex(region, next);
  if (vertex.is_loop || vertex.is_source || vertex.needed != 1) return kNoVertex;
  // Each input: some need what comes from further out.
  const uint32_t node = run->NodeOf(*lease.item, lease.vertex);
  const auto is_its_value = [node](const Input& input) {
    return input.kind == Input::Kind::kNode && input.index == node;
  };
  const bool alone = absl::c_all_of(graph.program().nodes[vertex.index].inputs, is_its_value);
  return alone ? next : kNoVertex;
}

void Scheduler::Impl::Offer(struct Lease* lease, uint32_t next) {
  Run* run = lease->run;
  Worker* worker = lease->worker;
  const Item& item = *lease->item;
  if (run->state() != RunState::kRunning || run->LimitsQueues() || lease->recalled ||
      !worker->connected || worker->recorded > synced_ ||
      item.vertices[next].state != VertexState::kWaiting) {
    return;
  }
  const uint32_t node = run->NodeOf(item, next);
  const Line* line = LineOf(run, node);
  const Pool pool = line->queue->pool;
  // A limit counts what starts before it starts.
  if (line->asks || !line->gates.empty() || line->queue->scope != lease->line->queue->scope) return;
  if (pool != lease->pool && RoomOf(*worker, pool, /*ahead=*/false) == 0) return;
  // Who waits for the slot goes first.
  if (ready_.HasAny(pool) &&
      ready_.Best(pool, worker->scopes, worker->priority_first, worker->reverse) != nullptr) {
    return;
  }
  const Program& program = run->graph().program();
  lease->followed = true;
  GrantGroup* group = &effects_->outgoing.eager.emplace_back();
  *group = {.worker = worker->id,
            .run = run->number(),
            .node = node,
            .step = program.nodes[node].step,
            .instance = item.instance->id,
            .pool = pool,
            .lease = {leases_.NewEagerId()},
            .item = {item.index},
            .attempt = {item.vertices[next].attempts + 1},
            .pass = {run->PassOf(item, next)},
            .handbacks = {item.vertices[next].handbacks},
            .item_prefix = item.instance->prefix,
            .after = lease->id};
  group->inputs.resize(program.nodes[node].inputs.size());
  for (InputColumn& column : group->inputs) column.address.push_back(0);  // As it will be.
}

// Whether what the task takes came to the value it was called with.
bool Scheduler::Impl::WasCalledWith(Run* run, const Item& item, uint32_t v, uint64_t address) {
  const Program& program = run->graph().program();
  return absl::c_all_of(program.nodes[run->NodeOf(item, v)].inputs, [&](const Input& input) {
    if (input.kind != Input::Kind::kNode) return false;
    const Node& node = program.nodes[input.index];
    if (node.region != item.instance->region) return false;
    const Vertex& producer = item.vertices[run->graph().vertex_of_node(input.index)];
    return producer.state == VertexState::kSucceeded && producer.value == address;
  });
}

// Outcomes of a report, and what the worker has gone on to by itself, which may be over, too: each
// of these follows one before it, or an outcome of none of them.
void Scheduler::Impl::HandleEager(Worker* worker, WorkerReported* report) {
  absl::flat_hash_map<uint64_t, Outcome*> of_eager;  // Null: it goes on.
  for (const HeldLease& held : report->eager) of_eager[held.lease] = nullptr;
  for (Outcome& outcome : report->outcomes) {
    const auto eager = of_eager.find(outcome.lease);
    if (eager == of_eager.end()) {
      HandleOutcome(worker, outcome);
    } else {
      eager->second = &outcome;
    }
  }
  for (const HeldLease& held : report->eager) {
    Outcome* outcome = std::exchange(of_eager[held.lease], nullptr);
    const struct Lease* known = leases_.Find(held.lease);  // Said before, on another stream.
    const bool current = (known != nullptr && known->worker == worker) || Adopt(worker, held);
    if (outcome != nullptr) HandleOutcome(worker, *outcome);
    if (current) continue;
    effects_->outgoing.revocations.push_back({.worker = worker->id, .lease = held.lease});
    AddGhost(*worker, {.lease = held.lease, .run = held.run, .node = held.node, .by = held.by});
  }
}

// What a returning worker went on to before the hub heard of what it follows: the outcome comes
// after the hello, and says it again.
bool Scheduler::Impl::IsYetToFollow(const HeldLease& held,
                                    const absl::flat_hash_set<uint64_t>& current) {
  return held.after != 0 && current.contains(held.after);
}

}  // namespace bue::hub
