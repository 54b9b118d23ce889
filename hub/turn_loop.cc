#include "hub/turn_loop.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::hub {
namespace {

// A checkpoint's slice ends when its snapshots take up this much, however quickly they were made.
constexpr size_t kSliceBytes = 4 << 20;

// A Post takes the turn of a command of so many units itself. More would hold up its thread, which
// others wait for as well.
constexpr size_t kPostersUnits = 256;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

// What a command takes up in the inbox.
size_t Units(const Command& command) {
  return std::visit(
      Overloaded{
          [](const SubmitRun& submit) { return 1 + submit.program_bytes.size() / 64; },
          [](const QueryOwnership& query) { return 1 + query.objects.size(); },
          [](const WorkerJoined& joined) { return 1 + joined.held.size(); },
          [](const WorkerReported& report) {
            return 1 + report.outcomes.size() + report.eager.size() + report.progress.size() +
                   report.learned.size();
          },
          [](const auto&) { return size_t{1}; },
      },
      command);
}

size_t Bytes(const RunSnapshot& snapshot) {
  size_t bytes = snapshot.state.size();
  for (const RunSnapshot::Block& block : snapshot.blocks) bytes += block.bytes.size();
  return bytes;
}

void EndProcess(const absl::Status& status) {
  log::critical("hub cannot go on error={} action=exit", status);
  std::_Exit(1);
}

}  // namespace

TurnLoop::TurnLoop(TurnLoopOptions options, Scheduler* scheduler, HubStore* store, Outbox* outbox,
                   const Clock* clock)
    : options_(std::move(options)),
      scheduler_(scheduler),
      store_(store),
      outbox_(outbox),
      clock_(clock),
      turn_(options_.first_turn - 1) {
  CHECK(options_.first_turn > 0);
}

TurnLoop::~TurnLoop() { Stop(); }

void TurnLoop::Start() {
  turn_thread_ = std::thread([this] { RunTurns(); });
  sync_thread_ = std::thread([this] { RunSyncs(); });
}

absl::Status TurnLoop::Post(Command command) {
  const size_t units = Units(command);
  const bool always = std::holds_alternative<WorkerGone>(command);
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_ || failed_) return absl::UnavailableError("the hub is stopping");
    if (!always && inbox_units_ + units > options_.inbox_units_max) {
      return absl::ResourceExhaustedError("the hub is overloaded: its inbox is full; try again");
    }
    const bool awake = !waiting_ || posters_turn_;
    if (awake || !Rests() || units > kPostersUnits) {
      inbox_units_ += units;
      inbox_.push_back(std::move(command));
      if (!awake) wake_.Signal();
      return absl::OkStatus();
    }
    posters_turn_ = true;
  }
  RunPostersTurn(std::move(command));
  return absl::OkStatus();
}

void TurnLoop::Stop() {
  if (!turn_thread_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  turn_thread_.join();
  {
    absl::MutexLock lock(&promises_mutex_);
    no_more_turns_ = true;
    promised_.Signal();
  }
  sync_thread_.join();
  if (failed_) return;
  if (checkpoint_turn_ == 0) BeginCheckpoint();
  absl::Status status;
  while (status.ok() && checkpoint_turn_ != 0) status = WriteCheckpointSlice();
  if (status.ok()) status = store_->Sync();
  if (!status.ok()) Fail(status);
}

// -------------------------------------------------------------------------------------- a turn

absl::Status TurnLoop::RunTurn(std::vector<Command>* commands, absl::Time now) {
  ++turn_;
  effects_.Clear();
  TellSynced();
  scheduler_->BeginTurn(turn_);
  for (Command& command : *commands) scheduler_->Apply(command, now, &effects_);
  scheduler_->Match(now, &effects_);
  awaits_sync_ = scheduler_->AwaitsSync();
  RETURN_IF_ERROR(CommitAndPublish());
  commands->clear();
  return AdvanceCheckpoint();
}

absl::Status TurnLoop::CommitAndPublish() {
  const bool changed = !effects_.record.empty();
  if (changed) RETURN_IF_ERROR(store_->Commit(turn_, effects_.record));
  const bool runs_ended = !effects_.outgoing.ended_runs.empty();
  outbox_->Publish(&effects_.outgoing);
  HandOverPromises(changed);
  if (runs_ended) LogEndedRuns();  // Nobody waits for that.
  return absl::OkStatus();
}

void TurnLoop::HandOverPromises(bool committed) {
  Outgoing& outgoing = effects_.outgoing;
  if (!committed && outgoing.promises.empty()) return;
  bool at_once = options_.sync_os;
  if (!at_once) {
    absl::MutexLock lock(&promises_mutex_);
    at_once = !committed && !syncing_ && promised_turn_ == 0 && promises_.empty();
    if (!at_once) {
      if (committed) promised_turn_ = turn_;
      promises_.Take(&outgoing.promises);
      promised_.Signal();
    }
  }
  if (!at_once) return;
  outbox_->PublishPromises(std::exchange(outgoing.promises, {}));
  if (committed) Synced(turn_);
}

void TurnLoop::LogEndedRuns() const {
  for (const Change& change : effects_.record.changes) {
    const RunState state = static_cast<RunState>(change.a);
    if (change.kind != Change::Kind::kState || IsActive(state)) continue;
    log::info("run ended run=r{} state={}", change.run, NameOf(state));
  }
}

void TurnLoop::TellSynced() {
  uint64_t synced = 0;
  {
    absl::MutexLock lock(&mutex_);
    synced = synced_turn_;
  }
  if (synced <= told_synced_) return;
  told_synced_ = synced;
  scheduler_->Synced(synced);
}

// ----------------------------------------------------------------------------------- the threads

void TurnLoop::RunTurns() {
  std::vector<Command> commands;
  for (bool more = true; more;) {
    more = TakeCommands(&commands);
    if (failed_) return;
    if (absl::Status status = RunTurn(&commands, clock_->Now()); !status.ok()) return Fail(status);
  }
}

bool TurnLoop::Rests() const {
  return inbox_.empty() && !stopping_ && !failed_ && checkpoint_turn_ == 0 &&
         (!awaits_sync_ || synced_turn_ <= told_synced_);
}

bool TurnLoop::TakeCommands(std::vector<Command>* commands) {
  absl::MutexLock lock(&mutex_);
  while (posters_turn_ || Rests()) {
    waits_until_ = posters_turn_ ? absl::InfiniteFuture() : scheduler_->NextDeadline();
    const absl::Duration left = waits_until_ - clock_->Now();
    if (left <= absl::ZeroDuration()) break;
    waiting_ = true;
    wake_.WaitWithTimeout(&mutex_, left);
    waiting_ = false;
  }
  commands->swap(inbox_);
  inbox_units_ = 0;
  return !stopping_;
}

void TurnLoop::RunPostersTurn(Command command) {
  std::vector<Command> commands;
  commands.push_back(std::move(command));
  if (absl::Status status = RunTurn(&commands, clock_->Now()); !status.ok()) Fail(status);
  absl::MutexLock lock(&mutex_);
  posters_turn_ = false;
  if (!Rests() || scheduler_->NextDeadline() < waits_until_) wake_.Signal();
}

void TurnLoop::RunSyncs() {
  while (true) {
    {
      absl::MutexLock lock(&promises_mutex_);
      while (promised_turn_ == 0 && promises_.empty() && !no_more_turns_) {
        promised_.Wait(&promises_mutex_);
      }
      if (promised_turn_ == 0 && promises_.empty()) return;
    }
    if (absl::Status status = SyncTurns(); !status.ok()) return Fail(status);
  }
}

absl::Status TurnLoop::SyncTurns() {
  uint64_t turn = 0;
  Promises promises;
  {
    absl::MutexLock lock(&promises_mutex_);
    std::swap(turn, promised_turn_);
    std::swap(promises, promises_);
    syncing_ = true;
  }
  if (turn != 0) RETURN_IF_ERROR(store_->Sync());
  if (!promises.empty()) outbox_->PublishPromises(std::move(promises));
  {
    absl::MutexLock lock(&promises_mutex_);
    syncing_ = false;
  }
  if (turn != 0) Synced(turn);
  return absl::OkStatus();
}

void TurnLoop::Synced(uint64_t turn) {
  absl::MutexLock lock(&mutex_);
  synced_turn_ = std::max(synced_turn_, turn);
  if (awaits_sync_ && waiting_ && !posters_turn_) wake_.Signal();
}

void TurnLoop::Fail(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (failed_.exchange(true)) return;
    wake_.Signal();
  }
  if (options_.on_fatal) {
    options_.on_fatal(status);
  } else {
    EndProcess(status);
  }
}

// ------------------------------------------------------------------------------------ checkpoints

absl::Status TurnLoop::AdvanceCheckpoint() {
  if (checkpoint_turn_ != 0) {
    ForgetDeletedRuns();
  } else if (store_->JournalBytes() > options_.checkpoint_bytes) {
    BeginCheckpoint();
  } else {
    return absl::OkStatus();
  }
  return WriteCheckpointSlice();
}

void TurnLoop::BeginCheckpoint() {
  checkpoint_turn_ = turn_;
  checkpoint_runs_ = scheduler_->DirtyRuns();
  absl::c_reverse(checkpoint_runs_);
}

// Writes what a slice of time or bytes allows; the last slice drops the journal up to the turn in
// which the checkpoint began, so that a run's changes since then stay.
absl::Status TurnLoop::WriteCheckpointSlice() {
  const absl::Time end = clock_->Now() + options_.checkpoint_slice;
  std::vector<RunSnapshot> snapshots;
  size_t bytes = 0;
  while (!checkpoint_runs_.empty()) {
    snapshots.push_back(scheduler_->SnapshotRun(checkpoint_runs_.back()));
    checkpoint_runs_.pop_back();
    bytes += Bytes(snapshots.back());
    if (bytes >= kSliceBytes || clock_->Now() >= end) break;
  }
  const bool last = checkpoint_runs_.empty();
  RETURN_IF_ERROR(store_->Checkpoint(turn_, snapshots, last ? checkpoint_turn_ : 0));
  if (last) checkpoint_turn_ = 0;
  return absl::OkStatus();
}

void TurnLoop::ForgetDeletedRuns() {
  absl::flat_hash_set<uint64_t> deleted;
  for (const Change& change : effects_.record.changes) {
    if (change.kind == Change::Kind::kDeleted) deleted.insert(change.run);
  }
  if (deleted.empty()) return;
  std::erase_if(checkpoint_runs_, [&](uint64_t run) { return deleted.contains(run); });
}

}  // namespace bue::hub
