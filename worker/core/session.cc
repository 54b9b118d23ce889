#include "worker/core/session.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/append.h"
#include "common/check.h"

namespace bue::worker {
namespace {

// Rows handed over together: results leave by such batches, inputs are fetched by them.
constexpr size_t kBatchRows = 256;

using bue::Append;

void Append(Report* to, Report* from) {
  Append(&to->succeeded.lease, &from->succeeded.lease);
  Append(&to->succeeded.address, &from->succeeded.address);
  Append(&to->succeeded.elements, &from->succeeded.elements);
  Append(&to->succeeded.run_us, &from->succeeded.run_us);
  Append(&to->succeeded_records, &from->succeeded_records);
  Append(&to->outcomes, &from->outcomes);
  Append(&to->eager, &from->eager);
  Append(&to->outcome_records, &from->outcome_records);
}

// At least 1 for what has begun.
uint64_t ElapsedMs(absl::Time began, absl::Time now) {
  if (began == absl::InfiniteFuture()) return 0;
  return static_cast<uint64_t>(std::max<int64_t>(1, absl::ToInt64Milliseconds(now - began)));
}

bool IsRunning(const LeaseRecord& record) { return record.state == LeaseState::kRunning; }

}  // namespace

Session::Session(const SessionOptions& options) : options_(options) {
  for (const uint32_t slots : options_.slots) CHECK(slots > 0);
}

// ---------------------------------------------------------------------------- what the hub says

std::vector<HeldLease> Session::Held(absl::Time now) const {
  std::vector<HeldLease> held;
  std::vector<HeldLease> eager;
  for (uint32_t i = 0; i < table_.end(); ++i) {
    const LeaseState state = table_.at(i).state;
    if (state == LeaseState::kFree || state == LeaseState::kRevoked) continue;
    (table_.group(i)->after == 0 ? held : eager).push_back(HeldOf(i, now));
  }
  // Each after what it follows: the hub numbers them in that order.
  std::sort(eager.begin(), eager.end(), IsNumberedBefore);
  Append(&held, &eager);
  return held;
}

HeldLease Session::HeldOf(uint32_t index, absl::Time now) const {
  const LeaseRecord& record = table_.at(index);
  const GrantGroup& group = *table_.group(index);
  return {.lease = record.lease,
          .run = group.run,
          .instance = group.instance,
          .item = group.item[record.row],
          .node = group.node,
          .pass = group.PassOf(record.row),
          .attempt = group.AttemptOf(record.row),
          .handbacks = group.HandbacksOf(record.row),
          // What has ended waits for its acknowledgement, however long: no timeout runs.
          .elapsed_ms = IsRunning(record) ? ElapsedMs(record.began, now) : 0,
          .pool = record.pool,
          .by = group.ByOf(record.row),
          .not_started = group.tells_start && record.started == absl::InfiniteFuture(),
          .started_ago_ms = ElapsedMs(record.started, now),
          .after = group.after,
          .input = group.after == 0 ? 0 : group.inputs[0].address[0]};
}

void Session::OnWelcome(absl::Span<const uint64_t> dropped, std::vector<uint64_t>* cancel) {
  OnRevoked(dropped, cancel);
  DropFinished(dropped);
  connected_ = true;
}

void Session::OnDisconnected() {
  connected_ = false;
  goodbye_sent_ = false;
  offers_.clear();
  next_.clear();
  for (PoolState& pool : pools_) pool.room_sent = false;
  started_unsent_.clear();  // The next hello says it.
  starting_unsent_.clear();
  over_unsent_.clear();
  ghosts_unsent_ = ghosts_ > 0;
  for (auto& [lease, source] : sources_) {
    source.unsent = source.last.elements > 0;
    progress_unsent_ |= source.unsent;
  }
  for (auto& [step, learned] : learned_) {
    learned.unsent = true;
    learned_unsent_ = true;
  }
  Report again;
  for (Report& report : unacked_) Append(&again, &report);
  Append(&again, &pending_);
  pending_ = std::move(again);
  unacked_.clear();
  unacked_outcomes_ = 0;
}

void Session::OnGrant(std::shared_ptr<const GrantGroup> group) {
  const Pool pool = PoolFor(*group);
  const Rank rank = group->rank;
  std::vector<uint32_t> added;
  added.reserve(group->lease.size());
  const bool streams = group->is_source && group->source_credit > 0;
  const uint64_t credit = group->source_credit;
  table_.Add(std::move(group), pool, &added);  // If all are held already, nobody keeps the group.
  PoolState& state = pools_[Index(pool)];
  if (!stopping_) state.queue.Push(rank, added);
  state.waiting += static_cast<uint32_t>(added.size());
  if (streams) {
    for (const uint32_t record : added) sources_[table_.at(record).lease].credit = credit;
  }
  if (!stopping_) return;
  for (const uint32_t record : added) GiveBackWaiting(record);
}

void Session::OnRevoked(absl::Span<const uint64_t> leases, std::vector<uint64_t>* cancel) {
  for (const uint64_t lease : leases) {
    const uint32_t record = table_.Find(lease);
    if (record != LeaseTable::kNone) Drop(record, cancel);
    if (!going_on_.contains(lease)) over_unsent_.push_back(lease);
  }
}

void Session::OnRecalled(uint64_t run) {
  absl::erase_if(offers_, [run](const auto& offer) { return offer.second->run == run; });
  std::erase_if(next_, [run](const auto& offer) { return offer->run == run; });
  for (PoolState& pool : pools_) {
    GiveBackUnless(&pool, [&](uint32_t record) { return table_.group(record)->run != run; });
  }
}

void Session::OnRecalled(absl::Span<const uint64_t> leases) {
  if (leases.empty()) return;
  absl::flat_hash_set<uint32_t> recalled[kPools];
  for (const uint64_t lease : leases) {
    const uint32_t record = table_.Find(lease);
    if (record == LeaseTable::kNone || table_.at(record).state != LeaseState::kWaiting) continue;
    recalled[Index(table_.at(record).pool)].insert(record);
  }
  for (int pool = 0; pool < kPools; ++pool) {
    if (recalled[pool].empty()) continue;
    GiveBackUnless(&pools_[pool],
                   [&](uint32_t record) { return !recalled[pool].contains(record); });
  }
}

void Session::OnCredit(uint64_t lease, uint64_t elements) {
  const uint32_t record = table_.Find(lease);
  if (record == LeaseTable::kNone) return;
  Source& source = sources_[lease];
  source.credit = std::max(source.credit, elements);
  // Without progress it was not paused for credit.
  if (source.last.elements > 0 && source.last.elements < source.credit) SetPaused(record, false);
}

// What the worker went on to by itself the hub may not have heard of, and so has not revoked.
void Session::OnRunEnded(uint64_t run) {
  OnRecalled(run);
  learned_.erase(learned_.lower_bound({run, 0}), learned_.upper_bound({run, UINT32_MAX}));
}

// ----------------------------------------------------------------------- what the executors say

std::optional<TaskRef> Session::OnExecuted(uint64_t lease, absl::Duration run_time, bool goes_on) {
  const uint32_t index = table_.Find(lease);
  if (index == LeaseTable::kNone || !IsRunning(table_.at(index))) {
    if (!goes_on) OnOver(lease);
    return std::nullopt;
  }
  if (goes_on) NoteGoingOn(index);
  LeaseRecord& record = table_.at(index);
  SetPaused(index, false);
  if (record.began != absl::InfiniteFuture()) {
    record.began = absl::InfiniteFuture();
    started_unsent_.push_back({.lease = lease, .elapsed_ms = 0});
  }
  PoolState& pool = PoolOf(record);
  --pool.running;
  ++pool.held_beside;
  record.state = LeaseState::kStoring;
  const double us = std::max(1.0, absl::ToDoubleMicroseconds(run_time));
  pool.mean_us = pool.mean_us == 0 ? us : pool.mean_us + (us - pool.mean_us) / 32;
  return TaskRef{.group = table_.group(index), .row = record.row};
}

bool Session::OnSucceeded(uint64_t lease, uint64_t address, uint64_t elements, uint32_t run_us) {
  std::shared_ptr<GrantGroup> offer = TakeOffer(lease);
  uint32_t record;
  if (!Finish(lease, &record)) return false;
  pending_.succeeded.lease.push_back(lease);
  pending_.succeeded.address.push_back(address);
  pending_.succeeded.elements.push_back(elements);
  pending_.succeeded.run_us.push_back(run_us);
  pending_.succeeded_records.push_back(record);
  if (offer != nullptr) GoOn(std::move(offer), address);
  return true;
}

bool Session::OnOutcome(Outcome outcome) {
  std::shared_ptr<GrantGroup> offer = TakeOffer(outcome.lease);
  uint32_t record;
  if (!Finish(outcome.lease, &record)) {
    if (!outcome.goes_on) OnOver(outcome.lease);
    return false;
  }
  outcome_bytes_ += outcome.bytes();
  // Whether another item has the id already the hub has to say first.
  const bool stands = outcome.kind == Outcome::Kind::kSucceeded && outcome.item_id.empty();
  const uint64_t address = outcome.address;
  pending_.outcomes.push_back(std::move(outcome));
  pending_.outcome_records.push_back(record);
  if (offer != nullptr && stands) GoOn(std::move(offer), address);
  return true;
}

void Session::OnProgress(const Progress& progress) {
  const uint32_t record = table_.Find(progress.lease);
  if (record == LeaseTable::kNone || !IsRunning(table_.at(record))) return;
  Source& source = sources_[progress.lease];
  source.last = progress;
  source.unsent = true;
  progress_unsent_ = true;
  if (source.credit > 0 && progress.elements >= source.credit) SetPaused(record, true);
}

void Session::OnStoring(uint64_t lease) {
  const uint32_t record = table_.Find(lease);
  if (record != LeaseTable::kNone) SetPaused(record, true);
}

void Session::OnStarted(uint64_t lease, absl::Time began, absl::Time now) {
  const uint32_t record = table_.Find(lease);
  if (record == LeaseTable::kNone || !IsRunning(table_.at(record))) return;
  table_.at(record).began = began;
  started_unsent_.push_back({.lease = lease, .elapsed_ms = ElapsedMs(began, now)});
}

void Session::OnStarting(uint64_t lease, absl::Time now) {
  const uint32_t record = table_.Find(lease);
  if (record == LeaseTable::kNone || table_.at(record).state == LeaseState::kWaiting) return;
  if (!table_.group(record)->tells_start) return;
  if (table_.at(record).started != absl::InfiniteFuture()) return;
  table_.at(record).started = now;
  starting_unsent_.push_back(lease);
}

void Session::OnGhosts(uint32_t ghosts) {
  if (ghosts == ghosts_) return;
  ghosts_ = ghosts;
  ghosts_unsent_ = true;
}

void Session::OnStepError(StepError error) {
  if (errors_unsent_.size() < options_.step_errors_max) errors_unsent_.push_back(std::move(error));
}

void Session::OnLearnedMode(const LearnedMode& learned) {
  const auto [place, is_new] =
      learned_.try_emplace({learned.run, learned.step}, Learned{.pool = learned.pool});
  if (!is_new) return;
  learned_unsent_ = true;
  if (learned.pool == Pool::kThread) return;
  const auto is_of_step = [&](uint32_t record) {
    const GrantGroup& group = *table_.group(record);
    return group.run == learned.run && group.step == learned.step;
  };
  for (uint32_t record = 0; record < table_.end(); ++record) {
    const LeaseState state = table_.at(record).state;
    if (state != LeaseState::kRunning && state != LeaseState::kStoring) continue;
    if (table_.at(record).pool == Pool::kThread && is_of_step(record)) Move(record, learned.pool);
  }
  PoolState& from = pools_[Index(Pool::kThread)];
  PoolState& to = pools_[Index(learned.pool)];
  StartQueue staying;
  while (!from.queue.empty()) {
    const uint32_t record = from.queue.PopFront();
    if (table_.at(record).state == LeaseState::kRevoked) {
      table_.Free(record);
      continue;
    }
    const Rank rank = table_.group(record)->rank;
    if (!is_of_step(record)) {
      staying.Push(rank, record);
      continue;
    }
    table_.at(record).pool = learned.pool;
    to.queue.Push(rank, record);
    ++to.waiting;
    --from.waiting;
  }
  from.queue = std::move(staying);
}

// --------------------------------------------------------------------------------- what to do

void Session::TakeStarts(std::vector<StartBatch>* batches) {
  for (int pool = 0; pool < kPools; ++pool) {
    PoolState& state = pools_[pool];
    StartBatch batch;
    while (!state.queue.empty() && state.running < options_.slots[pool]) {
      const uint32_t record = state.queue.PopFront();
      if (table_.at(record).state == LeaseState::kRevoked) {
        table_.Free(record);
        continue;
      }
      const std::shared_ptr<const GrantGroup>& group = table_.group(record);
      if (batch.group != group || batch.rows.size() == kBatchRows) {
        if (batch.group != nullptr) batches->push_back(std::move(batch));
        batch = {.group = group, .pool = static_cast<Pool>(pool)};
      }
      batch.rows.push_back(table_.at(record).row);
      Start(record);
    }
    if (batch.group != nullptr) batches->push_back(std::move(batch));
  }
}

bool Session::HandOver(uint64_t lease) {
  const uint32_t record = table_.Find(lease);
  if (record == LeaseTable::kNone) return false;
  table_.at(record).handed_over = true;
  return true;
}

bool Session::HasNews() const {
  if (!connected_ || goodbye_sent_) return false;
  if (pending_.size() > 0 || progress_unsent_ || learned_unsent_ || GoodbyeIsDue()) return true;
  if (!started_unsent_.empty() || !starting_unsent_.empty()) return true;
  if (!errors_unsent_.empty() || ghosts_unsent_ || !over_unsent_.empty()) return true;
  for (int pool = 0; pool < kPools; ++pool) {
    if (RoomIsUrgent(pool)) return true;
  }
  return false;
}

Session::Message Session::TakeMessage(absl::Time now) {
  Message message;
  if (pending_.size() > 0) {
    unacked_.push_back(TakePending(now));
    // What has ended since was a ghost to nobody.
    for (Outcome& outcome : unacked_.back().outcomes) {
      outcome.goes_on = outcome.goes_on && going_on_.contains(outcome.lease);
    }
    unacked_.back().number = ++last_report_;
    unacked_outcomes_ += unacked_.back().size();
    message.report = &unacked_.back();
  }
  if (progress_unsent_) {
    for (auto& [lease, source] : sources_) {
      if (source.unsent) message.progress.push_back(source.last);
      source.unsent = false;
    }
    progress_unsent_ = false;
  }
  if (learned_unsent_) {
    for (auto& [step, learned] : learned_) {
      if (learned.unsent) message.learned.push_back({step.first, step.second, learned.pool});
      learned.unsent = false;
    }
    learned_unsent_ = false;
  }
  for (int pool = 0; pool < kPools; ++pool) {
    PoolState& state = pools_[pool];
    const Room wanted = WantedRoom(static_cast<Pool>(pool));
    if (state.room_sent && wanted.leases == state.sent.leases) continue;
    state.room_sent = true;
    state.sent = wanted;
    message.rooms.push_back(wanted);
  }
  message.started = std::exchange(started_unsent_, {});
  message.starting = std::exchange(starting_unsent_, {});
  message.over = std::exchange(over_unsent_, {});
  message.errors = std::exchange(errors_unsent_, {});
  if (std::exchange(ghosts_unsent_, false)) message.ghosts = ghosts_;
  message.goodbye = GoodbyeIsDue();
  goodbye_sent_ = message.goodbye;
  return message;
}

// -------------------------------------------------------------------------------------- the end

void Session::Stop() {
  stopping_ = true;
  offers_.clear();
  next_.clear();
  for (PoolState& pool : pools_) {
    GiveBackUnless(&pool, [](uint32_t) { return false; });
  }
}

void Session::GiveBackRest(std::vector<uint64_t>* cancel) {
  for (uint32_t record = 0; record < table_.end(); ++record) {
    const LeaseState state = table_.at(record).state;
    if (state != LeaseState::kRunning && state != LeaseState::kStoring) continue;
    if (state == LeaseState::kRunning) cancel->push_back(table_.at(record).lease);
    OnOutcome({.lease = table_.at(record).lease, .kind = Outcome::Kind::kGivenBack});
  }
}

bool Session::finished() const {
  return goodbye_sent_ && quiet() && pending_.size() == 0 && unacked_.empty();
}

// --------------------------------------------------------------------------------- for watchers

bool Session::HoldsRun(uint64_t run) const {
  for (uint32_t i = 0; i < table_.end(); ++i) {
    const LeaseState state = table_.at(i).state;
    if (state == LeaseState::kFree || state == LeaseState::kFinished) continue;
    if (table_.group(i)->run == run) return true;
  }
  return false;
}

bool Session::GoodbyeIsDue() const {
  return stopping_ && connected_ && !goodbye_sent_ && quiet() && pending_.size() == 0;
}

// ------------------------------------------------------------------------------- state changes

Pool Session::PoolFor(const GrantGroup& group) const {
  if (group.pool != Pool::kThread) return group.pool;
  const auto found = learned_.find({group.run, group.step});
  return found == learned_.end() ? group.pool : found->second.pool;
}

void Session::Start(uint32_t index) {
  LeaseRecord& record = table_.at(index);
  CHECK(record.state == LeaseState::kWaiting);
  PoolState& pool = PoolOf(record);
  --pool.waiting;
  ++pool.running;
  record.state = LeaseState::kRunning;
  record.began = absl::InfiniteFuture();
}

void Session::SetPaused(uint32_t index, bool paused) {
  LeaseRecord& record = table_.at(index);
  if (record.paused == paused || !IsRunning(record)) return;
  record.paused = paused;
  PoolState& pool = PoolOf(record);
  if (paused) {
    --pool.running;
    ++pool.held_beside;
  } else {
    ++pool.running;
    --pool.held_beside;
  }
}

void Session::Leave(uint32_t index) {
  LeaseRecord& record = table_.at(index);
  PoolState& pool = PoolOf(record);
  switch (record.state) {
    case LeaseState::kWaiting:
      --pool.waiting;
      break;
    case LeaseState::kRunning:
      SetPaused(index, false);
      --pool.running;
      break;
    case LeaseState::kStoring:
      --pool.held_beside;
      break;
    case LeaseState::kFree:
    case LeaseState::kFinished:
    case LeaseState::kRevoked:
      CHECK(false);
  }
  if (!sources_.empty()) sources_.erase(record.lease);
  if (!offers_.empty()) offers_.erase(record.lease);
  table_.Unlist(index);
}

void Session::GiveBackUnless(PoolState* pool, absl::FunctionRef<bool(uint32_t)> stays) {
  StartQueue staying;
  while (!pool->queue.empty()) {
    const uint32_t record = pool->queue.PopFront();
    if (table_.at(record).state == LeaseState::kRevoked) {
      table_.Free(record);
    } else if (stays(record)) {
      staying.Push(table_.group(record)->rank, record);
    } else {
      GiveBackWaiting(record);
    }
  }
  pool->queue = std::move(staying);
}

// REQUIRES: no queue names it any more.
void Session::GiveBackWaiting(uint32_t record) {
  Leave(record);
  table_.at(record).state = LeaseState::kFinished;
  Outcome outcome{.lease = table_.at(record).lease, .kind = Outcome::Kind::kGivenBack};
  outcome_bytes_ += outcome.bytes();
  pending_.outcomes.push_back(std::move(outcome));
  pending_.outcome_records.push_back(record);
}

bool Session::Finish(uint64_t lease, uint32_t* record) {
  *record = table_.Find(lease);
  if (*record == LeaseTable::kNone) return false;
  // Waiting records are named by their pool's queue. An outcome of a lease that waits is of an
  // earlier grant of the same lease.
  if (table_.at(*record).state == LeaseState::kWaiting) return false;
  Leave(*record);
  table_.at(*record).state = LeaseState::kFinished;
  return true;
}

void Session::Drop(uint32_t index, std::vector<uint64_t>* cancel) {
  LeaseRecord& record = table_.at(index);
  const LeaseState state = record.state;
  Leave(index);
  if (state == LeaseState::kWaiting) {
    record.state = LeaseState::kRevoked;  // The queue still names it.
    return;
  }
  if (state == LeaseState::kRunning) {
    if (record.handed_over) NoteGoingOn(index);
    cancel->push_back(record.lease);
  }
  table_.Free(index);
}

// To another pool's counts; not for waiting records.
void Session::Move(uint32_t index, Pool pool) {
  LeaseRecord& record = table_.at(index);
  const bool takes_slot = IsRunning(record) && !record.paused;
  PoolState& from = PoolOf(record);
  PoolState& to = pools_[Index(pool)];
  --(takes_slot ? from.running : from.held_beside);
  ++(takes_slot ? to.running : to.held_beside);
  record.pool = pool;
}

}  // namespace bue::worker
