// LeaseTable holds a record for every lease the worker holds, from its grant until its outcome is
// acknowledged, and keeps the grant's columns alive as long as any of its tasks needs them.
// Pure. Not thread-safe. Owned by Session.
#ifndef BUE_WORKER_CORE_LEASE_TABLE_H_
#define BUE_WORKER_CORE_LEASE_TABLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "worker/core/grant.h"

namespace bue::worker {

enum class LeaseState : uint8_t {
  kFree,
  kWaiting,   // For a slot.
  kRunning,   // Handed out; its inputs may still be on their way.
  kStoring,   // Ran; its value is on its way to the bucket.
  kFinished,  // Its outcome is in a report, not yet acknowledged.
  kRevoked,   // Was waiting; freed when its turn in the queue comes.
};

struct LeaseRecord {
  uint64_t lease = 0;
  absl::Time began = absl::InfiniteFuture();    // In its executor, as far as that said so.
  absl::Time started = absl::InfiniteFuture();  // The same, of groups that tell it at once.
  uint32_t group = 0;
  uint32_t row = 0;
  LeaseState state = LeaseState::kFree;
  Pool pool = Pool::kThread;
  bool paused = false;       // A streaming source that waits for its readers.
  bool handed_over = false;  // To its executor.
};

class LeaseTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Adds all tasks of `group`, waiting in `pool`; appends their records to `added`. A lease that is
  // held already is skipped.
  void Add(std::shared_ptr<const GrantGroup> group, Pool pool, std::vector<uint32_t>* added);

  // The record of a lease that has no outcome yet, or kNone.
  uint32_t Find(uint64_t lease) const;

  LeaseRecord& at(uint32_t record) { return records_[record]; }
  const LeaseRecord& at(uint32_t record) const { return records_[record]; }
  const std::shared_ptr<const GrantGroup>& group(uint32_t record) const {
    return groups_[records_[record].group].group;
  }

  // The lease cannot be found any more; the record stays until Free.
  void Unlist(uint32_t record) { by_lease_.erase(records_[record].lease); }
  void Free(uint32_t record);

  // Number of records ever used: iterate over [0, end), skipping kFree.
  uint32_t end() const { return static_cast<uint32_t>(records_.size()); }
  // Leases without an outcome.
  size_t listed() const { return by_lease_.size(); }

 private:
  struct GroupSlot {
    std::shared_ptr<const GrantGroup> group;
    uint32_t live = 0;  // Records that refer to it.
  };

  uint32_t NewGroup(std::shared_ptr<const GrantGroup> group);
  uint32_t NewRecord();

  std::vector<LeaseRecord> records_;
  std::vector<uint32_t> free_records_;
  std::vector<GroupSlot> groups_;
  std::vector<uint32_t> free_groups_;
  absl::flat_hash_map<uint64_t, uint32_t> by_lease_;  // Never iterated.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_LEASE_TABLE_H_
