// Recalls knows what it takes to give workers without work what others have asked ahead for: who
// may hold leases that have not started, who may have run out of work, and which recalls may still
// be answered.
//
// All of it can be out of date: whoever takes something checks. Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_RECALLS_H_
#define BUE_HUB_SCHEDULER_RECALLS_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "hub/scheduler/worker_table.h"

namespace bue::hub {

class Recalls {
 public:
  // The worker may hold leases of the pool, and of a scope, that it has not started.
  void NoteAhead(Worker* worker, Pool pool, uint32_t scope) {
    const size_t p = static_cast<size_t>(pool);
    if (std::exchange(worker->ahead_scope[p], scope + 1) == scope + 1) return;
    of_[p].holders[scope].insert(worker->id);
  }
  // Whether anybody may.
  bool AnyAhead(Pool pool) const { return !of_[static_cast<size_t>(pool)].holders.empty(); }
  // The worker has free slots, so far, if it has.
  void NoteShort(Worker* worker, Pool pool) {
    const size_t p = static_cast<size_t>(pool);
    if (worker->held[p] >= worker->room[p].slots || worker->is_short[p]) return;
    worker->is_short[p] = true;
    of_[p].short_of_work.push_back(worker->id);
  }
  // Who holds what ahead has changed otherwise than by grants.
  void NoteMoved(Pool pool) { of_[static_cast<size_t>(pool)].moved = true; }
  // Looks at the worker again by then, unless it has work.
  void Park(const Worker& worker, Pool pool, absl::Time until) {
    OfPool& of = of_[static_cast<size_t>(pool)];
    of.parked.insert(worker.id);
    of.look_at = std::min(of.look_at, until);
  }

  // Those to look at now.
  std::vector<Worker*> TakeShort(Pool pool, WorkerTable* workers, absl::Time now);
  // Some that hold more than their slots and may hold tasks for `idle`; most to spare first.
  std::vector<Worker*> FindHolders(const Worker& idle, Pool pool, WorkerTable* workers);
  // The worker holds nothing more that `idle` could be given.
  void Forget(Worker* holder, const Worker& idle, Pool pool);

  // Recalls that were sent, in order.
  struct Sent {
    uint32_t slot = 0;  // Of the lease.
    uint64_t lease = 0;
    absl::Time until;  // Who has not answered by then has started it.
  };
  void Push(const Sent& sent) { sent_.push_back(sent); }
  bool TakeUnanswered(absl::Time now, Sent* sent);

  absl::Time NextDeadline() const;

  // How many leases of the pool `holder` cannot have started, without those that are recalled.
  static uint32_t Spare(const Worker& holder, Pool pool) {
    const size_t p = static_cast<size_t>(pool);
    const uint32_t busy = holder.room[p].slots + holder.recalled[p];
    return holder.held[p] > busy ? holder.held[p] - busy : 0;
  }

 private:
  struct OfPool {
    // By scope, as granted beyond the slots. None is empty.
    absl::btree_map<uint32_t, absl::btree_set<uint64_t>> holders;
    uint64_t last_holder = 0;             // Where the last search ended.
    std::vector<uint64_t> short_of_work;  // With Worker::is_short.
    absl::btree_set<uint64_t> parked;
    absl::Time look_at = absl::InfiniteFuture();
    bool moved = false;
  };

  // In which somebody may hold tasks for it.
  std::vector<uint32_t> ScopesFor(const Worker& idle, Pool pool) const;
  // `holder`: null if it is gone.
  void Forget(uint64_t id, Worker* holder, Pool pool, uint32_t scope);

  OfPool of_[kPools];
  std::deque<Sent> sent_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_RECALLS_H_
