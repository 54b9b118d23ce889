// LeaseTable knows which worker holds which task. Leases are soft state: never written.
//
// A lease id is (epoch, use of the slot, slot), so an outcome finds its lease by index, and one of
// an earlier process, or of a lease that has ended since, does not. Leases that a returning worker
// still holds, and nobody else has, are taken over under their old ids, and so are those that a
// worker went on to by itself, under the id it was offered.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_LEASE_TABLE_H_
#define BUE_HUB_SCHEDULER_LEASE_TABLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

struct Worker;

struct Lease {
  uint64_t id = 0;  // 0: the slot is free.
  uint32_t slot = 0;
  uint32_t use = 0;
  Run* run = nullptr;
  Item* item = nullptr;
  uint32_t vertex = 0;
  Pool pool = Pool::kThread;
  bool paused = false;  // A streaming source that has used its credit up: its time stands still.
  bool on_its_way = false;  // Under a rate, and not known to have started.
  int64_t granted_us = 0;   // Unix time.
  int64_t queued_us = 0;    // When the task became ready; 0: not known.
  Line* line = nullptr;     // Whose limits it counts for.
  Worker* worker = nullptr;
  Lease* previous = nullptr;  // Of the worker's leases.
  Lease* next = nullptr;
  // When its worker said that it had started; for a streaming source, when it last moved.
  absl::Time started = absl::InfiniteFuture();
  absl::Time overdue_at = absl::InfiniteFuture();  // Its entry among the scheduler's deadlines.
  bool awaits_room = false;                        // A paused one could go on, but for a limit.
  bool followed = false;      // Its worker may go on from it by itself: see eager.cc.
  bool recalled = false;      // Its worker was asked to give it back unless it has started it.
  uint64_t recalled_for = 0;  // The worker that would get it, while it may still come back.
  uint64_t credit = 0;        // Elements that a streaming source was last allowed.
  uint64_t wanted = 0;        // Items that a `!refill` source was asked for; 0: not known.
};

class LeaseTable {
 public:
  explicit LeaseTable(uint64_t epoch) : epoch_(epoch & 0xffff) {}

  // A new lease, its id set. `adopted`: the id an earlier process gave; 0: make one.
  Lease* Take(uint64_t adopted) {
    uint32_t slot;
    if (free_.empty()) {
      slot = slots_++;
      CHECK(slot < kEagerBit);
      if (slot % kPieceLeases == 0) pieces_.push_back(std::make_unique<Lease[]>(kPieceLeases));
      at(slot)->slot = slot;
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Lease& lease = *at(slot);
    lease.use = (lease.use + 1) & 0xffffff;
    lease.credit = 0;
    lease.wanted = 0;
    lease.queued_us = 0;
    lease.started = absl::InfiniteFuture();
    lease.overdue_at = absl::InfiniteFuture();
    lease.paused = false;
    lease.on_its_way = false;
    lease.awaits_room = false;
    lease.followed = false;
    lease.recalled = false;
    lease.recalled_for = 0;
    lease.id = epoch_ << 48 | uint64_t{lease.use} << 24 | slot;
    if (adopted != 0) {
      lease.id = adopted;
      adopted_[adopted] = slot;
    }
    return &lease;
  }

  // An id for a lease that may be taken over under it, or never be.
  uint64_t NewEagerId() {
    const uint64_t number = next_eager_++;
    return epoch_ << 48 | (number >> 23 & 0xffffff) << 24 | kEagerBit | (number & 0x7fffff);
  }

  // Whether the lease is of a hub process before that of `epoch`.
  static bool IsBefore(uint64_t id, uint64_t epoch) {
    return static_cast<int16_t>(static_cast<uint16_t>(id >> 48) - static_cast<uint16_t>(epoch)) < 0;
  }

  // Null: not current.
  Lease* Find(uint64_t id) {
    if (id == 0) return nullptr;
    const uint64_t slot = id & 0xffffff;
    if (slot < slots_ && at(slot)->id == id) return at(slot);
    const auto found = adopted_.find(id);
    return found == adopted_.end() ? nullptr : at(found->second);
  }

  // REQUIRES: the slot has been used.
  Lease* at(uint64_t slot) { return &pieces_[slot / kPieceLeases][slot % kPieceLeases]; }

  void Free(Lease* lease) {
    if (!adopted_.empty()) adopted_.erase(lease->id);
    lease->id = 0;
    lease->worker = nullptr;
    free_.push_back(lease->slot);
  }

  size_t held() const { return slots_ - free_.size(); }

 private:
  static constexpr uint64_t kEagerBit = 1 << 23;  // No slot has such a number.
  const uint64_t epoch_;
  uint64_t next_eager_ = 0;
  // Of so many leases each: a lease stays where it is.
  static constexpr size_t kPieceLeases = 64;
  std::vector<std::unique_ptr<Lease[]>> pieces_;
  uint32_t slots_ = 0;  // Used so far.
  std::vector<uint32_t> free_;
  absl::flat_hash_map<uint64_t, uint32_t> adopted_;  // Id to slot.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_LEASE_TABLE_H_
