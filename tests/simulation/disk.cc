#include "tests/simulation/disk.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "common/program/program_codec.h"
#include "common/status_macros.h"
#include "common/varint.h"
#include "hub/storage/history_codec.h"
#include "hub/storage/record_codec.h"

namespace bue::sim {
namespace {

std::string Key(char kind, uint64_t run) { return absl::StrFormat("%c%08d.", kind, run); }
uint64_t RunOf(absl::string_view key) { return std::stoull(std::string(key.substr(1, 8))); }

constexpr char kEpoch[] = "mepoch";
constexpr char kNextRun[] = "mnext_run";
constexpr char kWorkers[] = "mworkers";

uint64_t ReadNumber(const std::map<std::string, std::string>& rows, const char* key) {
  const auto found = rows.find(key);
  return found == rows.end() ? 0 : VarintReader(found->second).Varint();
}

std::string Number(uint64_t number) {
  std::string bytes;
  PutVarint(number, &bytes);
  return bytes;
}

}  // namespace

// ------------------------------------------------------------------------------------- the disk

void Disk::Sync(size_t count) {
  count = std::min(count, unsynced_.size());
  for (size_t i = 0; i < count; ++i) Apply(unsynced_[i]);
  unsynced_.erase(unsynced_.begin(), unsynced_.begin() + static_cast<std::ptrdiff_t>(count));
}

void Disk::Apply(const Batch& batch) {
  for (const auto& [key, value] : batch.puts) rows_[key] = value;
  for (const auto& [turn, value] : batch.journal) journal_[turn] = value;
  for (const std::string& prefix : batch.prefixes_deleted) {
    auto row = rows_.lower_bound(prefix);
    while (row != rows_.end() && absl::StartsWith(row->first, prefix)) row = rows_.erase(row);
  }
  journal_.erase(journal_.begin(), journal_.upper_bound(batch.drop_journal_to));
}

// ------------------------------------------------------------------------------------ the store

DiskHubStore::DiskHubStore(Disk* disk, Fault fault) : disk_(disk), fault_(std::move(fault)) {
  disk_->Open();
  epoch_ = ReadNumber(disk_->rows(), kEpoch) + 1;
  Disk::Batch batch;
  batch.puts.emplace_back(kEpoch, Number(epoch_));
  disk_->Write(std::move(batch));
  disk_->Open();
}

absl::StatusOr<hub::HubSnapshot> DiskHubStore::Load() {
  hub::HubSnapshot snapshot;
  std::map<uint64_t, uint64_t> state_turns;
  std::map<uint64_t, size_t> index;
  for (const auto& [key, value] : disk_->rows()) {
    if (key[0] != 'r') continue;
    ASSIGN_OR_RETURN(hub::RunAdded added, hub::DecodeRun(value));
    v1::Program proto;
    CHECK(proto.ParseFromString(added.program));
    ASSIGN_OR_RETURN(Program program, FromProto(proto));
    added.program_hash = hub::HashOfProgram(added.program);
    added.program.clear();
    index[added.run] = snapshot.runs.size();
    state_turns[added.run] = 0;
    snapshot.runs.push_back({.added = std::move(added),
                             .program = std::make_shared<const Program>(std::move(program))});
  }
  for (const auto& [key, value] : disk_->rows()) {
    if (key[0] != 's' && key[0] != 'b') continue;
    const auto run = index.find(RunOf(key));
    if (run == index.end()) continue;
    hub::StoredRun& stored = snapshot.runs[run->second];
    if (key[0] == 'b') {
      stored.blocks.push_back(value);
      continue;
    }
    VarintReader reader(value);
    state_turns[run->first] = reader.Varint();
    stored.state = std::string(reader.Bytes());
  }
  for (const auto& [turn, value] : disk_->journal()) {
    std::vector<hub::Change> changes;
    RETURN_IF_ERROR(hub::DecodeChanges(value, &changes));
    journal_weights_[turn] = value.size();
    journal_bytes_ += value.size();
    for (const hub::Change& change : changes) {
      const auto known = state_turns.find(change.run);
      if (known != state_turns.end() && turn > known->second) snapshot.changes.push_back(change);
    }
  }
  snapshot.next_run = next_run_ = std::max<uint64_t>(1, ReadNumber(disk_->rows(), kNextRun));
  if (const auto names = disk_->rows().find(kWorkers); names != disk_->rows().end()) {
    ASSIGN_OR_RETURN(snapshot.workers, hub::DecodeNames(names->second));
  }
  return snapshot;
}

// Whatever ends a task or drops it by its own word is told, once, and nothing else is. That each
// task ends once is what the run's history says.
void DiskHubStore::CheckHistory(const hub::TurnRecord& record) {
  using End = hub::HistoryEvent::End;
  size_t next = 0;
  const std::vector<hub::HistoryEvent>& events = record.history.events;
  for (const hub::Change& change : record.changes) {
    End end = End::kNone;
    if (change.kind == hub::Change::Kind::kSucceeded) end = End::kSucceeded;
    if (change.kind == hub::Change::Kind::kFailed) end = End::kFailed;
    if (change.kind == hub::Change::Kind::kFiltered) end = End::kFiltered;
    if (change.kind == hub::Change::Kind::kRefill && change.b == 0) end = End::kSucceeded;
    if (end == End::kNone) continue;
    while (next < events.size() && events[next].task == End::kNone) ++next;
    CHECK(next < events.size());
    const hub::HistoryEvent& event = events[next++];
    CHECK(event.task == end && event.run == change.run && event.node == change.node);
    CHECK(event.instance == change.instance);
    CHECK(event.instance == 0 || event.item == change.item);
    CHECK(event.queued_us <= event.ended_us && event.started_us <= event.ended_us);
    CHECK(event.started_us == 0 || event.queued_us <= event.started_us);
  }
  while (next < events.size() && events[next].task == End::kNone) ++next;
  CHECK(next == events.size());
  for (size_t begin = 0; begin < events.size();) {
    std::string bytes;
    begin += hub::EncodeHistory(record.history, begin, &bytes);
    CHECK(hub::DecodeHistory(bytes).ok());
  }
}

absl::Status DiskHubStore::Commit(uint64_t turn, const hub::TurnRecord& record) {
  RETURN_IF_ERROR(fault_(StorePoint::kBeforeCommit));
  ++commits_;
  CheckHistory(record);
  Disk::Batch batch;
  for (const hub::RunAdded& run : record.runs) {
    batch.puts.emplace_back(Key('r', run.run), hub::EncodeRun(run));
    next_run_ = std::max(next_run_, run.run + 1);
    batch.puts.emplace_back(kNextRun, Number(next_run_));
  }
  if (!record.changes.empty()) {
    std::string packed;
    hub::EncodeChanges(record.changes, &packed);
    journal_weights_[turn] = packed.size();
    journal_bytes_ += packed.size();
    batch.journal.emplace_back(turn, std::move(packed));
  }
  std::map<uint64_t, std::vector<const hub::ErrorRecord*>> errors;
  for (const hub::ErrorRecord& error : record.errors) errors[error.run].push_back(&error);
  for (const auto& [run, list] : errors) {
    batch.puts.emplace_back(Key('e', run) + absl::StrFormat("%020d", turn),
                            hub::EncodeErrors(list));
  }
  if (record.workers_changed) batch.puts.emplace_back(kWorkers, hub::EncodeNames(record.workers));
  for (const hub::Change& change : record.changes) {
    if (change.kind != hub::Change::Kind::kDeleted) continue;
    for (const char kind : {'r', 's', 'b', 'e'}) {
      batch.prefixes_deleted.push_back(Key(kind, change.run));
    }
  }
  disk_->Write(std::move(batch));
  return fault_(StorePoint::kAfterCommit);
}

// What is committed while the disk is at work is not covered.
absl::Status DiskHubStore::Sync() {
  const size_t covered = disk_->unsynced();
  disk_->Sync(covered);
  durable_commits_ = commits_;
  return fault_(StorePoint::kSynced);
}

absl::Status DiskHubStore::Checkpoint(uint64_t turn, const std::vector<hub::RunSnapshot>& runs,
                                      uint64_t drop_to) {
  RETURN_IF_ERROR(fault_(StorePoint::kBeforeCheckpoint));
  Disk::Batch batch;
  for (const hub::RunSnapshot& run : runs) {
    std::string bytes = Number(turn);
    PutBytes(run.state, &bytes);
    batch.puts.emplace_back(Key('s', run.run), std::move(bytes));
    for (const hub::RunSnapshot::Block& block : run.blocks) {
      batch.puts.emplace_back(Key('b', run.run) + block.key, block.bytes);
    }
  }
  batch.drop_journal_to = drop_to;
  disk_->Write(std::move(batch));
  checkpoint_under_way_ = drop_to == 0;
  while (!journal_weights_.empty() && journal_weights_.begin()->first <= drop_to) {
    journal_bytes_ -= journal_weights_.begin()->second;
    journal_weights_.erase(journal_weights_.begin());
  }
  return fault_(StorePoint::kAfterCheckpoint);
}

absl::Status DiskHubStore::ReadErrors(uint64_t run, std::string*,
                                      const std::function<bool(const hub::ErrorRecord&)>& visit) {
  disk_->Open();
  const std::string prefix = Key('e', run);
  for (auto row = disk_->rows().lower_bound(prefix);
       row != disk_->rows().end() && absl::StartsWith(row->first, prefix); ++row) {
    ASSIGN_OR_RETURN(const std::vector<hub::ErrorRecord> errors,
                     hub::DecodeErrors(run, row->second));
    for (const hub::ErrorRecord& error : errors) {
      if (!visit(error)) return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

}  // namespace bue::sim
