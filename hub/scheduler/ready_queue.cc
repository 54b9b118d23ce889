#include "hub/scheduler/ready_queue.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/check.h"

namespace bue::hub {

uint32_t ReadyQueue::EnterScope(absl::string_view name) {
  const auto [found, added] = scope_numbers_.try_emplace(std::string(name), 0);
  if (added && free_scopes_.empty()) {
    found->second = static_cast<uint32_t>(scopes_.size());
    scopes_.emplace_back();
    for (auto& levels : levels_) levels.emplace_back();
  } else if (added) {
    found->second = free_scopes_.back();
    free_scopes_.pop_back();
  }
  Scope& scope = scopes_[found->second];
  if (added) scope.name = found->first;
  ++scope.users;
  return found->second;
}

void ReadyQueue::LeaveScope(uint32_t number) {
  Scope& scope = scopes_[number];
  CHECK(scope.users > 0);
  if (--scope.users > 0) return;
  scope_numbers_.erase(scope.name);
  scope.name = std::string();
  free_scopes_.push_back(number);
}

Line* ReadyQueue::LineFor(Run* run, Pool pool, absl::string_view scope_name, int32_t priority,
                          Gates gates, Gate* ahead) {
  RunQueues& queues = queues_[run->number()];
  const uint32_t scope = EnterScope(scope_name);
  const auto [found, added] = queues.by_place.try_emplace({pool, scope, priority}, nullptr);
  RunQueue*& queue = found->second;
  if (added) {
    queues.all.push_back(std::make_unique<RunQueue>());
    queue = queues.all.back().get();
    queue->run = run;
    queue->pool = pool;
    queue->scope = scope;
    queue->priority = priority;
  } else {
    LeaveScope(scope);
  }
  Line*& line = queue->by_gates[gates];
  if (line == nullptr) {
    line = AddLine(
        queue, new Line{.queue = queue,
                        .gates = std::move(gates),
                        .ahead = ahead,
                        .asks = ahead == nullptr ? nullptr : std::make_unique<LinesByValues>()});
  }
  return line;
}

Line* ReadyQueue::AddLine(RunQueue* queue, Line* line) {
  line->place = queue->lines.size();
  queue->lines.emplace_back(line);
  return line;
}

void ReadyQueue::Push(Line* line, const TaskRef& task, bool front) {
  line->used_again = std::exchange(line->used, true);
  if (line->of_values()) ++line->ahead->held;
  if (WaitsForValue(*line)) ++line->ahead->for_room;
  if (front) {
    line->tasks.PushFront(task);
  } else {
    line->tasks.PushBack(task);
  }
  if (!List(line) && line->of_values()) ++held_back_;
}

TaskRef ReadyQueue::Pop(Line* line) {
  if (line->of_values()) {
    --line->ahead->held;
    MayHaveRoom(line->ahead);
  }
  return line->tasks.PopFront();
}

void ReadyQueue::PushCursor(Line* line, uint64_t instance, bool inner) {
  (inner ? line->inner_cursors : line->cursors).push_back(instance);
  List(line);
}

void ReadyQueue::Enter(RunQueue* queue) {
  if (queue->in_ring || queue->run->state() != RunState::kRunning) return;
  queue->in_ring = true;
  ++in_rings_[static_cast<size_t>(queue->pool)];
  queue->taken = 0;
  LevelsOf(queue->pool, queue->scope)[queue->priority].push_back(queue);
}

void ReadyQueue::Leave(RunQueue* queue) {
  if (!queue->in_ring) return;
  queue->in_ring = false;
  --in_rings_[static_cast<size_t>(queue->pool)];
  Levels& levels = LevelsOf(queue->pool, queue->scope);
  const auto level = levels.find(queue->priority);
  level->second.erase(std::find(level->second.begin(), level->second.end(), queue));
  if (level->second.empty()) levels.erase(level);
}

ReadyQueue::Levels::iterator ReadyQueue::Top(Levels* levels, bool reverse) {
  if (levels->empty()) return levels->end();
  return reverse ? levels->begin() : std::prev(levels->end());
}

RunQueue* ReadyQueue::Best(Pool pool, const std::vector<uint32_t>& scopes, bool priority_first,
                           bool reverse) {
  std::vector<Levels>& all = levels_[static_cast<size_t>(pool)];
  const bool every = scopes.empty();
  const size_t count = every ? all.size() : scopes.size();
  RunQueue* best = nullptr;
  for (size_t i = 0; i < count; ++i) {
    const size_t at = reverse ? count - 1 - i : i;
    Levels& levels = all[every ? at : scopes[at]];
    const auto top = Top(&levels, reverse);
    if (top == levels.end()) continue;
    RunQueue* queue = top->second.front();
    if (!priority_first && !every) return queue;
    const bool better = best == nullptr || (reverse ? queue->priority < best->priority
                                                    : queue->priority > best->priority);
    if (better) best = queue;
  }
  return best;
}

Line* ReadyQueue::NextLine(RunQueue* queue) {
  for (int rank = 0; rank < Line::kNothing; ++rank) {
    std::deque<Line*>& list = queue->lists[rank];
    while (!list.empty()) {
      Line* line = list.front();
      if (line->rank() != rank) {
        list.pop_front();
        line->in_list[rank] = false;
        if (!List(line) && !line->listed()) {
          line->called_by = nullptr;
          LeaveGates(*line);
          LookAtLater(line);
        }
        continue;
      }
      if (Gate* shut = Shut(*line)) {
        Wait(line, shut);
        continue;
      }
      queue->next = line;
      return line;
    }
  }
  return nullptr;
}

void ReadyQueue::Took(RunQueue* queue, uint32_t taken) {
  if (!queue->in_ring) return;
  queue->taken += taken;
  const bool turn_is_over = queue->taken >= TurnOf(*queue);
  if (turn_is_over) EndTurn(queue);
  if (NextLine(queue) == nullptr) {
    Leave(queue);
    return;
  }
  if (!turn_is_over) return;
  queue->taken = 0;
  Ring& ring = LevelsOf(queue->pool, queue->scope)[queue->priority];
  if (ring.front() != queue) return;
  ring.pop_front();
  ring.push_back(queue);
}

void ReadyQueue::Suspend(Run* run) {
  absl::flat_hash_set<Gate*> gates;  // Where lines of it wait.
  for (const auto& queue : queues_[run->number()].all) {
    Leave(queue.get());
    for (std::deque<Line*>& list : queue->lists) list.clear();
    for (const auto& line : queue->lines) {
      if (line->listed()) LeaveGates(*line);
      for (bool& listed : line->in_list) listed = false;
      if (line->waits_at != nullptr) gates.insert(SetWaits(line.get(), nullptr));
      LookAtLater(line.get());
    }
  }
  for (Gate* gate : gates) DropWaiting(gate, run);
}

void ReadyQueue::Resume(Run* run) {
  for (const auto& queue : queues_[run->number()].all) {
    for (const auto& line : queue->lines) List(line.get());
  }
}

void ReadyQueue::Drop(Run* run) {
  Suspend(run);
  DropGates(run);
  bool any_may_go = false;
  for (const auto& queue : queues_[run->number()].all) {
    LeaveScope(queue->scope);
    for (const auto& line : queue->lines) any_may_go = any_may_go || line->may_go;
  }
  if (any_may_go) {
    const auto is_of_run = [&](const Line* line) { return line->queue->run == run; };
    std::erase_if(idle_once_, is_of_run);
    std::erase_if(idle_again_, is_of_run);
  }
  queues_.erase(run->number());
  run->lines.clear();
  run->queue_gates.clear();
  run->async_steps.clear();
}

ReadyQueue::Standing ReadyQueue::TakeAll(Run* run) {
  Suspend(run);
  Standing all;
  for (const auto& queue : queues_[run->number()].all) {
    for (const auto& line : queue->lines) {
      while (!line->tasks.empty()) all.tasks.PushBack(Pop(line.get()));
      LookAtLater(line.get());
      if (line->asks) *line->asks = {};  // Who rearranges may find another one for the same values.
      while (!line->held.empty()) all.held.PushBack(line->held.PopFront());
      for (Fifo<uint64_t>* cursors : {&line->inner_cursors, &line->cursors}) {
        for (; !cursors->empty(); cursors->pop_front()) all.cursors.push_back(cursors->front());
      }
    }
  }
  return all;
}

void ReadyQueue::ReleaseHeld() {
  for (const auto& [run, queues] : queues_) {
    for (const auto& queue : queues.all) {
      for (const auto& line : queue->lines) {
        TaskFifo held = std::exchange(line->held, {});
        while (!held.empty()) Push(line.get(), held.PopFront(), /*front=*/false);
      }
    }
  }
}

void ReadyQueue::CheckInvariants() const {
  for (int p = 0; p < kPools; ++p) {
    uint64_t queues = 0;
    for (const Levels& levels : levels_[p]) {
      for (const auto& [priority, ring] : levels) queues += ring.size();
    }
    CHECK(queues == in_rings_[p]);
  }
  CheckLines();
}

}  // namespace bue::hub
