// Tasks that the worker goes on to by itself: see hub/README.md, Eager starts.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "worker/core/session.h"

namespace bue::worker {

void Session::OnEager(std::shared_ptr<GrantGroup> group) {
  if (!connected_ || stopping_ || table_.Find(group->after) == LeaseTable::kNone) return;
  const uint64_t after = group->after;
  offers_[after] = std::move(group);
}

// Null: it has none.
std::shared_ptr<GrantGroup> Session::TakeOffer(uint64_t lease) {
  const auto found = offers_.find(lease);
  if (found == offers_.end()) return nullptr;
  std::shared_ptr<GrantGroup> offer = std::move(found->second);
  offers_.erase(found);
  return offer;
}

// The next of a chain: its input is durable, and it starts once the hub is told of both.
void Session::GoOn(std::shared_ptr<GrantGroup> offer, uint64_t address) {
  for (InputColumn& column : offer->inputs) column.address[0] = address;
  next_.push_back(std::move(offer));
}

// Each is told of with what it follows. What was told of on a stream that broke is told of again,
// with the same, unless it is not held any more.
void Session::BeginNext(absl::Time now, Report* report) {
  if (next_.empty() && pending_.eager.empty()) return;
  const auto leases_of = [](const Report& of) {
    absl::flat_hash_set<uint64_t> leases(of.succeeded.lease.begin(), of.succeeded.lease.end());
    for (const Outcome& outcome : of.outcomes) leases.insert(outcome.lease);
    return leases;
  };
  const absl::flat_hash_set<uint64_t> told = leases_of(*report);
  const absl::flat_hash_set<uint64_t> later = leases_of(pending_);
  std::vector<HeldLease> again = std::exchange(pending_.eager, {});
  std::sort(again.begin(), again.end(), IsNumberedBefore);
  for (HeldLease& held : again) {
    const uint32_t record = table_.Find(held.lease);
    const bool ended = told.contains(held.lease) || later.contains(held.lease);
    if (record == LeaseTable::kNone && !ended) continue;
    if (record != LeaseTable::kNone) held = HeldOf(record, now);
    // Never later than its own outcome, which the hub would take for that of a lease it has ended.
    const bool is_due = told.contains(held.after) || told.contains(held.lease);
    (is_due ? report->eager : pending_.eager).push_back(std::move(held));
  }
  for (std::shared_ptr<GrantGroup>& offer : std::exchange(next_, {})) {
    if (!told.contains(offer->after)) {
      next_.push_back(std::move(offer));
      continue;
    }
    const uint64_t lease = offer->lease[0];
    OnGrant(std::move(offer));
    report->eager.push_back(HeldOf(table_.Find(lease), now));
  }
}

}  // namespace bue::worker
