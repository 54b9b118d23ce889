// Leases that are over while their code goes on.
#include "worker/core/session.h"

namespace bue::worker {

std::vector<Ghost> Session::Ghosts() const {
  std::vector<Ghost> ghosts;
  for (const auto& [lease, ghost] : going_on_) ghosts.push_back(ghost);
  return ghosts;
}

void Session::OnOver(uint64_t lease) {
  if (going_on_.erase(lease) > 0) over_unsent_.push_back(lease);
}

void Session::NoteGoingOn(uint32_t index) {
  const LeaseRecord& record = table_.at(index);
  const GrantGroup& group = *table_.group(index);
  going_on_[record.lease] = {
      .lease = record.lease, .run = group.run, .node = group.node, .by = group.ByOf(record.row)};
}

}  // namespace bue::worker
