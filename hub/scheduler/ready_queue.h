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

// What one run has ready, for one pool, scope and priority, and behind the same gates.
struct Line {
  // What it has to offer: that of begun items goes first, then loops within begun items.
  enum Rank : uint8_t { kTasks, kInnerCursors, kCursors, kNothing };

  RunQueue* queue = nullptr;
  const std::vector<Gate*> gates;
  // Of a step whose limits go by values: its kAhead gate. The line is for tasks whose values are
  // not known, and that gate its only one; or it is for some values, and goes when it is empty.
  Gate* const ahead = nullptr;
  const ByValues hashes = {};  // Of the first task's values that it was made for,
  bool shared = false;         // and not of all others: theirs have the same gates.
  const bool asks = ahead != nullptr && gates.size() == 1 && gates[0] == ahead;
  const bool of_values = ahead != nullptr && !asks;
  Line* asking = nullptr;  // Of one for values: that of those not known.
  absl::flat_hash_map<uint64_t, Line*> for_values = {};  // Of that: the others, by their hashes.
  uint32_t begun_in_a_row = 0;                           // Items of the first of its cursors.
  uint32_t in_a_row_max = 0;                             // 0: to be looked up. See NextLoop.
  TaskFifo tasks = {};
  // Instances that can begin items: loops within begun items, then those of the top level.
  Fifo<uint64_t> inner_cursors = {};
  Fifo<uint64_t> cursors = {};
  TaskFifo held = {};           // After a restart: may be running somewhere.
  Gate* waits_at = nullptr;     // It is in none of the queue's lists.
  Gate* called_by = nullptr;    // Where it waited, until it has had something.
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
  // By what they have to pass. A script can have a line for each of its steps.
  absl::flat_hash_map<std::vector<Gate*>, Line*> by_gates;
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
  Line* LineFor(Run* run, Pool pool, absl::string_view scope, int32_t priority,
                std::vector<Gate*> gates, Gate* ahead);
  // That of the same queue as `asking`, for values with these hashes.
  Line* LineFor(Line* asking, std::vector<Gate*> gates, const ByValues& hashes);
  // The same, if it is there; else null.
  static Line* FindLine(const Line& asking, const ByValues& hashes) {
    const auto found = asking.for_values.find(KeyOf(hashes));
    return found == asking.for_values.end() || found->second->hashes != hashes ? nullptr
                                                                               : found->second;
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

  // How many tasks a run is given before the next one has its turn.
  static uint32_t TurnOf(const RunQueue& queue) {
    return kTurnTasks * std::max<uint32_t>(1, queue.run->added().weight);
  }

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
  // Of lines of values in which nothing waits or runs any more so many are kept: the same values
  // are likely to come again.
  void KeepIdleLines(size_t most) { idle_lines_max_ = most; }
  // Forgets those beyond that. Not while a line is in use.
  void DropIdleLines();
  // Adds up what stands in lines of values, by their kAhead gates.
  void CountAhead(absl::btree_map<const Gate*, uint64_t>* tasks) const;

  // After the restart's grace: what was held may be granted.
  void ReleaseHeld();

  // ------------------------------------------------------------------------------------- gates
  // The time from now on; gates look at it.
  void SetNow(absl::Time now) { now_ = now; }
  // Nobody knows what started before `now`.
  void ForgetStarts(absl::Time now) { known_since_ = now; }
  // While it is not known who runs what, gates that count leases are shut.
  void SetBlind(bool blind);

  // The gate of a run's step, for all its tasks or for those with a value; or of all that share
  // `key`. Null: there is none.
  Gate* FindGate(Run* run, Gate::Kind kind, uint32_t step, const std::string& key, uint64_t hash);
  // The same; made when it is new.
  Gate* GateFor(Run* run, Gate::Kind kind, uint32_t step, const std::string& key, uint64_t hash);
  // Those of a step's values.
  std::vector<Gate*> GatesOfValues(Run* run, Gate::Kind kind, uint32_t step);
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
  // Rates at which nothing has moved for long although all that may be is on its way. Each once.
  std::vector<Gate*> TakeStalled() { return std::exchange(stalled_, {}); }
  // Is resumed by OpenGates once the gate has room.
  void WaitForRoom(Gate* gate, const Gate::Waiter& waiter) { gate->others.push_back(waiter); }
  // The gate may have room.
  void MayHaveRoom(Gate* gate);
  // Lets lines go on, and calls `resume` for others, where there is room. False: nothing changed.
  bool OpenGates(const std::function<void(const Gate::Waiter&)>& resume);
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

  static uint64_t KeyOf(const ByValues& hashes) {
    return hashes.size() == 1 ? hashes[0] : absl::HashOf(hashes);
  }
  Line* LineIn(RunQueue* queue, std::vector<Gate*> gates, Gate* ahead, const ByValues& hashes);
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
  static void DropWaiting(Gate* gate, const Run* run);
  bool LetGoOn(Gate* gate, const std::function<void(const Gate::Waiter&)>& resume);
  void EndTurn(RunQueue* queue);
  void LookAtLater(Line* line) {
    if (!line->of_values || std::exchange(line->may_go, true)) return;
    may_go_.push_back(line);
  }
  void DropLine(Line* line);
  void SetTimer(Gate* gate, absl::Time at);
  static absl::Time NextLook(const Gate& gate);
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
    // By step and value.
    absl::btree_map<std::tuple<Gate::Kind, uint32_t, uint64_t>, std::unique_ptr<Gate>> gates;
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
  std::vector<Gate*> opened_;
  std::vector<Gate*> stalled_;
  std::deque<Line*> may_go_;  // Each once; they may be in use again.
  size_t idle_lines_max_ = 0;
  uint64_t held_back_ = 0;
  absl::btree_map<std::pair<absl::Time, uint64_t>, Gate*> timers_;  // By gate's number.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_READY_QUEUE_H_
