#include "hub/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

Scheduler::Impl::Impl(const SchedulerOptions& options) : options_(options), leases_(options.epoch) {
  ready_.KeepIdleLines(options.idle_values);
}

// ----------------------------------------------------------------------------------------- load

absl::Status Scheduler::Impl::Load(HubSnapshot snapshot, absl::Time now) {
  now_ = now;
  now_us_ = absl::ToUnixMicros(now);
  ready_.SetNow(now);
  next_run_ = snapshot.next_run;
  if (!snapshot.runs.empty()) ready_.ForgetStarts(now);
  for (StoredRun& stored : snapshot.runs) {
    const uint64_t number = stored.added.run;
    Run* run = AddRun(std::move(stored.added), std::move(stored.program));
    run->SetListener(nullptr);
    run->starts_unknown_until = now;
    if (stored.state.empty()) {
      run->Begin();
    } else if (!run->Restore(stored.state)) {
      return absl::DataLossError(absl::StrCat("the stored state of run r", number, " is broken"));
    }
    for (const std::string& block : stored.blocks) {
      if (!run->RestoreBlock(block)) {
        return absl::DataLossError(absl::StrCat("a stored block of run r", number, " is broken"));
      }
    }
  }
  for (const Change& change : snapshot.changes) {
    Run* run = FindRun(change.run);
    if (run == nullptr) continue;  // Deleted later in the journal.
    if (change.kind == Change::Kind::kDeleted) {
      run_of_key_.erase(run->added().key);
      runs_.erase(change.run);
      continue;
    }
    if (!run->Apply(change)) {
      return absl::DataLossError(absl::StrCat("the journal has a change of run r", change.run,
                                              " that cannot have happened"));
    }
  }
  StartGrace(std::move(snapshot.workers));
  effects_ = &after_load_;
  active_runs_ = 0;
  for (const auto& [number, run] : runs_) {
    if (run->active()) ++active_runs_;
    run->SetListener(this);
    if (run->state() == RunState::kStopping) stopping_.insert(number);
    run->ResumeAfterLoad();
    if (!run->active()) ExpireLater(run.get());
  }
  effects_ = nullptr;
  return absl::OkStatus();
}

void Scheduler::Impl::StartGrace(std::vector<std::string> workers) {
  if (workers.empty()) return;  // Nobody can be running anything.
  ready_.SetBlind(true);
  awaited_.insert(workers.begin(), workers.end());
  for (std::string& worker : workers) recorded_workers_.emplace(std::move(worker), 0);
  in_grace_ = true;
  grace_end_ = now_ + options_.reattach_grace;
}

void Scheduler::Impl::EndGrace() {
  in_grace_ = false;
  grace_end_ = absl::InfiniteFuture();
  if (!std::exchange(awaited_, {}).empty()) {  // What these had, they may have started until now.
    ready_.ForgetStarts(now_);
    for (const auto& [number, run] : runs_) run->starts_unknown_until = now_;
  }
  ready_.ReleaseHeld();
  ready_.SetBlind(false);
  workers_changed_ = true;
}

// ------------------------------------------------------------------------------------- commands

void Scheduler::Impl::Apply(Command& command, absl::Time now, Effects* effects) {
  now_ = now;
  ready_.SetNow(now);
  now_us_ = absl::ToUnixMicros(now);
  effects_ = effects;
  std::visit([this](auto& c) { Handle(c); }, command);
  effects_ = nullptr;
}

Run* Scheduler::Impl::FindRun(uint64_t run) {
  const auto found = runs_.find(run);
  return found == runs_.end() ? nullptr : found->second.get();
}

Run* Scheduler::Impl::AddRun(RunAdded added, std::shared_ptr<const Program> program) {
  const uint64_t number = added.run;
  next_run_ = std::max(next_run_, number + 1);
  run_of_key_[added.key] = number;
  auto run = std::make_unique<Run>(std::move(added), std::move(program));
  Run* result = run.get();
  runs_[number] = std::move(run);
  result->SetListener(this);
  return result;
}

void Scheduler::Impl::Handle(SubmitRun& command) {
  const size_t program_hash = HashOfProgram(command.program_bytes);
  if (const auto known = run_of_key_.find(command.key); known != run_of_key_.end()) {
    const RunAdded& other = FindRun(known->second)->added();
    if (other.program_hash == program_hash) {
      Promise(command.request, absl::OkStatus(), RunAccepted{.run = other.run, .existed = true});
    } else {
      Promise(command.request,
              absl::AlreadyExistsError(
                  absl::StrCat("key '", command.key, "' belongs to run r", other.run,
                               ", whose script or files were others (", other.name,
                               "); choose another key, or delete that run")),
              Done{});
    }
    return;
  }
  if (active_runs_ >= options_.runs_max) {
    Answer(command.request,
           absl::ResourceExhaustedError(
               absl::StrCat("the hub already has ", options_.runs_max,
                            " runs under way, its limit; wait for some to end or cancel them")),
           Done{});
    return;
  }
  RunAdded added{.run = next_run_,
                 .key = std::move(command.key),
                 .name = std::move(command.name),
                 .weight = std::max<uint32_t>(1, command.weight),
                 .epoch = options_.epoch,
                 .added = now_,
                 .program = std::move(command.program_bytes),
                 .program_hash = program_hash};
  RunAdded kept = added;
  kept.program.clear();  // The compiled form is all that scheduling needs.
  Run* run = AddRun(std::move(kept), std::move(command.program));
  if (!run->graph().acyclic()) {
    run_of_key_.erase(added.key);
    runs_.erase(added.run);
    next_run_ = added.run;
    Answer(command.request,
           absl::InvalidArgumentError("the program's calls wait for each other in a circle"),
           Done{});
    return;
  }
  effects_->record.runs.push_back(std::move(added));
  ++active_runs_;
  Promise(command.request, absl::OkStatus(), RunAccepted{.run = run->number()});
  run->Begin();
}

// The record holds the cause before what follows from it.
void Scheduler::Impl::Do(Run* run, Change change, Item* item) {
  change.run = run->number();
  effects_->record.changes.push_back(change);
  CHECK(run->Apply(change, item));
}

void Scheduler::Impl::Promise(uint64_t request, absl::Status status, ReplyBody body) {
  effects_->outgoing.promises.replies.push_back(
      Reply{.request = request, .status = std::move(status), .body = std::move(body)});
}

void Scheduler::Impl::Answer(uint64_t request, absl::Status status, ReplyBody body) {
  effects_->outgoing.answers.push_back(
      Reply{.request = request, .status = std::move(status), .body = std::move(body)});
}

// --------------------------------------------------------------------------- what follows changes

void Scheduler::Impl::OnFollowing(const Change& change) {
  Change stored = change;
  if (change.kind == Change::Kind::kState) {
    stored.c = absl::ToUnixMicros(now_);
    Do(FindRun(change.run), stored);
    return;
  }
  effects_->record.changes.push_back(stored);
  if (change.kind == Change::Kind::kOpened &&
      !FindRun(change.run)->graph().region(change.node).refill) {
    reservations_.push_back(Reservation{.turn = turn_,
                                        .run = change.run,
                                        .instance = change.instance,
                                        .upto = Run::kFirstReservation});
  }
}

void Scheduler::Impl::OnDelete(uint64_t address) {
  effects_->outgoing.promises.deletions.push_back(address);
}

void Scheduler::Impl::OnInstanceGone(Run*, Instance*) {
  // Cursors name instances by number: one that is gone is skipped when its turn comes.
}

void Scheduler::Impl::OnRevoke(Run*, Item* item, uint32_t vertex) {
  struct Lease* lease = leases_.at(item->vertices[vertex].lease - 1);
  effects_->outgoing.revocations.push_back(
      Revocation{.worker = lease->worker->id, .lease = lease->id});
  AddGhost(*lease);
  FreeLease(lease, /*has_started=*/true);
}

void Scheduler::Impl::OnEnded(Run* run) {
  CHECK(active_runs_ > 0);
  --active_runs_;
  ready_.Drop(run);
  ForgetAsks(run);
  noted_runs_.erase(run->number());
  run->stats.recent = 0;
  run->stats.headway.Restart();
  effects_->outgoing.ended_runs.push_back(run->number());
  ended_.push_back(run->number());
  ExpireLater(run);
}

void Scheduler::Impl::ExpireLater(Run* run) {
  if (!run->expired()) expiries_.emplace(run->ended() + options_.keep_results, run->number());
}

void Scheduler::Impl::ExpireRuns() {
  while (!expiries_.empty() && expiries_.begin()->first <= now_) {
    Run* run = FindRun(expiries_.begin()->second);
    expiries_.erase(expiries_.begin());
    if (run != nullptr && !run->active()) Do(run, Change{.kind = Change::Kind::kExpired});
  }
}

// -------------------------------------------------------------------------------- turns and time

void Scheduler::Impl::Synced(uint64_t turn) { synced_ = std::max(synced_, turn); }

// Loops whose reservation reached the disk go on.
void Scheduler::Impl::TakeSynced() {
  while (!reservations_.empty() && reservations_.front().turn <= synced_) {
    const Reservation done = reservations_.front();
    reservations_.pop_front();
    Run* run = FindRun(done.run);
    Instance* instance = run == nullptr ? nullptr : run->FindInstance(done.instance);
    if (instance == nullptr || done.upto <= instance->durable) continue;
    instance->durable = done.upto;
    if (run->active() && Run::HasMore(*instance)) OnCursor(run, instance);
  }
}

absl::Time Scheduler::Impl::NextDeadline() const {
  absl::Time next = std::min({timers_.Next(), grace_end_, ready_.NextOpening(),
                              in_grace_ ? absl::InfiniteFuture() : recalls_.NextDeadline()});
  if (!overdue_.empty()) next = std::min(next, overdue_.begin()->first);
  for (const uint64_t run : stopping_) {
    const auto found = runs_.find(run);
    if (found != runs_.end()) next = std::min(next, found->second->stop_at());
  }
  if (!expiries_.empty()) next = std::min(next, expiries_.begin()->first);
  for (const uint64_t id : workers_.gone()) next = std::min(next, workers_.all().at(id)->gone_at);
  return next;
}

std::vector<uint64_t> Scheduler::Impl::DirtyRuns() const {
  std::vector<uint64_t> dirty;
  for (const auto& [number, run] : runs_) {
    if (run->dirty) dirty.push_back(number);
  }
  return dirty;
}

RunSnapshot Scheduler::Impl::SnapshotRun(uint64_t run) {
  Run* found = FindRun(run);
  CHECK(found != nullptr);
  return found->Snapshot();
}

void Scheduler::Impl::CheckInvariants() {
  uint64_t held = 0;
  for (const auto& [id, worker] : workers_.all()) {
    uint64_t listed = 0;
    for (const struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      CHECK(lease->worker == worker.get() && lease->id != 0);
      CHECK(lease->item->serial != 0);
      const Vertex& vertex = lease->item->vertices[lease->vertex];
      CHECK(vertex.state == VertexState::kLeased && vertex.lease == lease->slot + 1);
      ++listed;
    }
    CHECK(listed == worker->holds());
    held += listed;
  }
  CHECK(held == leases_.held());
  workers_.CheckInvariants();
  ready_.CheckInvariants();
  CheckRecalls();
  CheckGates();
  for (const auto& [number, run] : runs_) run->CheckInvariants();
}

// ------------------------------------------------------------------------------- the front door

Scheduler::Scheduler(const SchedulerOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Scheduler::~Scheduler() = default;

absl::Status Scheduler::Load(HubSnapshot snapshot, absl::Time now) {
  return impl_->Load(std::move(snapshot), now);
}
void Scheduler::Apply(Command& command, absl::Time now, Effects* effects) {
  impl_->Apply(command, now, effects);
}
void Scheduler::Match(absl::Time now, Effects* effects) { impl_->Match(now, effects); }
absl::Time Scheduler::NextDeadline() const { return impl_->NextDeadline(); }
void Scheduler::BeginTurn(uint64_t turn) { impl_->BeginTurn(turn); }
void Scheduler::Synced(uint64_t turn) { impl_->Synced(turn); }
bool Scheduler::AwaitsSync() const { return impl_->AwaitsSync(); }
std::vector<uint64_t> Scheduler::DirtyRuns() const { return impl_->DirtyRuns(); }
RunSnapshot Scheduler::SnapshotRun(uint64_t run) { return impl_->SnapshotRun(run); }
void Scheduler::CheckInvariants() const { impl_->CheckInvariants(); }

}  // namespace bue::hub
