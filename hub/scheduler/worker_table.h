// WorkerTable knows who is connected, what they accept and how much room they have. What a worker
// holds is derived from its live leases, never counted apart. Of thousands of workers a turn looks
// only at those that have room, and at those that went away.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_WORKER_TABLE_H_
#define BUE_HUB_SCHEDULER_WORKER_TABLE_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "hub/scheduler/effects.h"
#include "hub/scheduler/lease_table.h"

namespace bue::hub {

struct Worker {
  uint64_t id = 0;  // Of its stream: new after each reconnect.
  std::string name;
  std::string host;
  std::string version;
  uint64_t incarnation = 0;
  std::vector<std::string> scope_names;
  std::vector<uint32_t> scopes;
  bool priority_first = false;
  bool reverse = false;

  WorkerRoom room[kPools];
  bool is_roomy[kPools] = {};  // WorkerTable::roomy has it.
  uint32_t held[kPools] = {};  // Length of its list of leases, by pool.
  Lease* first_lease = nullptr;
  Lease* last_lease = nullptr;
  // See recalls.h.
  uint32_t ahead_scope[kPools] = {};  // 1 + that of the last NoteAhead.
  bool is_short[kPools] = {};
  uint32_t recalled[kPools] = {};  // Leases that it may still give back.
  uint32_t awaited[kPools] = {};   // Such leases of others, recalled for this one.

  uint64_t done = 0;
  uint64_t failed = 0;
  uint32_t ghosts = 0;  // Attempts that go on there although nobody waits for them.
  absl::Time last_heard;
  bool connected = true;
  uint64_t recorded = 0;                        // The turn since which the store names it.
  absl::Time gone_at = absl::InfiniteFuture();  // Its stream broke; then its leases are taken.

  WorkerStatus Status() const {
    WorkerStatus status{.name = name,
                        .host = host,
                        .version = version,
                        .scopes = scope_names,
                        .running = holds(),
                        .done = done,
                        .failed = failed,
                        .alive = connected,
                        .ghosts = ghosts,
                        .last_heard = last_heard};
    std::copy(std::begin(room), std::end(room), std::begin(status.room));
    return status;
  }

  uint64_t holds() const {
    uint64_t n = 0;
    for (const uint32_t h : held) n += h;
    return n;
  }
};

class WorkerTable {
 public:
  Worker* Add(std::unique_ptr<Worker> worker) {
    Worker* added = worker.get();
    workers_[added->id] = std::move(worker);
    return added;
  }
  Worker* Find(uint64_t id) {
    const auto found = workers_.find(id);
    return found == workers_.end() ? nullptr : found->second.get();
  }
  // The same process behind an earlier stream. Null: none.
  Worker* FindIncarnation(const std::string& name, uint64_t incarnation) {
    for (const auto& [id, worker] : workers_) {
      if (worker->incarnation == incarnation && worker->name == name) return worker.get();
    }
    return nullptr;
  }
  void Remove(uint64_t id) {
    for (auto& roomy : roomy_) roomy.erase(id);
    gone_.erase(id);
    workers_.erase(id);
  }

  const absl::btree_map<uint64_t, std::unique_ptr<Worker>>& all() const { return workers_; }

  // Workers that hold fewer leases of a pool than they ask for, and perhaps some that do not. Who
  // finds one of these tells.
  using Roomy = absl::btree_map<uint64_t, Worker*>;
  const Roomy& roomy(Pool pool) const { return roomy_[static_cast<size_t>(pool)]; }
  // Call it when a worker's room has changed, or it was found to have none.
  void NoteRoom(Worker* worker, Pool pool) {
    const size_t p = static_cast<size_t>(pool);
    const bool roomy = worker->connected && worker->held[p] < worker->room[p].leases;
    if (roomy == worker->is_roomy[p]) return;
    worker->is_roomy[p] = roomy;
    if (roomy) {
      roomy_[p].emplace(worker->id, worker);
    } else {
      roomy_[p].erase(worker->id);
    }
  }

  // Streams that broke, of workers that may come back.
  const absl::btree_set<uint64_t>& gone() const { return gone_; }
  void NoteGone(Worker* worker, absl::Time until) {
    worker->connected = false;
    worker->gone_at = until;
    gone_.insert(worker->id);
  }

  // Dies if the lists disagree with the workers.
  void CheckInvariants() const {
    for (const auto& [id, worker] : workers_) {
      CHECK(worker->id == id && worker->connected == !gone_.contains(id));
      for (int p = 0; p < kPools; ++p) {
        const bool has_room = worker->connected && worker->held[p] < worker->room[p].leases;
        CHECK(!has_room || worker->is_roomy[p]);
        CHECK(worker->is_roomy[p] == roomy_[p].contains(id));
      }
    }
    for (const uint64_t id : gone_) CHECK(workers_.contains(id));
    for (const Roomy& roomy : roomy_) {
      for (const auto& [id, worker] : roomy) CHECK(workers_.at(id).get() == worker);
    }
  }

  // A lease joins or leaves its worker's list.
  static void Link(Worker* worker, Lease* lease) {
    lease->worker = worker;
    lease->previous = worker->last_lease;
    lease->next = nullptr;
    (lease->previous == nullptr ? worker->first_lease : lease->previous->next) = lease;
    worker->last_lease = lease;
    ++worker->held[static_cast<size_t>(lease->pool)];
  }
  void Unlink(Lease* lease) {
    Worker* worker = lease->worker;
    (lease->previous == nullptr ? worker->first_lease : lease->previous->next) = lease->next;
    (lease->next == nullptr ? worker->last_lease : lease->next->previous) = lease->previous;
    --worker->held[static_cast<size_t>(lease->pool)];
    NoteRoom(worker, lease->pool);
    lease->worker = nullptr;
  }

 private:
  absl::btree_map<uint64_t, std::unique_ptr<Worker>> workers_;  // By stream.
  Roomy roomy_[kPools];
  absl::btree_set<uint64_t> gone_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_WORKER_TABLE_H_
