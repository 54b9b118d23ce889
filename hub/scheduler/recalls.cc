// Recalling: a worker that has free slots, and for which nothing is ready, gets what others have
// asked ahead for.
//
// In the common case there is nothing to do: what is asked ahead for is about 10 ms of work, and
// has ended before a recall would arrive. So nothing is recalled that was granted just now. What
// stays for longer was misjudged: tasks turned out to be slow, or the worker does.
#include "hub/scheduler/recalls.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/algorithm/container.h"
#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr absl::Duration kFresh = absl::Milliseconds(20);
// A worker answers at once. Then what it has started by itself is left to it, and others are asked.
constexpr absl::Duration kAnswerTime = absl::Milliseconds(100);
// What a turn looks at, at most; the rest has to wait for a moment.
constexpr int kLeasesOfATurn = 4096;
constexpr int kLeasesOfAWorker = 256;
constexpr absl::Duration kLookAgain = absl::Milliseconds(2);
constexpr size_t kHoldersMax = 8;

// What the worker starts first, by its own order: the lower one.
std::pair<int64_t, int64_t> RankOf(const Worker& worker, const RunQueue& queue) {
  const std::vector<uint32_t>& scopes = worker.scopes;
  int64_t scope = std::find(scopes.begin(), scopes.end(), queue.scope) - scopes.begin();
  int64_t priority = -int64_t{queue.priority};
  if (worker.reverse) {
    scope = -scope;
    priority = -priority;
  }
  const bool priority_first = worker.priority_first || scopes.empty();
  return priority_first ? std::pair(priority, scope) : std::pair(scope, priority);
}

bool Serves(const Worker& worker, uint32_t scope) {
  return worker.scopes.empty() ||
         std::find(worker.scopes.begin(), worker.scopes.end(), scope) != worker.scopes.end();
}

// How many leases `idle` should get for both to have the same share of their slots.
uint32_t HowManyToLevel(const Worker& holder, const Worker& idle, Pool pool) {
  const size_t p = static_cast<size_t>(pool);
  const uint64_t slots = uint64_t{holder.room[p].slots} + idle.room[p].slots;
  const uint64_t has = uint64_t{holder.held[p] - holder.recalled[p]} * idle.room[p].slots;
  const uint64_t wants = uint64_t{idle.held[p] + idle.awaited[p]} * holder.room[p].slots;
  return has <= wants ? 0 : static_cast<uint32_t>((has - wants + slots - 1) / slots);
}

}  // namespace

// --------------------------------------------------------------------------------------- Recalls

std::vector<Worker*> Recalls::TakeShort(Pool pool, WorkerTable* workers, absl::Time now) {
  OfPool& of = of_[static_cast<size_t>(pool)];
  std::vector<Worker*> found;
  if (std::exchange(of.moved, false)) {
    for (const auto& [id, worker] : workers->roomy(pool)) NoteShort(worker, pool);
  }
  for (const uint64_t id : of.short_of_work) {
    Worker* worker = workers->Find(id);
    if (worker == nullptr) continue;
    worker->is_short[static_cast<size_t>(pool)] = false;
    of.parked.erase(id);
    found.push_back(worker);
  }
  of.short_of_work.clear();
  if (of.look_at > now) return found;
  of.look_at = absl::InfiniteFuture();
  for (const uint64_t id : std::exchange(of.parked, {})) {
    if (Worker* worker = workers->Find(id)) found.push_back(worker);
  }
  return found;
}

std::vector<Worker*> Recalls::FindHolders(const Worker& idle, Pool pool, WorkerTable* workers) {
  OfPool& of = of_[static_cast<size_t>(pool)];
  std::vector<Worker*> found;
  uint64_t at = of.last_holder;
  for (const uint32_t scope : ScopesFor(idle, pool)) {
    for (size_t left = of.holders.at(scope).size(); left > 0 && found.size() < kHoldersMax;
         --left) {
      const absl::btree_set<uint64_t>& holders = of.holders.at(scope);
      const auto next = holders.upper_bound(at);
      at = next == holders.end() ? *holders.begin() : *next;
      Worker* holder = workers->Find(at);
      if (holder != nullptr && holder->connected && Spare(*holder, pool) > 0) {
        if (!absl::c_linear_search(found, holder)) found.push_back(holder);
      } else if (holder == nullptr || holder->recalled[static_cast<size_t>(pool)] == 0) {
        Forget(at, holder, pool, scope);
      }
    }
  }
  of.last_holder = at;
  absl::c_stable_sort(found, [pool](const Worker* a, const Worker* b) {
    return Spare(*a, pool) > Spare(*b, pool);
  });
  return found;
}

void Recalls::Forget(uint64_t id, Worker* holder, Pool pool, uint32_t scope) {
  OfPool& of = of_[static_cast<size_t>(pool)];
  if (holder != nullptr) holder->ahead_scope[static_cast<size_t>(pool)] = 0;
  const auto found = of.holders.find(scope);
  if (found == of.holders.end()) return;
  found->second.erase(id);
  if (found->second.empty()) of.holders.erase(found);
}

void Recalls::Forget(Worker* holder, const Worker& idle, Pool pool) {
  for (const uint32_t scope : ScopesFor(idle, pool)) Forget(holder->id, holder, pool, scope);
}

std::vector<uint32_t> Recalls::ScopesFor(const Worker& idle, Pool pool) const {
  std::vector<uint32_t> scopes;
  for (const auto& [scope, holders] : of_[static_cast<size_t>(pool)].holders) {
    if (Serves(idle, scope)) scopes.push_back(scope);
  }
  return scopes;
}

bool Recalls::TakeUnanswered(absl::Time now, Sent* sent) {
  if (sent_.empty() || sent_.front().until > now) return false;
  *sent = sent_.front();
  sent_.pop_front();
  return true;
}

absl::Time Recalls::NextDeadline() const {
  absl::Time next = sent_.empty() ? absl::InfiniteFuture() : sent_.front().until;
  for (const OfPool& of : of_) next = std::min(next, of.look_at);
  return next;
}

// ------------------------------------------------------------------------------------- Scheduler

// What has become ready was granted: who has free slots now finds nothing.
void Scheduler::Impl::RecallForIdle() {
  if (in_grace_) return;  // What comes back would have to wait.
  Recalls::Sent sent;
  while (recalls_.TakeUnanswered(now_, &sent)) {
    struct Lease* lease = leases_.at(sent.slot);
    if (lease->id == sent.lease) EndRecall(lease);
  }
  int looks = kLeasesOfATurn;
  for (int p = 0; p < kPools; ++p) {
    const Pool pool = static_cast<Pool>(p);
    for (Worker* worker : recalls_.TakeShort(pool, &workers_, now_)) {
      if (looks <= 0) {
        recalls_.Park(*worker, pool, now_ + kLookAgain);
      } else {
        RecallFor(worker, pool, &looks);
      }
    }
  }
}

void Scheduler::Impl::RecallFor(Worker* idle, Pool pool, int* looks) {
  const size_t p = static_cast<size_t>(pool);
  if (idle->connected && idle->recorded > synced_) return recalls_.NoteShort(idle, pool);
  const uint32_t free = RoomOf(*idle, pool, /*ahead=*/false);
  if (free <= idle->awaited[p]) return;
  const uint32_t room = RoomOf(*idle, pool, /*ahead=*/true);
  absl::Time ripe = absl::InfiniteFuture();
  for (Worker* holder : recalls_.FindHolders(*idle, pool, &workers_)) {
    if (idle->awaited[p] >= free) break;
    const uint32_t most = std::min({room - idle->awaited[p], Recalls::Spare(*holder, pool),
                                    HowManyToLevel(*holder, *idle, pool)});
    ripe = std::min(ripe, RecallFrom(holder, idle, pool, most, looks));
  }
  if (idle->awaited[p] < free && ripe < absl::InfiniteFuture()) {
    recalls_.Park(*idle, pool, ripe);
  }
}

// Recalls for `idle` what `holder` would start last. When there may be more, if there is less than
// `most` because it is fresh.
absl::Time Scheduler::Impl::RecallFrom(Worker* holder, Worker* idle, Pool pool, uint32_t most,
                                       int* looks) {
  struct Found {
    std::pair<int64_t, int64_t> rank;
    struct Lease* lease;
  };
  std::vector<Found> found;
  absl::Time ripe = absl::InfiniteFuture();
  int left = kLeasesOfAWorker;
  struct Lease* lease = holder->last_lease;
  for (; lease != nullptr && left > 0; lease = lease->previous, --left, --*looks) {
    if (lease->pool != pool || !MayRecall(*lease) || !Serves(*idle, lease->line->queue->scope)) {
      continue;
    }
    const absl::Time granted = absl::FromUnixMicros(lease->granted_us);
    if (now_ - granted < kFresh) {
      ripe = granted + kFresh;
    } else {
      found.push_back({.rank = RankOf(*holder, *lease->line->queue), .lease = lease});
    }
  }
  if (lease == nullptr && found.empty() && ripe == absl::InfiniteFuture()) {
    recalls_.Forget(holder, *idle, pool);
  }
  absl::c_stable_sort(found, [](const Found& a, const Found& b) { return a.rank > b.rank; });
  if (found.size() > most) found.resize(most);
  for (const Found& one : found) {
    one.lease->recalled = true;
    one.lease->recalled_for = idle->id;
    ++holder->recalled[static_cast<size_t>(pool)];
    ++idle->awaited[static_cast<size_t>(pool)];
    recalls_.Push({.slot = one.lease->slot, .lease = one.lease->id, .until = now_ + kAnswerTime});
    effects_->outgoing.lease_recalls.push_back({.worker = holder->id, .lease = one.lease->id});
  }
  return ripe;
}

// Once for each lease: who does not give it back has started it. Not sources that stream: what
// they have yielded is theirs.
bool Scheduler::Impl::MayRecall(const struct Lease& lease) {
  return !lease.recalled && lease.started == absl::InfiniteFuture() &&
         lease.run->state() == RunState::kRunning && !Streams(lease.run, *lease.item, lease.vertex);
}

// The worker holds the lease otherwise than by a grant.
void Scheduler::Impl::NoteHeld(Worker* worker, const struct Lease& lease) {
  recalls_.NoteAhead(worker, lease.pool, lease.line->queue->scope);
  recalls_.NoteMoved(lease.pool);
}

// The recalled lease has ended, or is taken to have been started. Who it was recalled for may look
// for another.
void Scheduler::Impl::EndRecall(struct Lease* lease) {
  if (lease->recalled_for == 0) return;
  const size_t p = static_cast<size_t>(lease->pool);
  --lease->worker->recalled[p];
  if (Worker* idle = workers_.Find(std::exchange(lease->recalled_for, 0))) {
    --idle->awaited[p];
    recalls_.NoteShort(idle, lease->pool);
  }
}

void Scheduler::Impl::CheckRecalls() {
  absl::btree_map<std::pair<uint64_t, Pool>, uint32_t> awaited;
  for (const auto& [id, worker] : workers_.all()) {
    uint32_t recalled[kPools] = {};
    for (const struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      if (lease->recalled_for == 0) continue;
      ++recalled[static_cast<size_t>(lease->pool)];
      ++awaited[{lease->recalled_for, lease->pool}];
    }
    CHECK(std::equal(std::begin(recalled), std::end(recalled), worker->recalled));
  }
  for (const auto& [id, worker] : workers_.all()) {
    for (int p = 0; p < kPools; ++p) {
      const auto found = awaited.find({id, static_cast<Pool>(p)});
      CHECK(worker->awaited[p] == (found == awaited.end() ? 0 : found->second));
    }
  }
}

}  // namespace bue::hub
