// Outcomes on their way to the hub: they leave in reports, and stay until those are acknowledged.
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "worker/core/session.h"

namespace bue::worker {
namespace {

// Moves the first `count` of `from` into a vector of their own.
template <typename T>
std::vector<T> TakeFirst(std::vector<T>* from, size_t count) {
  if (count >= from->size()) return std::exchange(*from, {});
  std::vector<T> taken(std::make_move_iterator(from->begin()),
                       std::make_move_iterator(from->begin() + count));
  from->erase(from->begin(), from->begin() + count);
  return taken;
}

}  // namespace

Report Session::TakePending(absl::Time now) {
  Report report;
  const size_t successes = options_.message_outcomes_max;
  report.succeeded.lease = TakeFirst(&pending_.succeeded.lease, successes);
  report.succeeded.address = TakeFirst(&pending_.succeeded.address, successes);
  report.succeeded.elements = TakeFirst(&pending_.succeeded.elements, successes);
  report.succeeded.run_us = TakeFirst(&pending_.succeeded.run_us, successes);
  report.succeeded_records = TakeFirst(&pending_.succeeded_records, successes);
  size_t count = 0;
  size_t bytes = 0;
  while (count < pending_.outcomes.size() && count < options_.message_outcomes_max &&
         bytes < options_.message_bytes_max) {
    bytes += pending_.outcomes[count++].bytes();
  }
  report.outcomes = TakeFirst(&pending_.outcomes, count);
  report.outcome_records = TakeFirst(&pending_.outcome_records, count);
  BeginNext(now, &report);
  return report;
}

void Session::OnAcked(uint64_t report) {
  while (!unacked_.empty() && unacked_.front().number <= report) {
    const Report& done = unacked_.front();
    for (const uint32_t record : done.succeeded_records) table_.Free(record);
    for (const uint32_t record : done.outcome_records) table_.Free(record);
    for (const Outcome& outcome : done.outcomes) outcome_bytes_ -= outcome.bytes();
    unacked_outcomes_ -= done.size();
    unacked_.pop_front();
  }
}

// After OnDisconnected, everything finished is in pending_.
void Session::DropFinished(absl::Span<const uint64_t> leases) {
  if (leases.empty() || pending_.size() == 0) return;
  const absl::flat_hash_set<uint64_t> gone(leases.begin(), leases.end());
  Report all = std::exchange(pending_, {});
  pending_.eager = std::move(all.eager);
  for (size_t i = 0; i < all.succeeded.lease.size(); ++i) {
    if (gone.contains(all.succeeded.lease[i])) {
      table_.Free(all.succeeded_records[i]);
      continue;
    }
    pending_.succeeded.lease.push_back(all.succeeded.lease[i]);
    pending_.succeeded.address.push_back(all.succeeded.address[i]);
    pending_.succeeded.elements.push_back(all.succeeded.elements[i]);
    pending_.succeeded.run_us.push_back(all.succeeded.run_us[i]);
    pending_.succeeded_records.push_back(all.succeeded_records[i]);
  }
  for (size_t i = 0; i < all.outcomes.size(); ++i) {
    if (gone.contains(all.outcomes[i].lease)) {
      outcome_bytes_ -= all.outcomes[i].bytes();
      table_.Free(all.outcome_records[i]);
      continue;
    }
    pending_.outcomes.push_back(std::move(all.outcomes[i]));
    pending_.outcome_records.push_back(all.outcome_records[i]);
  }
}

}  // namespace bue::worker
