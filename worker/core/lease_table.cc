#include "worker/core/lease_table.h"

#include <utility>

#include "common/check.h"

namespace bue::worker {

void LeaseTable::Add(std::shared_ptr<const GrantGroup> group, Pool pool,
                     std::vector<uint32_t>* added) {
  const GrantGroup& tasks = *group;
  const uint32_t slot = NewGroup(std::move(group));
  for (uint32_t row = 0; row < tasks.lease.size(); ++row) {
    const auto [place, is_new] = by_lease_.try_emplace(tasks.lease[row], 0);
    if (!is_new) continue;
    const uint32_t record = NewRecord();
    place->second = record;
    records_[record] = {.lease = tasks.lease[row],
                        .group = slot,
                        .row = row,
                        .state = LeaseState::kWaiting,
                        .pool = pool};
    ++groups_[slot].live;
    added->push_back(record);
  }
  if (groups_[slot].live == 0) {
    groups_[slot].group.reset();
    free_groups_.push_back(slot);
  }
}

uint32_t LeaseTable::Find(uint64_t lease) const {
  const auto found = by_lease_.find(lease);
  return found == by_lease_.end() ? kNone : found->second;
}

void LeaseTable::Free(uint32_t record) {
  CHECK(records_[record].state != LeaseState::kFree);
  records_[record].state = LeaseState::kFree;
  free_records_.push_back(record);
  GroupSlot& slot = groups_[records_[record].group];
  if (--slot.live > 0) return;
  slot.group.reset();
  free_groups_.push_back(records_[record].group);
}

uint32_t LeaseTable::NewGroup(std::shared_ptr<const GrantGroup> group) {
  if (free_groups_.empty()) {
    groups_.push_back({.group = std::move(group)});
    return static_cast<uint32_t>(groups_.size() - 1);
  }
  const uint32_t slot = free_groups_.back();
  free_groups_.pop_back();
  groups_[slot] = {.group = std::move(group)};
  return slot;
}

uint32_t LeaseTable::NewRecord() {
  if (free_records_.empty()) {
    records_.emplace_back();
    return static_cast<uint32_t>(records_.size() - 1);
  }
  const uint32_t record = free_records_.back();
  free_records_.pop_back();
  return record;
}

}  // namespace bue::worker
