// ReadyQueue's lines and gates: who waits where, and who goes on when there is room.
//
// At an open gate of whose line somebody waits, one line of that place is in its queue's lists, so
// that a worker that can take any of them finds one. Whenever it leaves, the next is let go on.
#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "common/check.h"
#include "hub/scheduler/ready_queue.h"

namespace bue::hub {
namespace {

// What is on its way to a worker that does not come to start it holds up a rate for so long.
constexpr absl::Duration kStartPatience = absl::Seconds(30);

}  // namespace

// ---------------------------------------------------------------------------------------- lines

bool ReadyQueue::List(Line* line) {
  const Line::Rank rank = line->rank();
  if (line->waits_at != nullptr || rank == Line::kNothing ||
      line->queue->run->state() != RunState::kRunning) {
    return false;
  }
  Gate* shut = line->listed() ? nullptr : Shut(*line);
  if (shut != nullptr) {
    Wait(line, shut);
    return false;
  }
  if (!line->in_list[rank]) {
    line->in_list[rank] = true;
    line->queue->lists[rank].push_back(line);
  }
  Enter(line->queue);
  return true;
}

void ReadyQueue::Unlist(Line* line) {
  if (!line->listed()) return;
  for (int rank = 0; rank < Line::kNothing; ++rank) {
    if (!std::exchange(line->in_list[rank], false)) continue;
    std::deque<Line*>& list = line->queue->lists[rank];
    list.erase(std::find(list.begin(), list.end(), line));
  }
  LeaveGates(*line);
}

void ReadyQueue::LeaveGates(const Line& line) {
  for (Gate* gate : line.gates) MayHaveRoom(gate);
}

// Who was let go on and found the gate shut before he had his turn keeps his place.
void ReadyQueue::Wait(Line* line, Gate* gate) {
  Unlist(line);
  SetWaits(line, gate);
  const Gate::Place place = line->queue->place();
  auto at = absl::c_find_if(gate->waiting, [&](const auto& w) { return w.place >= place; });
  if (at == gate->waiting.end() || at->place != place) {
    at = gate->waiting.insert(at, {.place = place, .lines = {}});
  }
  Fifo<Line*>& waiting = at->lines;
  if (std::exchange(line->called_by, nullptr) == gate) {
    waiting.push_front(line);
  } else {
    waiting.push_back(line);
    line->had = 0;
  }
  if (gate->kind == Gate::Kind::kRate && !blind_) SetTimer(gate, NextLook(*gate));
}

// No line of the run waits there any more.
void ReadyQueue::DropWaiting(Gate* gate, const Run* run) {
  for (Gate::WaitingLines& waiting : gate->waiting) {
    for (Fifo<Line*> all = std::exchange(waiting.lines, {}); !all.empty(); all.pop_front()) {
      if (all.front()->queue->run != run) waiting.lines.push_back(all.front());
    }
  }
  std::erase_if(gate->waiting, [](const auto& waiting) { return waiting.lines.empty(); });
}

// Lines of the run take turns, and so do those of all runs that wait at the same gate.
void ReadyQueue::EndTurn(RunQueue* queue) {
  for (std::deque<Line*>& list : queue->lists) {
    if (list.size() < 2) continue;
    list.push_back(list.front());
    list.pop_front();
  }
  Line* line = std::exchange(queue->next, nullptr);
  if (line == nullptr || !line->listed() || line->rank() == Line::kNothing) return;
  for (Gate* gate : line->gates) {
    const auto waits_there = [&](const auto& waiting) { return waiting.place == queue->place(); };
    if (absl::c_none_of(gate->waiting, waits_there)) continue;
    line->called_by = nullptr;
    Wait(line, gate);
    MayHaveRoom(gate);
    return;
  }
}

// ---------------------------------------------------------------------------------------- gates

Gate* ReadyQueue::FindGate(Run* run, Gate::Kind kind, uint32_t step, const std::string& key) {
  const auto queues = queues_.find(run->number());
  if (queues == queues_.end()) return nullptr;
  if (key.empty()) {
    const auto found = queues->second.gates.find({kind, step});
    return found == queues->second.gates.end() ? nullptr : found->second.for_all.get();
  }
  const auto found = shared_.find({kind, key});
  if (found == shared_.end()) return nullptr;
  const bool named = queues->second.wishes.contains({found->second->number, step});
  return named ? found->second.get() : nullptr;
}

Gate* ReadyQueue::GateFor(Run* run, Gate::Kind kind, uint32_t step, const std::string& key) {
  const bool is_shared = !key.empty();
  std::unique_ptr<Gate>& gate =
      is_shared ? shared_[{kind, key}] : queues_[run->number()].gates[{kind, step}].for_all;
  if (gate == nullptr) {
    gate.reset(new Gate{.number = next_gate_++,
                        .kind = kind,
                        .key = key,
                        .run = is_shared ? nullptr : run,
                        .step = step,
                        .hash = 0,
                        .unknown_until = std::max(is_shared ? known_since_ : absl::InfinitePast(),
                                                  run->starts_unknown_until)});
    if (is_shared) gate->wishes = std::make_unique<absl::btree_multiset<Gate::Wish>>();
    gate->ghosts = GhostsAt(*gate);
  }
  return gate.get();
}

Gate* ReadyQueue::GateOfValue(Run* run, Gate::Kind kind, uint32_t step, uint64_t hash,
                              Gate::Wish wish) {
  auto& gates = queues_[run->number()].gates[{kind, step}].of_values;
  if (wish.count == 0) {
    const auto found = gates.find(hash);
    return found == gates.end() ? nullptr : found->second.get();
  }
  std::unique_ptr<Gate>& gate = gates[hash];
  if (gate == nullptr) {
    gate.reset(new Gate{.number = next_gate_++,
                        .kind = kind,
                        .key = {},
                        .run = run,
                        .step = step,
                        .hash = hash,
                        .unknown_until = run->starts_unknown_until});
    gate->ghosts = GhostsAt(*gate);
    SetWish(gate.get(), run, step, wish);
  }
  return gate.get();
}

std::vector<Gate*> ReadyQueue::GatesOfValues(Run* run, Gate::Kind kind, uint32_t step) const {
  const auto queues = queues_.find(run->number());
  if (queues == queues_.end()) return {};
  const auto gates = queues->second.gates.find({kind, step});
  return gates == queues->second.gates.end() ? std::vector<Gate*>() : InOrder(gates->second);
}

std::vector<Gate*> ReadyQueue::InOrder(const StepGates& gates) {
  std::vector<Gate*> found;
  for (const auto& [hash, gate] : gates.of_values) found.push_back(gate.get());
  absl::c_sort(found, [](const Gate* a, const Gate* b) { return a->number < b->number; });
  return found;
}

void ReadyQueue::SetWish(Gate* gate, Run* run, uint32_t step, Gate::Wish wish) {
  if (gate->run != nullptr) {  // Nobody else has one.
    gate->wish = wish;
    return WishesChanged(gate);
  }
  const auto [known, added] =
      queues_[run->number()].wishes.try_emplace(std::pair(gate->number, step), gate, Gate::Wish());
  if (added) ++gate->users;
  ChangeWish(gate, std::exchange(known->second.second, wish), wish);
}

void ReadyQueue::ChangeWish(Gate* gate, Gate::Wish before, Gate::Wish wish) {
  if (before.count > 0) gate->wishes->erase(gate->wishes->find(before));
  if (wish.count > 0) gate->wishes->insert(wish);
  gate->wish = gate->wishes->empty() ? Gate::Wish() : *gate->wishes->begin();
  WishesChanged(gate);
}

void ReadyQueue::ForgetStarts(absl::Time now) {
  known_since_ = now;
  const auto forget = [now](Gate* gate) {
    if (gate->kind == Gate::Kind::kRate && gate->wish.count > 0) gate->pace.Forget(now);
  };
  for (const auto& [run, queues] : queues_) {
    for (const auto& [place, gates] : queues.gates) {
      if (gates.for_all != nullptr) forget(gates.for_all.get());
      for (const auto& [hash, gate] : gates.of_values) forget(gate.get());
    }
  }
  for (const auto& [key, gate] : shared_) forget(gate.get());
}

void ReadyQueue::WishesChanged(Gate* gate) {
  if (gate->kind == Gate::Kind::kRate && gate->wish.count > 0) {
    gate->pace.Set(gate->wish.count, gate->wish.per, now_);
    if (std::exchange(gate->is_new, false) && gate->unknown_until != absl::InfinitePast()) {
      gate->pace.Forget(gate->unknown_until);
    }
  }
  MayHaveRoom(gate);
}

void ReadyQueue::Pass(Line* line, bool on_its_way) {
  if (line->called_by != nullptr && ++line->had >= WeightOf(*line->queue)) {
    line->called_by = nullptr;
  }
  for (Gate* gate : line->gates) {
    if (gate->kind == Gate::Kind::kRate && !on_its_way) continue;
    ++gate->held;
    gate->moved = now_;
  }
}

void ReadyQueue::Return(const Line& line, bool on_its_way) {
  for (Gate* gate : line.gates) {
    if (gate->kind == Gate::Kind::kRate && !on_its_way) continue;
    CHECK(gate->held > 0);
    --gate->held;
    MayHaveRoom(gate);
  }
}

void ReadyQueue::Start(const Line& line) {
  for (Gate* gate : line.gates) {
    if (gate->kind != Gate::Kind::kRate) continue;
    CHECK(gate->held > 0);
    --gate->held;
    gate->moved = now_;
    if (gate->wish.count == 0) {
      gate->pace.Forget(now_);  // Nobody asks how many.
    } else {
      gate->pace.Start(now_);
    }
    MayHaveRoom(gate);
  }
}

void ReadyQueue::NoteStart(const Line& line, absl::Time at) {
  for (Gate* gate : line.gates) {
    if (gate->kind == Gate::Kind::kRate && at >= gate->unknown_until) gate->pace.Start(at);
  }
}

absl::Time ReadyQueue::NextLook(const Gate& gate) {
  const absl::Time next = gate.pace.next(gate.held);
  return next == absl::InfiniteFuture() ? gate.moved + kStartPatience : next;
}

void ReadyQueue::MayHaveRoom(Gate* gate) {
  if (gate->opened || (gate->waiting.empty() && gate->others.empty())) return;
  gate->opened = true;
  opened_.push_back(gate);
}

bool ReadyQueue::OpenGates(const std::function<bool(const Gate::Waiter&)>& resume) {
  while (!timers_.empty() && timers_.begin()->first.first <= now_) {
    Gate* gate = timers_.begin()->second;
    timers_.erase(timers_.begin());
    gate->timer = absl::InfiniteFuture();
    if (gate->pace.next(gate->held) == absl::InfiniteFuture() && NextLook(*gate) <= now_) {
      stalled_.push_back(gate);
    }
    MayHaveRoom(gate);
    DropIfUnused(gate);
  }
  bool changed = false;
  // Lines that go on may be found to wait elsewhere, which opens a gate for others.
  for (size_t i = 0; i < opened_.size(); ++i) {
    Gate* gate = opened_[i];
    gate->opened = false;
    changed = LetGoOn(gate, resume) || changed;
  }
  opened_.clear();
  return changed;
}

bool ReadyQueue::LetGoOn(Gate* gate, const std::function<bool(const Gate::Waiter&)>& resume) {
  bool changed = false;
  for (auto place = gate->waiting.begin(); place != gate->waiting.end();) {
    Fifo<Line*>& lines = place->lines;
    while (!lines.empty() && HasRoom(*gate)) {
      Line* line = lines.front();
      lines.pop_front();
      SetWaits(line, nullptr);
      line->called_by = gate;
      if (!List(line)) {  // It waits elsewhere, or has nothing any more.
        LookAtLater(line);
        continue;
      }
      changed = true;
      break;
    }
    place = lines.empty() ? gate->waiting.erase(place) : std::next(place);
  }
  if (gate->kind == Gate::Kind::kRate && !blind_ && !gate->waiting.empty() && !HasRoom(*gate)) {
    SetTimer(gate, NextLook(*gate));
  }
  if (gate->others.empty() || !HasRoom(*gate)) return changed;
  // As many as there is room for. Who cannot use it after all tells (MayHaveRoom); who has gone
  // does not, and takes none.
  uint64_t room = gate->kind == Gate::Kind::kRate ? 1 : gate->limit() - gate->count();
  while (room > 0 && !gate->others.empty()) {
    const Gate::Waiter waiter = gate->others.front();
    gate->others.pop_front();
    if (resume(waiter)) --room;
  }
  return true;
}

void ReadyQueue::SetTimer(Gate* gate, absl::Time at) {
  if (gate->timer == at) return;
  if (gate->timer != absl::InfiniteFuture()) timers_.erase({gate->timer, gate->number});
  gate->timer = at;
  timers_.emplace(std::pair(at, gate->number), gate);
}

void ReadyQueue::SetBlind(bool blind) {
  if (std::exchange(blind_, blind) == blind || blind) return;
  for (const auto& [run, queues] : queues_) {
    for (const auto& [place, gates] : queues.gates) {
      if (gates.for_all != nullptr) MayHaveRoom(gates.for_all.get());
      for (Gate* gate : InOrder(gates)) MayHaveRoom(gate);
    }
  }
  for (const auto& [key, gate] : shared_) MayHaveRoom(gate.get());
}

void ReadyQueue::DropGates(Run* run) {
  RunQueues& queues = queues_[run->number()];
  for (const auto& [place, wished] : queues.wishes) {
    const auto& [gate, wish] = wished;
    --gate->users;
    ChangeWish(gate, wish, {});
    DropIfUnused(gate);
  }
  for (const auto& [place, gates] : queues.gates) {
    if (gates.for_all != nullptr) Forget(gates.for_all.get());
    for (const auto& [hash, gate] : gates.of_values) Forget(gate.get());
  }
}

// A pace outlives its runs, and the tasks with its value: who comes again starts no faster.
void ReadyQueue::DropIfUnused(Gate* gate) {
  const bool of_value = gate->hash != 0;
  if (of_value ? gate->lines > 0 : gate->run != nullptr || gate->users > 0) return;
  CHECK(gate->waiting.empty() && gate->held == 0);
  if (gate->kind == Gate::Kind::kRate && gate->pace.rested() > now_) {
    SetTimer(gate, gate->pace.rested());
    return;
  }
  Forget(gate);
  if (of_value) {
    queues_[gate->run->number()].gates[{gate->kind, gate->step}].of_values.erase(
        uint64_t{gate->hash});
  } else {
    shared_.erase({gate->kind, std::string(gate->key)});
  }
}

void ReadyQueue::Forget(Gate* gate) {
  if (gate->opened) opened_.erase(std::find(opened_.begin(), opened_.end(), gate));
  std::erase(stalled_, gate);
  if (gate->timer != absl::InfiniteFuture()) timers_.erase({gate->timer, gate->number});
}

void ReadyQueue::VisitGates(const std::function<void(const Gate&)>& visit) const {
  for (const auto& [run, queues] : queues_) {
    for (const auto& [place, gates] : queues.gates) {
      if (gates.for_all != nullptr) visit(*gates.for_all);
      for (const auto& [hash, gate] : gates.of_values) visit(*gate);
    }
  }
  for (const auto& [key, gate] : shared_) visit(*gate);
}

void ReadyQueue::CheckLines() const {
  absl::btree_set<std::pair<uint64_t, Gate::Place>> on_the_way;  // Gates' numbers, and places.
  for (const auto& [run, queues] : queues_) {
    for (const auto& queue : queues.all) {
      for (const auto& line : queue->lines) {
        if (line->listed()) {
          CHECK(line->waits_at == nullptr && queue->in_ring);
          for (const Gate* gate : line->gates) on_the_way.emplace(gate->number, queue->place());
        } else if (line->waits_at == nullptr && queue->run->state() == RunState::kRunning) {
          CHECK(line->rank() == Line::kNothing);
        }
      }
    }
  }
  VisitGates([&](const Gate& gate) {
    CHECK(gate.ghosts == GhostsAt(gate));
    for (const auto& [place, lines] : gate.waiting) {
      CHECK(!lines.empty());
      for (size_t i = 0; i < lines.size(); ++i) CHECK(lines[i]->waits_at == &gate);
      CHECK(gate.opened || !HasRoom(gate) || on_the_way.contains({gate.number, place}) ||
            (gate.kind == Gate::Kind::kRate && gate.timer <= now_));
    }
  });
}

}  // namespace bue::hub
