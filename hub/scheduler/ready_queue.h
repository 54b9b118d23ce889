// ReadyQueue holds what could run now, per pool, scope and priority: begun items' ready tasks, and
// the cursors of loops that can begin more items. Within a priority runs take turns; within a run
// begun items go before new ones, then first come, first served. O(1) in and out.
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
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "hub/scheduler/run.h"
#include "hub/scheduler/task_fifo.h"

namespace bue::hub {

// What one run has ready for one pool, scope and priority.
struct RunQueue {
  Run* run = nullptr;
  Pool pool = Pool::kThread;
  uint32_t scope = 0;
  int32_t priority = 0;
  uint32_t taken = 0;  // Since its turn began.
  bool in_ring = false;
  TaskFifo tasks;
  // Instances that can begin items: loops within begun items, then those of the top level.
  std::deque<uint64_t> inner_cursors;
  std::deque<uint64_t> cursors;
  TaskFifo held;  // After a restart: may be running somewhere.

  bool empty() const { return tasks.empty() && inner_cursors.empty() && cursors.empty(); }
  std::deque<uint64_t>& next_cursors() { return inner_cursors.empty() ? cursors : inner_cursors; }
};

class ReadyQueue {
 public:
  // Number of a scope's name; made when it is new, kept until LeaveScope.
  uint32_t EnterScope(absl::string_view name);
  // One of those who entered needs it no more. Without any the scope is forgotten: names come from
  // workers and scripts, and there is no end to them.
  void LeaveScope(uint32_t scope);

  // The run's queue for a pool, scope and priority; made when it is new.
  RunQueue* QueueFor(Run* run, Pool pool, absl::string_view scope, int32_t priority);

  void Push(RunQueue* queue, const TaskRef& task, bool front);
  void PushCursor(RunQueue* queue, uint64_t instance, bool inner);
  void Hold(RunQueue* queue, const TaskRef& task) { queue->held.PushBack(task); }

  // Whether anything may be ready for the pool, in any scope.
  bool HasAny(Pool pool) const { return in_rings_[static_cast<size_t>(pool)] > 0; }

  // The next run's queue in the order of `scopes`, then priority (`priority_first`: the reverse of
  // that; `reverse`: both from the low end). Empty `scopes`: all of them, priority first. Null:
  // nothing is ready.
  RunQueue* Best(Pool pool, const std::vector<uint32_t>& scopes, bool priority_first, bool reverse);

  // `taken` more tasks came out of `queue`: ends its turn, or its place in the ring when empty.
  void Took(RunQueue* queue, uint32_t taken);

  // The run may not run now, or again.
  void Suspend(Run* run);
  void Resume(Run* run);
  void Drop(Run* run);

  // After the restart's grace: what was held may be granted.
  void ReleaseHeld();

  // Dies if HasAny would be wrong.
  void CheckInvariants() const;

 private:
  // Queues of one priority, taking turns.
  using Ring = std::deque<RunQueue*>;
  using Levels = absl::btree_map<int32_t, Ring>;

  void Enter(RunQueue* queue);
  void Leave(RunQueue* queue);
  Levels& LevelsOf(Pool pool, uint32_t scope) { return levels_[static_cast<size_t>(pool)][scope]; }
  Levels::iterator Top(Levels* levels, bool reverse);

  struct Scope {
    std::string name;
    uint64_t users = 0;  // 0: the number is free.
  };
  // A script can have a queue for each of its steps: they are found by what they are for.
  struct RunQueues {
    std::vector<std::unique_ptr<RunQueue>> all;
    absl::flat_hash_map<std::tuple<Pool, uint32_t, int32_t>, RunQueue*> by_place;
  };

  absl::flat_hash_map<std::string, uint32_t> scope_numbers_;
  std::vector<Scope> scopes_;  // By number.
  std::vector<uint32_t> free_scopes_;
  std::vector<Levels> levels_[kPools];           // By scope.
  uint64_t in_rings_[kPools] = {};               // Queues in levels_.
  absl::btree_map<uint64_t, RunQueues> queues_;  // By run.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_READY_QUEUE_H_
