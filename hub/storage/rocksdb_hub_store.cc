#include "hub/storage/rocksdb_hub_store.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <random>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/varint.h"
#include "hub/storage/data_directory.h"
#include "hub/storage/database.h"
#include "hub/storage/history_rows.h"
#include "hub/storage/record_codec.h"
#include "hub/storage/row_loader.h"
#include "hub/storage/rows.h"

namespace bue::hub {
namespace {

constexpr uint64_t kTightBytes = 64 << 20;  // More than is written at once.

using rocksdb::Slice;

// A turn's number holds the epoch, so that no two hubs' turns meet.
constexpr int kTurnBits = 40;
constexpr size_t kBatchBytesKept = 1 << 20;
// Beyond a run's byte limit a final error is kept without its traceback, up to this many times it.
constexpr uint64_t kFinalErrorsFactor = 4;

std::string NewId() {
  std::random_device random;
  return absl::StrCat(absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8));
}

}  // namespace

class RocksdbHubStore::Impl {
 public:
  Impl(std::unique_ptr<DataDirectory> directory, const HubStoreOptions& options)
      : directory_(std::move(directory)), options_(options) {}
  ~Impl();

  absl::Status OpenDatabase();
  uint64_t epoch() const { return epoch_; }
  const std::string& id() const { return id_; }

  absl::StatusOr<HubSnapshot> Load();
  absl::Status Commit(uint64_t turn, const TurnRecord& record);
  absl::Status Sync() {
    const absl::MutexLockMaybe alone(AloneWhenTight());
    RETURN_IF_ERROR(CheckWritable());
    const uint64_t turn = committed_turn_;
    RETURN_IF_ERROR(Wrote(db_->SyncWAL(), "sync"));
    uint64_t synced = synced_turn_;
    while (synced < turn && !synced_turn_.compare_exchange_weak(synced, turn)) {
    }
    return absl::OkStatus();
  }
  absl::Status Checkpoint(uint64_t turn, const std::vector<RunSnapshot>& runs, uint64_t drop_to);
  uint64_t JournalBytes() const { return journal_weight_; }
  absl::Status CheckSpace() { return directory_->CheckSpace(options_.free_bytes_min); }

  absl::Status PutFile(absl::string_view sha256, absl::string_view content) {
    const absl::MutexLockMaybe alone(AloneWhenTight());
    RETURN_IF_ERROR(CheckWritable());
    return Wrote(db_->Put({}, ToSlice(FileKey(sha256)), ToSlice(content)), "write to");
  }
  absl::StatusOr<std::string> GetFile(absl::string_view sha256);
  absl::StatusOr<bool> HasFile(absl::string_view sha256);

  // Decodes rows of errors or logs from `cursor` on.
  template <typename Record, typename Decode>
  absl::Status ReadRows(Row row, uint64_t run, std::string* cursor, const Decode& decode,
                        const std::function<bool(const Record&)>& visit);
  absl::Status ReadHistory(uint64_t run, std::string* cursor,
                           const std::function<bool(const PastEvent&)>& visit)
      ABSL_LOCKS_EXCLUDED(first_turns_mutex_);

 private:
  using Iterator = std::unique_ptr<rocksdb::Iterator>;

  absl::Status Done(const rocksdb::Status& status, absl::string_view doing) const {
    return ToStatus(status, doing, directory_->path());
  }
  // As Done, for what writes: its first failure is the last. What is on disk is unknown then, and
  // RocksDB would abort the process, without a word of ours, on a sync of a log it could not write.
  absl::Status Wrote(const rocksdb::Status& status, absl::string_view doing)
      ABSL_LOCKS_EXCLUDED(failure_mutex_) {
    if (status.ok()) return absl::OkStatus();
    absl::MutexLock lock(&failure_mutex_);
    if (failure_.ok()) failure_ = Done(status, doing);
    failed_ = true;
    return failure_;
  }
  // A sync beside a write that fails would meet the same end before we know of the failure. So on a
  // disk that is about to be full they wait for each other. Null: there is room.
  absl::Mutex* AloneWhenTight() {
    return directory_->CheckSpace(kTightBytes).ok() ? nullptr : &tight_mutex_;
  }
  absl::Status CheckWritable() ABSL_LOCKS_EXCLUDED(failure_mutex_) {
    if (!failed_) return absl::OkStatus();
    absl::MutexLock lock(&failure_mutex_);
    return failure_;
  }

  absl::Status BeginEpoch();
  absl::Status DropUnusedFiles(const HubSnapshot& snapshot);

  absl::Status WriteBatch();
  void AddRuns(uint64_t turn, const TurnRecord& record) ABSL_LOCKS_EXCLUDED(first_turns_mutex_);
  void AddJournal(uint64_t turn, const TurnRecord& record);
  void AddErrors(uint64_t turn, const TurnRecord& record);
  void AddLogs(uint64_t turn, const TurnRecord& record);
  void DropDeletedRuns(const TurnRecord& record) ABSL_LOCKS_EXCLUDED(first_turns_mutex_);
  bool KeepError(const ErrorRecord& error, ErrorRecord* shortened);

  // Constant after OpenDatabase.
  const std::unique_ptr<DataDirectory> directory_;
  const HubStoreOptions options_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::ColumnFamilyHandle* rows_ = nullptr;
  rocksdb::ColumnFamilyHandle* journal_ = nullptr;
  rocksdb::ColumnFamilyHandle* history_ = nullptr;
  std::unique_ptr<RowLoader> loader_;
  std::unique_ptr<HistoryRows> history_rows_;
  uint64_t epoch_ = 0;
  std::string id_;

  absl::Mutex tight_mutex_;  // Held while writing or syncing, when the disk is nearly full.
  std::atomic<bool> failed_{false};
  absl::Mutex failure_mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(failure_mutex_);

  std::atomic<uint64_t> committed_turn_{0};
  std::atomic<uint64_t> synced_turn_{0};  // Everything up to it is on disk.
  absl::Mutex first_turns_mutex_;
  // By run: there is no history of it before that turn.
  absl::flat_hash_map<uint64_t, uint64_t> first_turns_ ABSL_GUARDED_BY(first_turns_mutex_);

  // Used by the thread that commits only.
  rocksdb::WriteBatch batch_;
  std::string packed_;
  std::deque<JournalTurn> journal_turns_;
  uint64_t journal_weight_ = 0;
  uint64_t next_run_ = 1;
  absl::flat_hash_map<uint64_t, uint64_t> error_bytes_;  // By run.
};

RocksdbHubStore::Impl::~Impl() {
  if (db_ == nullptr) return;
  // So that the next opening replays nothing. A failure costs time then, no data.
  (void)db_->Flush({}, {rows_, journal_, history_});
  for (rocksdb::ColumnFamilyHandle* family : {rows_, journal_, history_}) {
    (void)db_->DestroyColumnFamilyHandle(family);
  }
  (void)db_->Close();
}

absl::Status RocksdbHubStore::Impl::OpenDatabase() {
  RETURN_IF_ERROR(CheckSpace());
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  rocksdb::DBOptions options = DatabaseOptions();
  if (options_.env != nullptr) options.env = options_.env;
  RETURN_IF_ERROR(Done(rocksdb::DB::Open(options, DatabasePath(directory_->path()),
                                         Families(options_.history_bytes), &handles, &db),
                       "open"));
  db_.reset(db);
  rows_ = handles[0];
  journal_ = handles[1];
  history_ = handles[2];
  loader_ = std::make_unique<RowLoader>(db, rows_, journal_, directory_->path());
  history_rows_ = std::make_unique<HistoryRows>(db, rows_, history_, directory_->path());
  return BeginEpoch();
}

absl::Status RocksdbHubStore::Impl::BeginEpoch() {
  ASSIGN_OR_RETURN(const uint64_t last, loader_->ReadNumber(kEpochKey));
  RETURN_IF_ERROR(CheckEpoch(last, directory_->epoch(), directory_->path()));
  epoch_ = last + 1;
  committed_turn_ = synced_turn_ = epoch_ << kTurnBits;  // What was there is on disk.
  std::string bytes;
  PutVarint(epoch_, &bytes);
  rocksdb::WriteBatch batch;
  batch.Put(kEpochKey, bytes);
  const rocksdb::Status known = db_->Get({}, kIdKey, &id_);
  if (known.IsNotFound()) {
    id_ = NewId();
    batch.Put(kIdKey, id_);
  } else if (!known.ok()) {
    return Done(known, "read");
  }
  rocksdb::WriteOptions durable;
  durable.sync = true;
  RETURN_IF_ERROR(Done(db_->Write(durable, &batch), "write to"));
  return directory_->RecordEpoch(epoch_);
}

absl::StatusOr<HubSnapshot> RocksdbHubStore::Impl::Load() {
  ASSIGN_OR_RETURN(LoadedRows loaded, loader_->Load());
  for (const JournalTurn& row : loaded.journal) journal_weight_ += row.weight;
  journal_turns_.assign(loaded.journal.begin(), loaded.journal.end());
  error_bytes_ = std::move(loaded.error_bytes);
  next_run_ = loaded.snapshot.next_run;
  {
    absl::MutexLock lock(&first_turns_mutex_);
    for (const StoredRun& run : loaded.snapshot.runs) {
      first_turns_[run.added.run] = run.added.epoch << kTurnBits;
    }
  }
  RETURN_IF_ERROR(DropUnusedFiles(loaded.snapshot));
  return std::move(loaded.snapshot);
}

// An upload that never became a run leaves files behind. Nothing is uploaded yet while we load.
absl::Status RocksdbHubStore::Impl::DropUnusedFiles(const HubSnapshot& snapshot) {
  absl::flat_hash_set<std::string> used;
  for (const StoredRun& run : snapshot.runs) {
    for (const File& file : run.program->files) used.insert(file.sha256);
  }
  return loader_->Scan({"f", 1}, [&](Slice key, Slice) {
    if (used.contains(std::string(key.data() + 1, key.size() - 1))) return absl::OkStatus();
    return Done(db_->Delete({}, key), "write to");
  });
}

// -------------------------------------------------------------------------------------- writing

absl::Status RocksdbHubStore::Impl::Commit(uint64_t turn, const TurnRecord& record) {
  batch_.Clear();
  AddRuns(turn, record);
  AddJournal(turn, record);
  AddErrors(turn, record);
  AddLogs(turn, record);
  if (record.workers_changed) batch_.Put(kWorkersKey, EncodeNames(record.workers));
  if (options_.history_bytes > 0) history_rows_->Add(turn, record.history, &batch_);
  DropDeletedRuns(record);
  RETURN_IF_ERROR(WriteBatch());
  committed_turn_ = turn;
  return absl::OkStatus();
}

// A large program's memory is not kept for the next turn.
absl::Status RocksdbHubStore::Impl::WriteBatch() {
  RETURN_IF_ERROR(CheckWritable());
  const absl::MutexLockMaybe alone(AloneWhenTight());
  RETURN_IF_ERROR(CheckWritable());
  const absl::Status status = Wrote(db_->Write({}, &batch_), "write to");
  if (batch_.GetDataSize() > kBatchBytesKept) batch_ = rocksdb::WriteBatch();
  return status;
}

void RocksdbHubStore::Impl::AddRuns(uint64_t turn, const TurnRecord& record) {
  if (record.runs.empty()) return;
  absl::MutexLock lock(&first_turns_mutex_);
  for (const RunAdded& run : record.runs) {
    first_turns_[run.run] = turn;
    batch_.Put(RowKey(kRun, run.run), EncodeRun(run));
    next_run_ = std::max(next_run_, run.run + 1);
  }
  std::string bytes;
  PutVarint(next_run_, &bytes);
  batch_.Put(kNextRunKey, bytes);
}

void RocksdbHubStore::Impl::AddJournal(uint64_t turn, const TurnRecord& record) {
  if (record.changes.empty()) return;
  CHECK(journal_turns_.empty() || journal_turns_.back().turn < turn);
  packed_.clear();
  EncodeChanges(record.changes, &packed_);
  batch_.Put(journal_, BigEndian(turn), packed_);
  journal_turns_.push_back({turn, packed_.size() + kChangeWeight * record.changes.size()});
  journal_weight_ += journal_turns_.back().weight;
}

// Whether there is room for the record; `shortened` is what to keep instead when there is little.
bool RocksdbHubStore::Impl::KeepError(const ErrorRecord& error, ErrorRecord* shortened) {
  const uint64_t bytes = error_bytes_[error.run];
  if (bytes < options_.error_bytes_per_run_max) return true;
  if (!error.final || bytes >= kFinalErrorsFactor * options_.error_bytes_per_run_max) return false;
  *shortened = error;
  shortened->traceback.clear();
  shortened->message.resize(std::min<size_t>(shortened->message.size(), 200));
  return true;
}

void RocksdbHubStore::Impl::AddErrors(uint64_t turn, const TurnRecord& record) {
  if (record.errors.empty()) return;
  std::deque<ErrorRecord> shortened;
  absl::flat_hash_map<uint64_t, std::vector<const ErrorRecord*>> by_run;
  for (const ErrorRecord& error : record.errors) {
    ErrorRecord small;
    if (!KeepError(error, &small)) continue;
    const bool whole = small.step.empty();
    by_run[error.run].push_back(whole ? &error : &shortened.emplace_back(std::move(small)));
  }
  for (const auto& [run, errors] : by_run) {
    const std::string bytes = EncodeErrors(errors);
    error_bytes_[run] += bytes.size();
    batch_.Put(TurnKey(kErrors, run, turn), bytes);
  }
}

void RocksdbHubStore::Impl::AddLogs(uint64_t turn, const TurnRecord& record) {
  if (record.logs.empty()) return;
  absl::flat_hash_map<uint64_t, std::vector<const LogAdded*>> by_run;
  for (const LogAdded& log : record.logs) by_run[log.run].push_back(&log);
  for (const auto& [run, logs] : by_run) batch_.Put(TurnKey(kLogs, run, turn), EncodeLogs(logs));
}

void RocksdbHubStore::Impl::DropDeletedRuns(const TurnRecord& record) {
  for (const Change& change : record.changes) {
    if (change.kind != Change::Kind::kDeleted) continue;
    error_bytes_.erase(change.run);
    {
      absl::MutexLock lock(&first_turns_mutex_);
      first_turns_.erase(change.run);
    }
    batch_.Delete(RowKey(kRun, change.run));
    batch_.Delete(RowKey(kState, change.run));
    for (const Row row : {kBlock, kErrors, kLogs}) {
      batch_.DeleteRange(RowKey(row, change.run), RowKey(row, change.run + 1));
    }
  }
}

absl::Status RocksdbHubStore::Impl::Checkpoint(uint64_t turn, const std::vector<RunSnapshot>& runs,
                                               uint64_t drop_to) {
  batch_.Clear();
  for (const RunSnapshot& run : runs) {
    packed_.clear();
    PutVarint(turn, &packed_);
    PutBytes(run.state, &packed_);
    batch_.Put(RowKey(kState, run.run), packed_);
    for (const RunSnapshot::Block& block : run.blocks) {
      batch_.Put(RowKey(kBlock, run.run) + block.key, block.bytes);
    }
  }
  if (drop_to > 0) batch_.DeleteRange(journal_, BigEndian(0), BigEndian(drop_to + 1));
  RETURN_IF_ERROR(WriteBatch());
  while (!journal_turns_.empty() && journal_turns_.front().turn <= drop_to) {
    journal_weight_ -= journal_turns_.front().weight;
    journal_turns_.pop_front();
  }
  return absl::OkStatus();
}

// ---------------------------------------------------------------------------- files, errors, logs

absl::StatusOr<std::string> RocksdbHubStore::Impl::GetFile(absl::string_view sha256) {
  std::string content;
  const rocksdb::Status status = db_->Get({}, ToSlice(FileKey(sha256)), &content);
  if (status.IsNotFound()) return absl::NotFoundError("the hub has no file of that hash");
  RETURN_IF_ERROR(Done(status, "read"));
  return content;
}

absl::StatusOr<bool> RocksdbHubStore::Impl::HasFile(absl::string_view sha256) {
  rocksdb::PinnableSlice content;
  const rocksdb::Status status = db_->Get({}, rows_, ToSlice(FileKey(sha256)), &content);
  if (status.IsNotFound()) return false;
  RETURN_IF_ERROR(Done(status, "read"));
  return true;
}

// A cursor is the key of a row and how many of its records were visited.
template <typename Record, typename Decode>
absl::Status RocksdbHubStore::Impl::ReadRows(Row row, uint64_t run, std::string* cursor,
                                             const Decode& decode,
                                             const std::function<bool(const Record&)>& visit) {
  const std::string prefix = run == 0 ? std::string(1, row) : RowKey(row, run);
  VarintReader position(*cursor);
  std::string start(position.Bytes());
  uint64_t skip = position.Varint();
  if (start.compare(0, prefix.size(), prefix) != 0) {
    start = prefix;
    skip = 0;
  }
  const Iterator it(db_->NewIterator({}, rows_));
  for (it->Seek(start); it->Valid() && it->key().starts_with(prefix); it->Next()) {
    if (it->key() != Slice(start)) skip = 0;
    ASSIGN_OR_RETURN(const std::vector<Record> records,
                     decode(RunOfKey(ToView(it->key())), ToView(it->value())));
    for (size_t i = skip; i < records.size(); ++i) {
      const bool go_on = visit(records[i]);
      cursor->clear();
      PutBytes(ToView(it->key()), cursor);
      PutVarint(i + 1, cursor);
      if (!go_on) return absl::OkStatus();
    }
  }
  return Done(it->status(), "read");
}

// Who is told of an end relies on it: so it is on disk first.
absl::Status RocksdbHubStore::Impl::ReadHistory(
    uint64_t run, std::string* cursor, const std::function<bool(const PastEvent&)>& visit) {
  HistoryRows::Turns turns{.upto = committed_turn_};
  if (synced_turn_ < turns.upto) RETURN_IF_ERROR(Sync());
  {
    absl::MutexLock lock(&first_turns_mutex_);
    const auto first = first_turns_.find(run);
    if (first == first_turns_.end()) return absl::OkStatus();  // It was deleted.
    turns.from = first->second;
  }
  return history_rows_->Read(run, turns, cursor, visit);
}

// ------------------------------------------------------------------------------------ front door

RocksdbHubStore::RocksdbHubStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksdbHubStore::~RocksdbHubStore() = default;

absl::StatusOr<std::unique_ptr<RocksdbHubStore>> RocksdbHubStore::Open(
    const std::string& dir, const HubStoreOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<DataDirectory> directory, DataDirectory::Open(dir));
  auto impl = std::make_unique<Impl>(std::move(directory), options);
  RETURN_IF_ERROR(impl->OpenDatabase());
  return absl::WrapUnique(new RocksdbHubStore(std::move(impl)));
}

uint64_t RocksdbHubStore::epoch() const { return impl_->epoch(); }
const std::string& RocksdbHubStore::id() const { return impl_->id(); }
uint64_t RocksdbHubStore::first_turn() const { return (impl_->epoch() << kTurnBits) + 1; }

absl::StatusOr<HubSnapshot> RocksdbHubStore::Load() { return impl_->Load(); }
absl::Status RocksdbHubStore::Commit(uint64_t turn, const TurnRecord& record) {
  return impl_->Commit(turn, record);
}
absl::Status RocksdbHubStore::Sync() { return impl_->Sync(); }
absl::Status RocksdbHubStore::Checkpoint(uint64_t turn, const std::vector<RunSnapshot>& runs,
                                         uint64_t drop_to) {
  return impl_->Checkpoint(turn, runs, drop_to);
}
uint64_t RocksdbHubStore::JournalBytes() const { return impl_->JournalBytes(); }
absl::Status RocksdbHubStore::CheckSpace() { return impl_->CheckSpace(); }

absl::Status RocksdbHubStore::PutFile(absl::string_view sha256, absl::string_view content) {
  return impl_->PutFile(sha256, content);
}
absl::StatusOr<std::string> RocksdbHubStore::GetFile(absl::string_view sha256) {
  return impl_->GetFile(sha256);
}
absl::StatusOr<bool> RocksdbHubStore::HasFile(absl::string_view sha256) {
  return impl_->HasFile(sha256);
}

absl::Status RocksdbHubStore::ReadErrors(uint64_t run, std::string* cursor,
                                         const std::function<bool(const ErrorRecord&)>& visit) {
  return impl_->ReadRows<ErrorRecord>(kErrors, run, cursor, DecodeErrors, visit);
}
absl::Status RocksdbHubStore::ReadLogs(uint64_t run, std::string* cursor,
                                       const std::function<bool(const LogAdded&)>& visit) {
  return impl_->ReadRows<LogAdded>(kLogs, run, cursor, DecodeLogs, visit);
}
absl::Status RocksdbHubStore::ReadHistory(uint64_t run, std::string* cursor,
                                          const std::function<bool(const PastEvent&)>& visit) {
  return impl_->ReadHistory(run, cursor, visit);
}

}  // namespace bue::hub
