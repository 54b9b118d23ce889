// Granting: what is due wakes, then ready tasks go to workers with room.
#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr uint64_t kLoopOfLoopsBit = uint64_t{1} << 63;
// Items begun at a time by a loop whose body starts with loops.
constexpr uint64_t kLoopOfLoopsLive = 64;

}  // namespace

void Scheduler::Impl::Match(absl::Time now, Effects* effects) {
  now_ = now;
  ready_.SetNow(now);
  now_us_ = absl::ToUnixMicros(now);
  effects_ = effects;
  open_group_.clear();
  if (!after_load_.record.changes.empty()) {
    // What followed from loading comes before all else.
    auto& changes = effects->record.changes;
    changes.insert(changes.begin(), after_load_.record.changes.begin(),
                   after_load_.record.changes.end());
    after_load_.record.changes.clear();
  }
  effects->record.history.Append(after_load_.record.history);
  after_load_.record.history.Clear();
  for (Reservation& made : reservations_) {
    if (made.turn == 0) made.turn = turn_;  // While loading: this turn writes it.
  }
  for (const uint64_t address : std::exchange(after_load_.outgoing.promises.deletions, {})) {
    OnDelete(address);
  }
  TakeSynced();
  if (in_grace_ && now >= grace_end_) EndGrace();
  RemoveLostWorkers();
  RecordWorkers();
  EndOverdue();
  StopRuns();
  ExpireRuns();
  WakeDelayed();
  BeginLoopsOfLoops();
  GrantAll();
  OfferNext();
  RecallForIdle();
  ready_.DropIdleLines();
  for (const uint64_t run : std::exchange(ended_, {})) {
    Run* ended = FindRun(run);  // Unless it was retried at once: queues may name its items.
    if (ended == nullptr || ended->active()) continue;
    effects->outgoing.promises.ended.push_back(StatusOf(ended));
    ended->ReleaseMemory();
  }
  effects_ = nullptr;
}

void Scheduler::Impl::WakeDelayed() {
  TimerQueue::Timer timer;
  while (timers_.TakeDue(now_, &timer)) {
    Run* run = FindRun(timer.run);
    if (run == nullptr || !run->active()) continue;
    Item* item = run->FindItem(timer.instance, timer.item);
    if (item == nullptr || item->serial != timer.serial) continue;
    const Vertex& vertex = item->vertices[timer.vertex];
    if (vertex.state != VertexState::kDelayed ||
        vertex.value != static_cast<uint64_t>(timer.due_us)) {
      continue;
    }
    run->Wake(item, timer.vertex);
  }
}

void Scheduler::Impl::RemoveLostWorkers() {
  std::vector<Worker*> lost;
  for (const uint64_t id : workers_.gone()) {
    Worker* worker = workers_.Find(id);
    if (worker->gone_at <= now_) lost.push_back(worker);
  }
  for (Worker* worker : lost) {
    gone_workers_.Add(worker->Status(), /*lost=*/true, now_);
    RemoveWorker(worker, /*lost=*/true);
  }
  if (!lost.empty()) workers_changed_ = true;
}

// --------------------------------------------------------------------------- what becomes ready

void Scheduler::Impl::OnReady(Run* run, Item* item, uint32_t vertex) {
  Line* line = LineOf(run, item, vertex);
  const TaskRef task{.item = item, .serial = item->serial, .vertex = vertex, .ready_us = now_us_};
  if (in_grace_ && item->loaded) {
    ready_.Hold(line, task);
    return;
  }
  // A task that was begun before keeps its place.
  const Vertex& state = item->vertices[vertex];
  ready_.Push(line, task, /*front=*/state.losses > 0 || state.attempts > 0);
}

void Scheduler::Impl::OnDelayed(Run* run, Item* item, uint32_t vertex) {
  timers_.Set(TimerQueue::Timer{.due_us = static_cast<int64_t>(item->vertices[vertex].value),
                                .run = run->number(),
                                .instance = item->instance->id,
                                .item = item->index,
                                .serial = item->serial,
                                .vertex = vertex});
}

// The cursor stands in the queue of each root task; whichever is taken first begins the item. Root
// tasks without a bit carry none; they become ready with the item like all others.
void Scheduler::Impl::OnCursor(Run* run, Instance* instance) {
  const RunGraph::RegionInfo& region = run->graph().region(instance->region);
  if (!region.has_root_task) {
    if ((instance->queued & kLoopOfLoopsBit) != 0) return;
    instance->queued |= kLoopOfLoopsBit;
    loops_of_loops_.push_back(LoopRef{.run = run->number(), .instance = instance->id});
    return;
  }
  const uint64_t missing = region.root_tasks & ~instance->queued;
  if (missing == 0 && !run->LimitsQueues()) return;  // Whoever takes it looks.
  if (!MayBegin(run, instance)) return PassRoomOn(run, instance);
  instance->queued |= missing;
  for (uint64_t bits = missing; bits != 0; bits &= bits - 1) {
    // Loops within begun items go before those that begin more of these.
    ready_.PushCursor(LineOfRoot(run, *instance, std::countr_zero(bits)), instance->id,
                      /*inner=*/region.depth > 1);
  }
}

// Whether the loop may begin an item now. If not, what is missing brings OnCursor again: a
// reservation on disk, an ended item, more elements.
bool Scheduler::Impl::MayBegin(Run* run, Instance* instance) {
  if (instance->closed || !Run::HasMore(*instance)) return false;
  if (run->LimitsQueues() && IsHeldByQueue(run, instance)) return false;
  Reserve(run, instance);
  return instance->next < instance->durable && instance->live < options_.begun_items_max;
}

// Moves the reservation well before it is reached, so that no grant waits for a disk.
void Scheduler::Impl::Reserve(Run* run, Instance* instance) {
  if (instance->reserved - instance->next > options_.reserve_block / 2 ||
      instance->reserved >= instance->available) {
    return;
  }
  uint64_t upto = instance->next + options_.reserve_block;
  if (run->graph().region(instance->region).refill) upto = std::min(upto, instance->available);
  if (upto <= instance->reserved) return;
  reservations_.push_back(
      Reservation{.turn = turn_, .run = run->number(), .instance = instance->id, .upto = upto});
  Do(run, Change{.kind = Change::Kind::kReserve, .instance = instance->id, .a = upto});
}

// Loops whose bodies start with loops: no task's turn begins their items.
void Scheduler::Impl::BeginLoopsOfLoops() {
  std::vector<LoopRef> loops = std::exchange(loops_of_loops_, {});
  for (const LoopRef& loop : loops) {
    Run* run = FindRun(loop.run);
    if (run == nullptr || !run->active()) continue;
    Instance* instance = run->FindInstance(loop.instance);
    if (instance == nullptr) continue;
    instance->queued &= ~kLoopOfLoopsBit;
    while (instance != nullptr && instance->live < kLoopOfLoopsLive && MayBegin(run, instance)) {
      run->BeginNext(instance);
      instance = run->FindInstance(loop.instance);
      if (instance != nullptr) ReadOn(run, instance);
    }
  }
}

// ------------------------------------------------------------------------------------- granting

void Scheduler::Impl::GrantAll() {
  do {
    for (int p = 0; p < kPools; ++p) {
      const Pool pool = static_cast<Pool>(p);
      // Slots that are free first, on all workers alike; then what they ask ahead.
      for (const bool ahead : {false, true}) {
        while (GrantRound(pool, ahead)) {
        }
      }
    }
    // What was granted last may have made room for a pool that had its turn before.
  } while (OpenGates());
}

// How many more tasks of the pool the worker can be granted.
uint32_t Scheduler::Impl::RoomOf(const Worker& worker, Pool pool, bool ahead) const {
  // A hub that restarts must know of everybody who may be running something.
  if (!worker.connected || worker.recorded > synced_) return 0;
  const WorkerRoom& room = worker.room[static_cast<size_t>(pool)];
  const uint32_t limit = ahead ? room.leases : std::min(room.slots, room.leases);
  const uint32_t held = worker.held[static_cast<size_t>(pool)];
  if (limit <= held) return 0;
  return static_cast<uint32_t>(
      std::min<uint64_t>(limit - held, options_.leases_max - leases_.held()));
}

// Gives every worker with room a share. False: nothing was granted.
bool Scheduler::Impl::GrantRound(Pool pool, bool ahead) {
  const WorkerTable::Roomy& roomy = workers_.roomy(pool);
  uint64_t& first = first_of_round_[static_cast<size_t>(pool)];
  uint64_t at = first;
  bool granted = false;
  for (size_t left = roomy.size(); left > 0 && ready_.HasAny(pool); --left) {
    auto next = roomy.upper_bound(at);
    if (next == roomy.end()) next = roomy.begin();
    if (next == roomy.end() || leases_.held() >= options_.leases_max) break;
    Worker* worker = next->second;
    at = worker->id;
    if (const uint32_t room = RoomOf(*worker, pool, ahead); room > 0) {
      if (!granted) first = at;  // Somebody else's turn to be the first in the next round.
      const uint32_t share =
          std::clamp<uint32_t>(worker->room[static_cast<size_t>(pool)].slots / 8, 1, 64);
      granted = GrantSome(worker, pool, std::min(room, share)) > 0 || granted;
    }
    workers_.NoteRoom(worker, pool);
  }
  return granted;
}

uint32_t Scheduler::Impl::GrantSome(Worker* worker, Pool pool, uint32_t most) {
  uint32_t granted = 0;
  while (granted < most) {
    OpenGates();
    RunQueue* queue = ready_.Best(pool, worker->scopes, worker->priority_first, worker->reverse);
    if (queue == nullptr) break;
    const Taken taken = TakeFrom(queue, worker, most - granted);
    const size_t p = static_cast<size_t>(pool);
    if (worker->held[p] > worker->room[p].slots) recalls_.NoteAhead(worker, pool, queue->scope);
    ready_.Took(queue, taken.granted);
    granted += taken.granted + taken.asked;
  }
  return granted;
}

// At most one turn of the run's queue. What is left or out of date is seen to by ReadyQueue::Took.
Scheduler::Impl::Taken Scheduler::Impl::TakeFrom(RunQueue* queue, Worker* worker, uint32_t most) {
  Taken taken;
  const uint32_t turn = ReadyQueue::TurnOf(*queue);
  while (taken.granted + taken.asked < most && queue->taken + taken.granted < turn) {
    Line* line = ready_.NextLine(queue);
    if (line == nullptr) break;
    TaskRef task;
    if (!TakeTask(line, &task)) continue;
    if (line->asks) {
      AskHash(*worker, *line, task);
      ++taken.asked;
    } else {
      Grant(line, worker, task);
      ++taken.granted;
    }
  }
  return taken;
}

bool Scheduler::Impl::TakeTask(Line* line, TaskRef* task) {
  Run* run = line->queue->run;
  while (true) {
    while (!line->tasks.empty()) {
      *task = ready_.Pop(line);
      if (!IsReady(*task)) continue;
      if (BelongsIn(line, *task)) return true;
      ready_.Push(LineOf(run, task->item, task->vertex), *task, /*front=*/false);
    }
    // What it begins may stand elsewhere, and fill what this line goes on behind.
    if (ready_.Shut(*line) != nullptr || !BeginFromCursor(line)) return false;
    // What it began stands in the line of a value and goes first: no more than needed is looked at.
    if (line->asks && line->tasks.empty() && ReadyQueue::HasTasks(*line->queue)) return false;
  }
}

// Begins an item of the first loop that can. Its root tasks then are in their queues.
bool Scheduler::Impl::BeginFromCursor(Line* line) {
  Run* run = line->queue->run;
  while (!line->next_cursors().empty()) {
    const uint64_t id = line->next_cursors().front();
    Instance* instance = run->FindInstance(id);
    if (instance != nullptr && CursorBits(run, *instance, line) != 0 && MayBegin(run, instance)) {
      const uint64_t held_back = ready_.held_back();
      run->BeginNext(instance);
      if (Instance* begun = run->FindInstance(id)) ReadOn(run, begun);
      if (line->asks) NextLoop(line, id, ready_.held_back() != held_back);
      return true;
    }
    line->next_cursors().pop_front();
    if (line->asks) line->asks->begun_in_a_row = 0;
    if (instance == nullptr) continue;
    PassRoomOn(run, instance);
    // What is missing brings it back; so does a change of its root tasks' pool.
    const uint64_t here = CursorBits(run, *instance, line);
    instance->queued &= ~here;
    if (here == 0) {
      instance->queued = 0;
      OnCursor(run, instance);
    }
  }
  return false;
}

// Bits of Instance::queued that mean `line`.
uint64_t Scheduler::Impl::CursorBits(Run* run, const Instance& instance, const Line* line) {
  uint64_t here = 0;
  for (uint64_t bits = run->graph().region(instance.region).root_tasks; bits != 0;
       bits &= bits - 1) {
    const int root = std::countr_zero(bits);
    if (LineOfRoot(run, instance, root) == line) here |= uint64_t{1} << root;
  }
  return here;
}

}  // namespace bue::hub
