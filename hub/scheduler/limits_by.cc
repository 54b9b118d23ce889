// Limits that go by a value (`!max_running 2 by account`): each value has gates and a line of its
// own. The hub sees no values; it asks the worker that would be granted the task for their hashes,
// a value once for all the tasks that go by it. So many tasks of a step are looked at ahead.
#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr uint32_t kRequestValues = 1024;
constexpr uint32_t kAskedInARow = 16;
constexpr int kStoreShift = 48;  // Of an address: above it is the number of its store.

uint64_t Mixed(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15 + b;
  x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
  x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
  return x ^ x >> 32;
}

}  // namespace

struct Scheduler::Impl::ByValue {
  Item* holder = nullptr;  // The item that has it.
  uint64_t address = 0;    // Of a task's value; 0: None, or it is an element.
  uint64_t number = 0;     // Of an element of a `range`: a hash of it, never 0.
};

bool Scheduler::Impl::GoesByValues(Run* run, uint32_t node) const {
  const Node& info = run->graph().program().nodes[node];
  if (info.by == 0) return false;
  for (const Gate::Kind kind : kStepLimits) {
    const Limit limit = run->LimitOf(info.step, LimitOf(kind));
    if (!limit.by.empty() && limit.count > 0) return true;
  }
  return false;
}

// What keeps tasks from being looked at without end.
Gate* Scheduler::Impl::AheadOf(Run* run, uint32_t step) {
  Gate* gate = ready_.FindGate(run, Gate::Kind::kAhead, step, /*key=*/"");
  if (gate != nullptr) return gate;
  gate = ready_.GateFor(run, Gate::Kind::kAhead, step, /*key=*/"");
  ready_.SetWish(gate, run, step, {.count = options_.by_ahead});
  return gate;
}

Scheduler::Impl::ByValue Scheduler::Impl::ValueOf(Run* run, Item* item, const Input& input) {
  const RunGraph& graph = run->graph();
  ByValue value{.holder = Run::Around(item, graph.holder(input))};
  if (input.kind == Input::Kind::kNode) {
    value.address = value.holder->vertices[graph.vertex_of_node(input.index)].value;
  } else if (graph.program().regions[input.index].source_node == kNoNode) {
    value.number = std::max<uint64_t>(1, Mixed(1, value.holder->index));
  }
  return value;
}

// 0: not known.
uint64_t Scheduler::Impl::HashOf(Run* run, Item* item, const Input& input) {
  const ByValue value = ValueOf(run, item, input);
  if (value.number != 0) return value.number;
  const ByHashes::Entry* entry = run->by_hashes.Find(value.holder->serial, input, value.address);
  return entry == nullptr ? 0 : entry->hash;
}

// Empty: some are not known. REQUIRES: it has some.
ByValues Scheduler::Impl::HashesOf(Run* run, Item* item, uint32_t node) {
  ByValues hashes;
  for (const Input& input : ByOf(run->graph().program(), node)) {
    const uint64_t hash = HashOf(run, item, input);
    if (hash == 0) return {};
    hashes.push_back(hash);
  }
  return hashes;
}

// The limits of the line's step, as its lines of values need them.
const LinesByValues& Scheduler::Impl::LimitsOf(Line* asking) {
  LinesByValues& by = *asking->asks;
  if (!by.limits.empty()) return by;
  Run* run = asking->queue->run;
  const uint32_t step = asking->ahead->step;
  uint64_t most = kCountMax;
  for (const Gate::Kind kind : kStepLimits) {
    const Limit limit = run->LimitOf(step, LimitOf(kind));
    by.limits.push_back({.kind = kind, .by_value = !limit.by.empty(), .wish = WishOf(kind, limit)});
    if (limit.by.empty()) by.limits.back().for_all = GateOf(run, kind, step);
    if (limit.by.empty() || limit.count == 0) continue;
    const Gate::Wish& wish = by.limits.back().wish;
    const bool is_rate = kind == Gate::Kind::kRate;
    most = std::min<uint64_t>(most, is_rate ? Pace::BurstOf(wish.count, wish.per) : wish.count);
  }
  by.in_a_row_max = static_cast<uint32_t>(most);
  return by;
}

// Where a task of the node stands, or would.
Line* Scheduler::Impl::LineByValues(Line* asking, Run* run, Item* item, uint32_t node) {
  const Node& info = run->graph().program().nodes[node];
  if (info.by == 0) return asking;
  const ByValues hashes = HashesOf(run, item, node);
  if (hashes.empty()) return asking;
  const uint32_t queues_of = run->LimitsQueues() ? node : 0;
  Line* known = ReadyQueue::FindLine(*asking, hashes, queues_of);
  if (known != nullptr) return known;
  Gates gates;
  size_t next_hash = 0;
  for (const LinesByValues::Limit& limit : LimitsOf(asking).limits) {
    Gate* gate = limit.for_all;
    if (limit.by_value) {
      gate = ready_.GateOfValue(run, limit.kind, info.step, hashes[next_hash++], limit.wish);
    }
    if (gate != nullptr) gates.push_back(gate);
  }
  AddQueues(run, node, &gates);
  return ready_.MakeLine(asking, std::move(gates), hashes, queues_of);
}

// An item of the loop has begun. Other loops' items may go by other values: they have their turn
// once the item waits for room for its value, or as many have begun as may go together. Of items
// whose value has to be asked for few are begun: it may be the same.
void Scheduler::Impl::NextLoop(Line* asking, uint64_t loop, bool is_held_back) {
  const bool is_known = asking->tasks.empty();
  const uint32_t most =
      std::min(LimitsOf(asking).in_a_row_max, is_known ? UINT32_MAX : kAskedInARow);
  uint32_t& begun = asking->asks->begun_in_a_row;
  if (++begun < most && !is_held_back) return;
  begun = 0;
  Fifo<uint64_t>& cursors = asking->next_cursors();
  if (cursors.empty() || cursors.front() != loop) return;
  cursors.pop_front();
  cursors.push_back(loop);
}

bool Scheduler::Impl::BelongsByValues(Line* line, const TaskRef& task) {
  Run* run = line->queue->run;
  if (line->of_values()) {  // The usual cases, told more quickly.
    const uint32_t node = run->NodeOf(*task.item, task.vertex);
    const std::vector<Input>& by = ByOf(run->graph().program(), node);
    // Elements stay what they are; values can be made again.
    if (absl::c_all_of(by, [](const Input& i) { return i.kind == Input::Kind::kElement; })) {
      return true;
    }
    if (HashesOf(run, task.item, node) == line->hashes) return true;
  }
  return LineOf(run, task.item, task.vertex) == line;
}

// ---------------------------------------------------------------------------------- asking

// For the first of the task's values that is not known. The task waits for the answer.
void Scheduler::Impl::AskHash(const Worker& worker, const Line& line, const TaskRef& task) {
  Run* run = line.queue->run;
  const Node& node = run->graph().program().nodes[run->NodeOf(*task.item, task.vertex)];
  const std::vector<Input>& by = ByOf(run->graph().program(), node);
  const auto input = std::find_if(by.begin(), by.end(),
                                  [&](const Input& i) { return HashOf(run, task.item, i) == 0; });
  CHECK(input != by.end());
  ++line.ahead->held;
  const WaitingTask waiting{.task = task, .step = node.step};
  const ByValue value = ValueOf(run, task.item, *input);
  const uint64_t serial = value.holder->serial;
  if (const ByHashes::Entry* asked = run->by_hashes.Find(serial, *input, value.address)) {
    asks_.at(asked->ask).wanted[asked->position].tasks.push_back(waiting);
    return;
  }
  InputColumn place;
  if (input->kind == Input::Kind::kNode) {
    place.address.push_back(value.address);
  } else {
    AddElement(run, task.item, input->index, &place);
  }
  Ask* ask = AskFor(worker, run, *input, place.address[0]);
  HashRequest& request = effects_->outgoing.hash_requests[ask->request];
  run->by_hashes.Set(serial, *input,
                     {.address = value.address, .ask = request.id, .position = request.count});
  ++request.count;
  request.values.kind = place.kind;
  for (const uint64_t address : place.address) request.values.address.push_back(address);
  for (const uint64_t first : place.first) request.values.first.push_back(first);
  for (const uint32_t count : place.count) request.values.count.push_back(count);
  ask->wanted.push_back({.instance = value.holder->instance->id,
                         .item = value.holder->index,
                         .serial = serial,
                         .input = *input,
                         .tasks = {waiting}});
}

// The turn's ask of the worker for values of that input in the store of `address`: one that is away
// holds up nothing that lies elsewhere.
Scheduler::Impl::Ask* Scheduler::Impl::AskFor(const Worker& worker, Run* run, const Input& input,
                                              uint64_t address) {
  const auto [open, is_new] = open_asks_.try_emplace(
      {worker.id, run->number(), input.kind, input.index, address >> kStoreShift});
  if (!is_new) {
    const auto ask = asks_.find(open->second);  // Its tasks may have gone since.
    if (ask != asks_.end() && ask->second.wanted.size() < kRequestValues) return &ask->second;
  }
  auto& requests = effects_->outgoing.hash_requests;
  const uint64_t id = options_.epoch << 40 | ++last_ask_;
  open->second = id;
  asks_[id] = {.worker = worker.id, .run = run->number(), .request = requests.size()};
  requests.push_back({.worker = worker.id, .id = id});
  return &asks_[id];
}

void Scheduler::Impl::HandleHashes(const Worker& worker, const HashReply& reply) {
  const auto found = asks_.find(reply.id);
  if (found == asks_.end() || found->second.worker != worker.id) return;
  const Ask ask = std::move(found->second);
  asks_.erase(found);
  Run* run = FindRun(ask.run);
  for (size_t i = 0; i < ask.wanted.size(); ++i) {
    TakeHash(run, ask.wanted[i], reply.id, i < reply.hashes.size() ? reply.hashes[i] : 0);
  }
}

// `hash` 0: the value cannot be read. Its tasks have a limit of their own then; that they cannot be
// run, or that they can without it, shows when they are granted.
void Scheduler::Impl::TakeHash(Run* run, const WantedHash& wanted, uint64_t id, uint64_t hash) {
  Item* item = run->FindItem(wanted.instance, wanted.item);
  if (item != nullptr && item->serial == wanted.serial) {
    const ByValue value = ValueOf(run, item, wanted.input);
    ByHashes::Entry* entry = run->by_hashes.Find(wanted.serial, wanted.input, value.address);
    if (entry != nullptr && entry->hash == 0 && entry->ask == id) {
      entry->hash = hash != 0 ? hash : std::max<uint64_t>(1, Mixed(wanted.serial, value.address));
    }
  }
  run->by_hashes.ForgetAsk(wanted.serial, wanted.input, id);  // Another value took its place.
  for (const WaitingTask& waiting : wanted.tasks) TakeBack(run, waiting, /*front=*/false);
}

// The task waits for an answer no more.
void Scheduler::Impl::TakeBack(Run* run, const WaitingTask& waiting, bool front) {
  Gate* ahead = AheadOf(run, waiting.step);
  CHECK(ahead->held > 0);
  --ahead->held;
  ready_.MayHaveRoom(ahead);
  const TaskRef& task = waiting.task;
  if (IsReady(task)) {
    // A task that was begun before keeps its place.
    const Vertex& vertex = task.item->vertices[task.vertex];
    ready_.Push(LineOf(run, task.item, task.vertex), task,
                front || vertex.losses > 0 || vertex.attempts > 0);
  } else {
    CountUnderValue(run, task);
  }
}

// A lease that was granted when nobody knew its values: from now on it counts for them.
void Scheduler::Impl::CountUnderValue(Run* run, const TaskRef& task) {
  if (task.item->serial != task.serial) return;
  const Vertex& vertex = task.item->vertices[task.vertex];
  if (vertex.state != VertexState::kLeased || vertex.lease == 0) return;
  struct Lease* lease = leases_.at(vertex.lease - 1);
  if (!lease->line->asks) return;
  CountOut(*lease);
  SetLine(lease, LineOf(run, task.item, task.vertex));
  CountIn(lease);
}

// Where the lease counts: of one whose values are not known its worker is asked.
void Scheduler::Impl::FindLine(struct Lease* lease) {
  SetLine(lease, LineOf(lease->run, lease->item, lease->vertex));
  const uint32_t node = lease->run->NodeOf(*lease->item, lease->vertex);
  if (!lease->line->asks || ByOf(lease->run->graph().program(), node).empty()) return;
  if (!lease->worker->connected) return;  // Until it is back.
  AskHash(*lease->worker, *lease->line,
          {.item = lease->item, .serial = lease->item->serial, .vertex = lease->vertex});
}

// Whether a worker is asked for a value of some task of the step. For people, who want to know.
bool Scheduler::Impl::IsAsking(const Run* run, uint32_t step) const {
  const auto is_of_step = [&](const WaitingTask& waiting) { return waiting.step == step; };
  const auto is_wanted = [&](const WantedHash& wanted) {
    return absl::c_any_of(wanted.tasks, is_of_step);
  };
  return absl::c_any_of(asks_, [&](const auto& ask) {
    return ask.second.run == run->number() && absl::c_any_of(ask.second.wanted, is_wanted);
  });
}

// The worker's stream is over: it will answer nothing more.
void Scheduler::Impl::AskAgain(const Worker& worker) {
  std::vector<std::pair<uint64_t, Ask>> unanswered;
  for (auto ask = asks_.begin(); ask != asks_.end();) {
    if (ask->second.worker != worker.id) {
      ++ask;
      continue;
    }
    unanswered.emplace_back(ask->first, std::move(ask->second));
    ask = asks_.erase(ask);
  }
  // The last first: each goes to the front.
  std::reverse(unanswered.begin(), unanswered.end());  // Each of their tasks goes to the front.
  for (auto& [id, ask] : unanswered) {
    Run* run = FindRun(ask.run);
    std::reverse(ask.wanted.begin(), ask.wanted.end());
    for (WantedHash& wanted : ask.wanted) {
      run->by_hashes.ForgetAsk(wanted.serial, wanted.input, id);
      std::reverse(wanted.tasks.begin(), wanted.tasks.end());
      for (const WaitingTask& waiting : wanted.tasks) TakeBack(run, waiting, /*front=*/true);
    }
  }
}

// The run's lines and gates are gone.
void Scheduler::Impl::ForgetAsks(Run* run) {
  absl::erase_if(asks_, [&](const auto& ask) { return ask.second.run == run->number(); });
  run->by_hashes.ForgetAsked();
}

// A worker that comes back with the task says what it was granted with.
void Scheduler::Impl::KnowHashes(Run* run, Item* item, uint32_t node,
                                 const std::vector<uint64_t>& hashes) {
  const std::vector<Input>& by = ByOf(run->graph().program(), node);
  if (hashes.size() != by.size()) return;
  for (size_t i = 0; i < by.size(); ++i) {
    const ByValue value = ValueOf(run, item, by[i]);
    if (value.number != 0 || hashes[i] == 0) continue;
    run->by_hashes.Set(value.holder->serial, by[i], {.hash = hashes[i], .address = value.address});
  }
}

// Tasks that are asked for, or stand in lines of values. For CheckGates.
void Scheduler::Impl::CountAhead(absl::btree_map<const Gate*, uint64_t>* held) {
  for (const auto& [id, ask] : asks_) {
    Run* run = FindRun(ask.run);
    for (const WantedHash& wanted : ask.wanted) {
      for (const WaitingTask& waiting : wanted.tasks) ++(*held)[AheadOf(run, waiting.step)];
    }
  }
  ready_.CountAhead(held);
}

}  // namespace bue::hub
