// Limits: which gates a task has to pass, and what people change about them.
#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

// Of Instance::queued: it waits at a gate.
constexpr uint64_t kAwaitsRoomBit = uint64_t{1} << 62;

Pool PoolOf(const Step& step) {
  if (step.language != Language::kPython) return Pool::kSql;
  switch (step.mode) {
    case Mode::kAsync:
      return Pool::kAsync;
    case Mode::kProcess:
      return Pool::kProcess;
    case Mode::kAuto:
    case Mode::kThread:
      return Pool::kThread;
  }
  return Pool::kThread;
}

}  // namespace

Run::LimitKind Scheduler::Impl::LimitOf(Gate::Kind kind) {
  switch (kind) {
    case Gate::Kind::kAhead:  // Nobody's wish.
    case Gate::Kind::kRunning:
      return Run::LimitKind::kMaxRunning;
    case Gate::Kind::kQueue:
      return Run::LimitKind::kQueue;
    case Gate::Kind::kRate:
      return Run::LimitKind::kRate;
  }
  return Run::LimitKind::kMaxRunning;
}

// That of all tasks of the step. Null: it has no such limit, and never had.
Gate* Scheduler::Impl::GateOf(Run* run, Gate::Kind kind, uint32_t step) {
  const Limit limit = run->LimitOf(step, LimitOf(kind));
  Gate* gate = ready_.FindGate(run, kind, step, limit.key);
  if (gate != nullptr || limit.count == 0) return gate;
  gate = ready_.GateFor(run, kind, step, limit.key);
  ready_.SetWish(gate, run, step, WishOf(kind, limit));
  return gate;
}

Gate::Wish Scheduler::Impl::WishOf(Gate::Kind kind, const Limit& limit) {
  Gate::Wish wish{.count = std::min(limit.count, kCountMax)};
  if (kind == Gate::Kind::kRate) {
    wish.per = std::max(absl::Seconds(limit.per_seconds), absl::Milliseconds(1));
  }
  return wish;
}

// What a task has to pass: its step's own limits, and the queues in front of what comes after it.
Gates Scheduler::Impl::GatesOf(Run* run, uint32_t node) {
  Gates gates;
  for (const Gate::Kind kind : kStepLimits) {
    Gate* gate = GateOf(run, kind, run->graph().program().nodes[node].step);
    if (gate != nullptr) gates.push_back(gate);
  }
  AddQueues(run, node, &gates);
  return gates;
}

void Scheduler::Impl::AddQueues(Run* run, uint32_t node, Gates* gates) {
  if (!run->LimitsQueues()) return;
  const RunGraph& graph = run->graph();
  const std::vector<Node>& nodes = graph.program().nodes;
  const uint32_t region = nodes[node].region;
  for (const uint32_t d : graph.dependents(region, graph.vertex_of_node(node))) {
    const RunGraph::Vertex& after = graph.vertex(region, d);
    if (after.is_loop) continue;
    const uint32_t next = nodes[after.index].step;
    Gate* gate = GateOf(run, Gate::Kind::kQueue, next);
    // What comes before itself would wait for its own queue.
    if (gate == nullptr || ComesAfter(run, nodes[node].step, next)) continue;
    if (!absl::c_linear_search(*gates, gate)) gates->push_back(gate);
  }
}

// Whether a task of `step` can come after one of `first`, in some item, however far.
bool Scheduler::Impl::ComesAfter(Run* run, uint32_t step, uint32_t first) {
  const RunGraph& graph = run->graph();
  const Program& program = graph.program();
  const auto [known, added] = run->steps_after.try_emplace(first);
  std::vector<bool>& after = known->second;
  if (!added) return after[step];
  if (run->next_steps.empty()) {
    run->next_steps.resize(program.steps.size());
    for (uint32_t node = 0; node < program.nodes.size(); ++node) {
      const uint32_t region = program.nodes[node].region;
      for (const uint32_t d : graph.dependents(region, graph.vertex_of_node(node))) {
        const RunGraph::Vertex& next = graph.vertex(region, d);
        if (next.is_loop) continue;
        run->next_steps[program.nodes[node].step].insert(program.nodes[next.index].step);
      }
    }
  }
  after.resize(program.steps.size());
  std::vector<uint32_t> stack{first};
  while (!stack.empty()) {
    const uint32_t at = stack.back();
    stack.pop_back();
    for (const uint32_t next : run->next_steps[at]) {
      if (after[next]) continue;
      after[next] = true;
      stack.push_back(next);
    }
  }
  return after[step];
}

// Of a step whose limits go by values: the line of tasks whose values are not known.
Line* Scheduler::Impl::MakeLine(Run* run, uint32_t node) {
  const Program& program = run->graph().program();
  const uint32_t step = program.nodes[node].step;
  const Step& info = program.steps[step];
  const Pool pool = run->async_steps.contains(step) ? Pool::kAsync : PoolOf(info);
  Gate* ahead = GoesByValues(run, node) ? AheadOf(run, step) : nullptr;
  return ready_.LineFor(run, pool, info.scope, info.priority,
                        ahead == nullptr ? GatesOf(run, node) : Gates{ahead}, ahead);
}

// Where tasks stand has changed: what stands somewhere finds its place anew.
void Scheduler::Impl::Rearrange(Run* run) {
  ReadyQueue::Standing standing = ready_.TakeAll(run);
  run->lines.clear();
  run->queue_gates.clear();
  while (!standing.tasks.empty()) {
    const TaskRef task = standing.tasks.PopFront();
    if (IsReady(task)) ready_.Push(LineOf(run, task.item, task.vertex), task, /*front=*/false);
  }
  while (!standing.held.empty()) {
    const TaskRef task = standing.held.PopFront();
    if (IsReady(task)) ready_.Hold(LineOf(run, task.item, task.vertex), task);
  }
  for (const uint64_t cursor : standing.cursors) {
    if (Instance* instance = run->FindInstance(cursor)) instance->queued = 0;
  }
  for (const uint64_t cursor : standing.cursors) {
    if (Instance* instance = run->FindInstance(cursor)) OnCursor(run, instance);
  }
}

// Every task that begins or starts asks for it. REQUIRES: LimitsQueues.
Gate* Scheduler::Impl::QueueGateOf(Run* run, uint32_t step) {
  std::vector<Gate*>& gates = run->queue_gates;
  if (gates.empty()) {
    for (uint32_t s = 0; s < run->graph().program().steps.size(); ++s) {
      gates.push_back(GateOf(run, Gate::Kind::kQueue, s));
    }
  }
  return gates[step];
}

// Whether an item that begins now would wait in a full queue. It waits for room there. REQUIRES:
// LimitsQueues.
bool Scheduler::Impl::IsHeldByQueue(Run* run, Instance* instance) {
  const RunGraph& graph = run->graph();
  for (const uint32_t root : graph.region(instance->region).roots) {
    const RunGraph::Vertex& vertex = graph.vertex(instance->region, root);
    if (vertex.is_loop) continue;
    Gate* gate = QueueGateOf(run, graph.program().nodes[vertex.index].step);
    if (gate == nullptr || ready_.HasRoom(*gate)) continue;
    if ((instance->queued & kAwaitsRoomBit) == 0) {
      instance->queued |= kAwaitsRoomBit;
      ready_.WaitForRoom(gate, {.run = run->number(), .instance = instance->id});
    }
    return true;
  }
  return false;
}

// The loop begins nothing now, though it may have been let go on because there was room in front of
// what it begins with: others may use that.
void Scheduler::Impl::PassRoomOn(Run* run, const Instance* instance) {
  if (!run->LimitsQueues()) return;
  const RunGraph& graph = run->graph();
  for (const uint32_t root : graph.region(instance->region).roots) {
    const RunGraph::Vertex& vertex = graph.vertex(instance->region, root);
    if (!vertex.is_loop) OnQueueShorter(run, graph.program().nodes[vertex.index].step);
  }
}

// A source that waits for readers runs no more: they may need its place. False: it has to wait
// until there is one again.
bool Scheduler::Impl::SetPaused(struct Lease* lease, bool paused) {
  if (lease->paused == paused) return true;
  if (paused) {
    ready_.Return(*lease->line, /*on_its_way=*/false);
  } else {
    for (Gate* gate : lease->line->gates) {
      if (gate->kind != Gate::Kind::kRunning || ready_.HasRoom(*gate)) continue;
      if (std::exchange(lease->awaits_room, true)) return false;
      ready_.WaitForRoom(gate, {.run = lease->run->number(),
                                .instance = lease->item->instance->id,
                                .item = lease->item->index,
                                .source = lease->vertex});
      return false;
    }
    ready_.Pass(lease->line, /*on_its_way=*/false);
  }
  lease->paused = paused;
  return true;
}

bool Scheduler::Impl::OpenGates() {
  const bool changed = ready_.OpenGates([this](const Gate::Waiter& waiter) {
    Run* run = FindRun(waiter.run);
    if (run == nullptr || !run->active()) return false;
    if (waiter.source != kNoVertex) {
      Item* item = run->FindItem(waiter.instance, waiter.item);
      if (item == nullptr || item->vertices[waiter.source].lease == 0) return false;
      leases_.at(item->vertices[waiter.source].lease - 1)->awaits_room = false;
      GiveSourceCredit(run, item, waiter.source);
      return true;
    }
    Instance* instance = run->FindInstance(waiter.instance);
    if (instance == nullptr) return false;  // It has gone, with its item.
    instance->queued &= ~kAwaitsRoomBit;
    OnCursor(run, instance);
    return true;
  });
  const std::vector<Gate*> stalled = ready_.TakeStalled();
  if (!stalled.empty()) TakeAsStarted({stalled.begin(), stalled.end()});
  return changed || !stalled.empty();
}

// The lease ends here. Until its worker says that its code has, too, that counts as running. (Of
// one whose values nobody knows yet, because a limit by a value was set just now, it does not.)
void Scheduler::Impl::AddGhost(const struct Lease& lease) {
  const ByValues& by = lease.line->hashes;
  AddGhost(*lease.worker, {.lease = lease.id,
                           .run = lease.run->number(),
                           .node = lease.run->NodeOf(*lease.item, lease.vertex),
                           .by = {by.begin(), by.end()}});
}

void Scheduler::Impl::AddGhost(const Worker& worker, const Ghost& ghost) {
  Run* run = FindRun(ghost.run);
  if (run == nullptr || ghost.node >= run->graph().program().nodes.size()) return;
  // A run that a power cut took back may have had the number before.
  if (LeaseTable::IsBefore(ghost.lease, run->added().epoch)) return;
  const uint32_t step = run->graph().program().nodes[ghost.node].step;
  const Limit limit = run->LimitOf(step, Run::LimitKind::kMaxRunning);
  // The first hash is that of its value, if it has one: see kStepLimits.
  const uint64_t hash = limit.by.empty() || ghost.by.empty() ? 0 : ghost.by[0];
  ready_.AddGhost(worker.id, ghost.lease,
                  limit.key.empty() ? ReadyQueue::GhostPlace("", ghost.run, step, hash)
                                    : ReadyQueue::GhostPlace(limit.key, 0, 0, 0));
}

// The task starts now: rates count it.
void Scheduler::Impl::Start(struct Lease* lease) {
  if (std::exchange(lease->on_its_way, false)) ready_.Start(*lease->line);
}

// A module whose import hangs, say: others go on behind it.
void Scheduler::Impl::TakeAsStarted(const absl::flat_hash_set<const Gate*>& gates) {
  const auto is_stalled = [&](const Gate* gate) { return gates.contains(gate); };
  for (const auto& [id, worker] : workers_.all()) {
    for (struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      if (lease->on_its_way && absl::c_any_of(lease->line->gates, is_stalled)) Start(lease);
    }
  }
}

void Scheduler::Impl::OnQueueShorter(Run* run, uint32_t step) {
  if (Gate* gate = QueueGateOf(run, step)) ready_.MayHaveRoom(gate);
}

// A change of a number is felt at its gate. A limit where there was none makes a gate, which counts
// what runs already; where tasks stand may be another place then.
void Scheduler::Impl::Handle(SetLimits& command) {
  Run* run = FindRun(command.run);
  const auto refuse = [&](absl::Status status) {
    Promise(command.request, std::move(status), Done{});
  };
  if (run == nullptr) return refuse(NoRun(command.run));
  if (!run->active()) {
    return refuse(absl::FailedPreconditionError(
        absl::StrCat("run r", command.run, " has ended; its limits hold nothing any more")));
  }
  const std::vector<Step>& steps = run->graph().program().steps;
  std::vector<uint32_t> changed;
  for (uint32_t step = 0; step < steps.size(); ++step) {
    if (steps[step].name == command.step) changed.push_back(step);
  }
  if (changed.empty()) {
    return refuse(absl::NotFoundError(
        absl::StrCat("run r", command.run, " has no step '", command.step, "'")));
  }
  std::vector<struct Lease*> leases;
  for (const auto& [id, worker] : workers_.all()) {
    for (struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      if (lease->run == run) leases.push_back(lease);
    }
  }
  for (const struct Lease* lease : leases) CountOut(*lease);
  for (const uint32_t step : changed) {
    const auto change = [&](Gate::Kind kind, uint64_t count, absl::Duration per) {
      Do(run, Change{.kind = Change::Kind::kLimit,
                     .node = step,
                     .a = static_cast<uint64_t>(LimitOf(kind)),
                     .b = count,
                     .c = count == 0 ? 0 : absl::ToInt64Microseconds(per)});
      std::vector<Gate*> gates = ready_.GatesOfValues(run, kind, step);
      // A step's limit that goes by values is one for all in programs that do not name these.
      const Limit limit = run->LimitOf(step, LimitOf(kind));
      Gate* gate =
          limit.by.empty() ? GateOf(run, kind, step) : ready_.FindGate(run, kind, step, limit.key);
      if (gate != nullptr) gates.push_back(gate);
      for (Gate* one : gates) {
        ready_.SetWish(one, run, step, {.count = std::min(count, kCountMax), .per = per});
      }
    };
    if (command.max_running) change(Gate::Kind::kRunning, *command.max_running, {});
    if (command.queue) change(Gate::Kind::kQueue, *command.queue, {});
    if (command.rate) change(Gate::Kind::kRate, command.rate->count, command.rate->per);
  }
  // What workers may go on to by themselves was under no limit.
  if (absl::c_any_of(leases, [](const struct Lease* lease) { return lease->followed; })) {
    Recall(run);
  }
  Rearrange(run);
  run->AskSources();
  for (struct Lease* lease : leases) {
    FindLine(lease);
    CountIn(lease);
  }
  Promise(command.request, absl::OkStatus(), Done{});
}

// Every gate counts the leases that have to pass it, neither more nor fewer.
void Scheduler::Impl::CheckGates() {
  absl::btree_map<const Gate*, uint64_t> held;
  for (const auto& [id, worker] : workers_.all()) {
    for (const struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      if (lease->paused) continue;
      const Line* line = LineOf(lease->run, lease->item, lease->vertex);
      CHECK(line->of_values() || line->gates == lease->line->gates);
      for (const Gate* gate : lease->line->gates) {
        if (gate->kind != Gate::Kind::kRate || lease->on_its_way) ++held[gate];
      }
    }
  }
  CountAhead(&held);
  ready_.VisitGates([&](const Gate& gate) { CHECK(gate.held == held[&gate]); });
}

}  // namespace bue::hub
