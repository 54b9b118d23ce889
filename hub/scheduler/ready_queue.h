// ReadyQueue holds what could run now, per pool, scope and priority: begun items' ready tasks, and
// the cursors of loops that can begin more items. Within a priority runs take turns; within a run
// begun items go before new ones, then first come, first served. O(1) in and out.
//
// Tasks of a step with a limit stand in a line of their own, with the gates they have to pass.
// While a gate is shut its lines wait there and are in nobody's way; when it has room again, one
// line of each place goes on, and makes way for the next after its turn.
//
// Entries can be out of date (the item was reset, the loop has ended): whoever takes one checks.
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_READY_QUEUE_H_
#define BUE_HUB_SCHEDULER_READY_QUEUE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/check.h"
#include "hub/scheduler/fifo.h"
#include "hub/scheduler/gate.h"
#include "hub/scheduler/run.h"
#include "hub/scheduler/task_fifo.h"

namespace bue::hub {

// Hashes of the values that a task's limits go by.
using ByValues = absl::InlinedVector<uint64_t, 2>;
// What a task has to pass.
using Gates = absl::InlinedVector<Gate*, 2>;

// Of the line for a step's tasks whose values are not known: how the lines for the others are found
// and made.
struct LinesByValues {
  // A limit of the step, as it is for one value or for all.
  struct Limit {
    Gate::Kind kind = Gate::Kind::kRunning;
    bool by_value = false;
    Gate::Wish wish;          // For each value, if it is by value.
    Gate* for_all = nullptr;  // Else the gate; null: there is none.
  };

  absl::flat_hash_map<uint64_t, Line*> lines;
  std::vector<Limit> limits;    // Empty: to be looked up.
  uint32_t in_a_row_max = 0;    // As many items with one value may go together.
  uint32_t begun_in_a_row = 0;  // Items of the first of the line's cursors.
};

// What one run has ready, for one pool, scope and priority, and behind the same gates.
struct Line {
  // What it has to offer: that of begun items goes first, then loops within begun items.
  enum Rank : uint8_t { kTasks, kInnerCursors, kCursors, kNothing };

  RunQueue* queue = nullptr;
  const Gates gates;
  // Of a step whose limits go by values: its kAhead gate. The line is for tasks whose values are
  // not known, and that gate its only one; or it is for some values, and goes when it is empty.
  Gate* const ahead = nullptr;
  const std::unique_ptr<LinesByValues> asks = {};  // Of the former.
  Line* const asking = nullptr;                    // Of one for values: the former.
  const ByValues hashes = {};                      // Of one for values: theirs,
  const uint32_t queues_of = 0;                    // and their node, if `!queue`s tell it apart.
  bool used = false;                               // Something has stood in it, and
  bool used_again = false;                         // something else.
  TaskFifo tasks = {};
  // Instances that can begin items: loops within begun items, then those of the top level.
  Fifo<uint64_t> inner_cursors = {};
  Fifo<uint64_t> cursors = {};
  TaskFifo held = {};           // After a restart: may be running somewhere.
  Gate* waits_at = nullptr;     // It is in none of the queue's lists.
  Gate* called_by = nullptr;    // Where it waited, until it has had its share: so many tasks as its
  uint32_t had = 0;             // run has weight. Since it was called.
  bool in_list[kNothing] = {};  // Of its queue, by rank; valid if that is its rank now.
  uint64_t leases = 0;          // That refer to it.
  size_t place = 0;             // Among the queue's lines.
  bool may_go = false;          // It may be of no use any more.

  Rank rank() const {
    return !tasks.empty()           ? kTasks
           : !inner_cursors.empty() ? kInnerCursors
           : !cursors.empty()       ? kCursors
                                    : kNothing;
  }
  bool of_values() const { return asking != nullptr; }
  bool listed() const { return in_list[kTasks] || in_list[kInnerCursors] || in_list[kCursors]; }
  Fifo<uint64_t>& next_cursors() { return inner_cursors.empty() ? cursors : inner_cursors; }
};

// What one run has ready for one pool, scope and priority.
struct RunQueue {
  Run* run = nullptr;
  Pool pool = Pool::kThread;
  uint32_t scope = 0;
  int32_t priority = 0;
  uint32_t taken = 0;  // Since its turn began.
  bool in_ring = false;
  std::vector<std::unique_ptr<Line>> lines;
  // Those not of values by what they have to pass: a script can have a line for each of its steps.
  absl::flat_hash_map<Gates, Line*> by_gates;
  std::deque<Line*> lists[Line::kNothing];  // That may go on, by rank.
  Line* next = nullptr;                     // What NextLine found last.

  Gate::Place place() const { return {pool, scope, priority}; }
};

class ReadyQueue {
 public:
  // A turn of a run of weight 1: enough that tasks of one node travel together.
  static constexpr uint32_t kTurnTasks = 16;

  // Number of a scope's name; made when it is new, kept until LeaveScope.
  uint32_t EnterScope(absl::string_view name);
  // One of those who entered needs it no more. Without any the scope is forgotten: names come from
  // workers and scripts, and there is no end to them.
  void LeaveScope(uint32_t scope);

  // The run's line for a pool, scope and priority, behind these gates; made when it is new.
  // `ahead`: as Line has it.
  Line* LineFor(Run* run, Pool pool, absl::string_view scope, int32_t priority, Gates gates,
                Gate* ahead);
  // One of the same queue as `asking`, for values with these hashes. `queues_of`: the node of its
  // tasks, if there are queues behind it; else 0.
  Line* MakeLine(Line* asking, Gates gates, const ByValues& hashes, uint32_t queues_of);
  // The same, if it is there; else null.
  static Line* FindLine(const Line& asking, const ByValues& hashes, uint32_t queues_of) {
    const auto& lines = asking.asks->lines;
    const auto found = lines.find(KeyOf(hashes, queues_of));
    if (found == lines.end() || found->second->queues_of != queues_of) return nullptr;
    return found->second->hashes == hashes ? found->second : nullptr;
  }

  void Push(Line* line, const TaskRef& task, bool front);
  TaskRef Pop(Line* line);  // REQUIRES: it has tasks.
  // How many tasks have been pushed, ever, that had to wait for room for their values.
  uint64_t held_back() const { return held_back_; }
  void PushCursor(Line* line, uint64_t instance, bool inner);
  void Hold(Line* line, const TaskRef& task) { line->held.PushBack(task); }

  // Whether anything may be ready for the pool, in any scope.
  bool HasAny(Pool pool) const { return in_rings_[static_cast<size_t>(pool)] > 0; }

  // The next run's queue in the order of `scopes`, then priority (`priority_first`: the reverse of
  // that; `reverse`: both from the low end). Empty `scopes`: all of them, priority first. Null:
  // nothing is ready.
  RunQueue* Best(Pool pool, const std::vector<uint32_t>& scopes, bool priority_first, bool reverse);

  // The line of `queue` whose turn it is, all of whose gates have room; null: there is none.
  Line* NextLine(RunQueue* queue);

  // Whether begun items' tasks may be there that can go on.
  static bool HasTasks(const RunQueue& queue) { return !queue.lists[Line::kTasks].empty(); }

  static uint32_t WeightOf(const RunQueue& queue) {
    return std::max<uint32_t>(1, queue.run->added().weight);
  }

  // How many tasks a run is given before the next one has its turn.
  static uint32_t TurnOf(const RunQueue& queue) { return kTurnTasks * WeightOf(queue); }

  // `taken` more tasks came out of `queue`: ends its turn, or its place in the ring when empty.
  void Took(RunQueue* queue, uint32_t taken);

  // The run may not run now, or again.
  void Suspend(Run* run);
  void Resume(Run* run);
  void Drop(Run* run);

  // All that stands in the run's lines, which are empty then: for who rearranges it.
  struct Standing {
    TaskFifo tasks;
    TaskFifo held;
    std::vector<uint64_t> cursors;
  };
  Standing TakeAll(Run* run);

  // A lease refers to the line, or does no more.
  void AddLease(Line* line) { ++line->leases; }
  void DropLease(Line* line) {
    CHECK(line->leases > 0);
    if (--line->leases == 0) LookAtLater(line);
  }
  // Of lines of values in which nothing waits or runs any more so many are kept: values that have
  // come again are likely to do so once more.
  void KeepIdleLines(size_t most) { idle_lines_max_ = most; }
  // Forgets those beyond that. Not while a line is in use.
  void DropIdleLines();
  // Adds up what stands in lines of values, by their kAhead gates. Dies if these count it wrong.
  void CountAhead(absl::btree_map<const Gate*, uint64_t>* tasks) const;

  // After the restart's grace: what was held may be granted.
  void ReleaseHeld();

  // ------------------------------------------------------------------------------------- gates
  // The time from now on; gates look at it.
  void SetNow(absl::Time now) { now_ = now; }
  // Nobody knows what started before `now`.
  void ForgetStarts(absl::Time now);
  // While it is not known who runs what, gates that count leases are shut.
  void SetBlind(bool blind);

  // The gate of a run's step, for all its tasks; or of all that share `key`. Null: there is none.
  Gate* FindGate(Run* run, Gate::Kind kind, uint32_t step, const std::string& key);
  // The same; made when it is new.
  Gate* GateFor(Run* run, Gate::Kind kind, uint32_t step, const std::string& key);
  // That of a value; made when it is new, unless nothing is wished of it (then null).
  Gate* GateOfValue(Run* run, Gate::Kind kind, uint32_t step, uint64_t hash, Gate::Wish wish);
  // Those of a step's values.
  std::vector<Gate*> GatesOfValues(Run* run, Gate::Kind kind, uint32_t step) const;
  // What a step of the run wishes of the gate from now on; a count of 0: nothing.
  void SetWish(Gate* gate, Run* run, uint32_t step, Gate::Wish wish);
  // A lease of a task of the line has begun, or ended. `on_its_way`: a rate waits for its start.
  void Pass(Line* line, bool on_its_way);
  void Return(const Line& line, bool on_its_way);
  // The task of such a lease has started: it is on its way no more.
  void Start(const Line& line);
  // Of another one it turns out that it has started, then.
  static void NoteStart(const Line& line, absl::Time at);
  static bool HasRate(const Line& line) {
    return absl::c_any_of(line.gates, [](const Gate* g) { return g->kind == Gate::Kind::kRate; });
  }
  // Leases that are over while their code goes on: gates that count what runs count them. Where: at
  // that of a key, or of a run, a step and a value's hash (0: for all).
  using GhostPlace = std::tuple<std::string, uint64_t, uint32_t, uint64_t>;
  void AddGhost(uint64_t worker, uint64_t lease, const GhostPlace& place);
  // The worker has a new number. False: there is no such ghost.
  bool MoveGhost(uint64_t from, uint64_t worker, uint64_t lease);
  void EndGhost(uint64_t worker, uint64_t lease);  // If there is such a one.
  void EndGhosts(uint64_t worker);
  // Rates at which nothing has moved for long although all that may be is on its way. Each once.
  std::vector<Gate*> TakeStalled() { return std::exchange(stalled_, {}); }
  // Is resumed by OpenGates once the gate has room.
  void WaitForRoom(Gate* gate, const Gate::Waiter& waiter) { gate->others.push_back(waiter); }
  // The gate may have room.
  void MayHaveRoom(Gate* gate);
  // Lets lines go on, and calls `resume` for others, where there is room; that is false for who has
  // gone. False: nothing changed.
  bool OpenGates(const std::function<bool(const Gate::Waiter&)>& resume);
  // When a gate may have room again by itself.
  absl::Time NextOpening() const {
    return timers_.empty() ? absl::InfiniteFuture() : timers_.begin()->first.first;
  }
  bool HasRoom(const Gate& gate) const {
    return !(blind_ && gate.kind != Gate::Kind::kAhead) && gate.HasRoom(now_);
  }
  // What keeps the line from going on; null: nothing.
  Gate* Shut(const Line& line) const {
    for (Gate* gate : line.gates) {
      if (!HasRoom(*gate)) return gate;
    }
    return nullptr;
  }
  void VisitGates(const std::function<void(const Gate&)>& visit) const;

  // Dies if HasAny would be wrong, or a line was forgotten at a gate.
  void CheckInvariants() const;

 private:
  // Queues of one priority, taking turns.
  using Ring = std::deque<RunQueue*>;
  using Levels = absl::btree_map<int32_t, Ring>;
  struct StepGates {
    std::unique_ptr<Gate> for_all;
    absl::flat_hash_map<uint64_t, std::unique_ptr<Gate>> of_values;  // By hash: in no order.
  };

  static uint64_t KeyOf(const ByValues& hashes, uint32_t queues_of) {
    return hashes.size() == 1 && queues_of == 0 ? hashes[0] : absl::HashOf(hashes, queues_of);
  }
  static Line* AddLine(RunQueue* queue, Line* line);  // Takes it.
  void Enter(RunQueue* queue);
  void Leave(RunQueue* queue);
  Levels& LevelsOf(Pool pool, uint32_t scope) { return levels_[static_cast<size_t>(pool)][scope]; }
  Levels::iterator Top(Levels* levels, bool reverse);

  // ready_lines.cc
  bool List(Line* line);  // False: it has nothing, or waits.
  void Unlist(Line* line);
  void LeaveGates(const Line& line);  // Others may go on in its place.
  void CheckLines() const;
  void Wait(Line* line, Gate* gate);
  // Null: the line waits nowhere any more.
  static Gate* SetWaits(Line* line, Gate* gate) {
    if (WaitsForValue(*line)) line->ahead->for_room -= line->tasks.size();
    Gate* before = std::exchange(line->waits_at, gate);
    if (WaitsForValue(*line)) line->ahead->for_room += line->tasks.size();
    return before;
  }
  static bool WaitsForValue(const Line& line) {
    return line.waits_at != nullptr && line.waits_at->hash != 0;
  }
  static void DropWaiting(Gate* gate, const Run* run);
  bool LetGoOn(Gate* gate, const std::function<bool(const Gate::Waiter&)>& resume);
  void EndTurn(RunQueue* queue);
  void LookAtLater(Line* line) {
    if (!line->of_values() || std::exchange(line->may_go, true)) return;
    (line->used_again ? idle_again_ : idle_once_).push_back(line);
  }
  void DropIdleLines(std::deque<Line*>* idle, size_t most);
  void DropLine(Line* line);
  void SetTimer(Gate* gate, absl::Time at);
  static absl::Time NextLook(const Gate& gate);
  Gate* GateOf(const GhostPlace& place);  // Null: there is none.
  static GhostPlace PlaceOf(const Gate& gate);
  void CountGhosts(const GhostPlace& place, int64_t more);
  uint64_t GhostsAt(const Gate& gate) const;
  static std::vector<Gate*> InOrder(const StepGates& gates);  // Those of values.
  void ChangeWish(Gate* gate, Gate::Wish before, Gate::Wish wish);
  void WishesChanged(Gate* gate);
  void DropGates(Run* run);
  void DropIfUnused(Gate* gate);
  void Forget(Gate* gate);  // It is about to go.

  struct Scope {
    std::string name;
    uint64_t users = 0;  // 0: the number is free.
  };
  // A script can have a queue for each of its steps: they are found by what they are for.
  struct RunQueues {
    std::vector<std::unique_ptr<RunQueue>> all;  // Never one less while the run is under way.
    absl::flat_hash_map<std::tuple<Pool, uint32_t, int32_t>, RunQueue*> by_place;
    absl::btree_map<std::pair<Gate::Kind, uint32_t>, StepGates> gates;  // By step.
    // What its steps wish of shared gates.
    absl::btree_map<std::pair<uint64_t, uint32_t>, std::pair<Gate*, Gate::Wish>>
        wishes;  // By gate, step.
  };

  absl::flat_hash_map<std::string, uint32_t> scope_numbers_;
  std::vector<Scope> scopes_;  // By number.
  std::vector<uint32_t> free_scopes_;
  std::vector<Levels> levels_[kPools];           // By scope.
  uint64_t in_rings_[kPools] = {};               // Queues in levels_.
  absl::btree_map<uint64_t, RunQueues> queues_;  // By run.

  absl::Time now_ = absl::InfinitePast();
  absl::Time known_since_ = absl::InfinitePast();
  bool blind_ = false;
  uint64_t next_gate_ = 1;
  absl::btree_map<std::pair<Gate::Kind, std::string>, std::unique_ptr<Gate>> shared_;  // By key.
  absl::btree_map<std::pair<uint64_t, uint64_t>, GhostPlace> ghosts_;  // By worker, lease.
  absl::btree_map<GhostPlace, uint64_t> ghosts_at_;
  std::vector<Gate*> opened_;
  std::vector<Gate*> stalled_;
  // Lines of values that may be of no use any more, each once; of values that have come once or
  // again.
  std::deque<Line*> idle_once_;
  std::deque<Line*> idle_again_;
  size_t idle_lines_max_ = 0;
  uint64_t held_back_ = 0;
  absl::btree_map<std::pair<absl::Time, uint64_t>, Gate*> timers_;  // By gate's number.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_READY_QUEUE_H_
