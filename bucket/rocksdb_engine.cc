#include "bucket/rocksdb_engine.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bucket/database_options.h"
#include "bucket/object_rows.h"
#include "common/check.h"
#include "common/rocksdb/log_ahead.h"

namespace bue::bucket {
namespace {

// Object counters are reserved on disk in blocks of this many.
constexpr uint64_t kReserveBlock = 1 << 20;

}  // namespace

std::string NameOf(uint64_t address) { return absl::StrFormat("object %016x", address); }

absl::Status WithName(uint64_t address, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(NameOf(address), ": ", status.message()));
}

RocksDbEngine::RocksDbEngine(const RocksDbStoreOptions& options,
                             std::unique_ptr<StoreDirectory> directory)
    : options_(options),
      directory_(std::move(directory)),
      space_(directory_->path(), options.low_water_bytes, options.free_bytes),
      next_counter_(directory_->reserved()) {}

RocksDbEngine::~RocksDbEngine() = default;

absl::Status RocksDbEngine::Open() {
  rocksdb::Options options = DatabaseOptions(options_);
  env_ = LogAheadEnv(options.env);
  options.env = env_.get();
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory_->db_path(), &db);
  db_.reset(db);
  if (status.ok()) {
    uint64_t keys = 0;
    db_->GetIntProperty("rocksdb.estimate-num-keys", &keys);
    objects_ = static_cast<int64_t>(keys);
    return CheckSequence();
  }
  const std::string text = absl::StrCat("data directory '", directory_->path(),
                                        "' cannot be opened: ", status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  if (status.IsCorruption()) {
    return absl::DataLossError(absl::StrCat(
        text, "; `bue bucket --verify` names what is damaged; restore it from a copy, ",
        "or move it away and start with an empty one: what it held is computed again, ",
        "if its producers can run"));
  }
  return absl::InternalError(
      absl::StrCat(text, "; if a file is missing or damaged, restore it from a copy, or move the ",
                   "directory away and start with an empty one"));
}

// A SEQUENCE that was restored from an old copy would give addresses twice.
absl::Status RocksDbEngine::CheckSequence() {
  const std::unique_ptr<rocksdb::Iterator> last(db_->NewIterator(rocksdb::ReadOptions()));
  last->SeekToLast();
  if (!last->Valid()) return absl::OkStatus();  // Empty; or damaged there, which reads will find.
  const uint64_t counter = SequenceOfKey({last->key().data(), last->key().size()}) / 2;
  if (counter < directory_->reserved()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "data directory '", directory_->path(), "': its file SEQUENCE says that numbers ", "up to ",
      directory_->reserved(), " are taken, but an object has ", counter,
      ": it is older than the objects; restore it, with a number above ", counter));
}

uint64_t RocksDbEngine::AddressOf(uint64_t sequence) const {
  return MakeAddress(store_id(), sequence);
}

absl::StatusOr<uint64_t> RocksDbEngine::SequenceFor(uint64_t address) const {
  if (StoreOf(address) == store_id()) return SequenceOf(address);
  return absl::FailedPreconditionError(
      absl::StrCat(NameOf(address), " belongs to store ", StoreOf(address),
                   ", this bucket is store ", store_id(), ": give the bucket that has it, too"));
}

absl::StatusOr<uint64_t> RocksDbEngine::TakeCounters(uint64_t count) {
  absl::MutexLock lock(&counter_mutex_);
  while (next_counter_ + count > directory_->reserved()) {
    const absl::Status status = directory_->Reserve(directory_->reserved() + kReserveBlock);
    if (!status.ok()) return Break(status);
  }
  const uint64_t first = next_counter_;
  next_counter_ += count;
  CHECK(MakeSequence(next_counter_, true) <= kSequenceMax);
  return first;
}

absl::Status RocksDbEngine::Write(rocksdb::WriteBatch* batch) {
  if (broken_.load()) return BrokenError();
  const rocksdb::Status status = db_->Write(rocksdb::WriteOptions(), batch);
  return status.ok() ? absl::OkStatus() : Break(absl::InternalError(status.ToString()));
}

absl::Status RocksDbEngine::Sync() {
  if (broken_.load()) return BrokenError();
  if (!options_.fsync) return absl::OkStatus();
  const rocksdb::Status status = db_->SyncWAL();
  return status.ok() ? absl::OkStatus() : Break(absl::InternalError(status.ToString()));
}

absl::Status RocksDbEngine::ClaimFor(const std::string& hub) {
  absl::MutexLock lock(&counter_mutex_);  // It also guards the directory's files.
  return directory_->ClaimFor(hub);
}

absl::StatusOr<std::string> RocksDbEngine::Read(uint64_t sequence, const std::string& key,
                                                bool cache) {
  rocksdb::ReadOptions options;
  options.fill_cache = cache;
  std::string row;
  const rocksdb::Status status = db_->Get(options, key, &row);
  if (!status.ok()) return ReadError(AddressOf(sequence), status);
  return row;
}

absl::Status RocksDbEngine::ReadError(uint64_t address, const rocksdb::Status& status) {
  if (status.IsNotFound()) {
    return absl::NotFoundError(absl::StrCat(NameOf(address), " does not exist (any more)"));
  }
  const std::string text = absl::StrCat(NameOf(address), ": ", status.ToString());
  return status.IsCorruption() ? absl::DataLossError(text) : absl::InternalError(text);
}

absl::Status RocksDbEngine::CheckRoom() { return space_.CheckRoom(options_.clock->Now()); }

uint32_t RocksDbEngine::NowSeconds() const {
  return static_cast<uint32_t>(absl::ToUnixSeconds(options_.clock->Now()));
}

// A write failed: what is on disk is unknown, so nothing is promised from here on.
absl::Status RocksDbEngine::Break(const absl::Status& status) {
  const absl::Status error = absl::InternalError(absl::StrCat(
      "data directory '", directory_->path(), "': cannot write: ", status.message(),
      "; mend what is named and start the bucket again (`bue bucket --verify` looks at ",
      "its files): nothing that was acknowledged depends on this write"));
  if (!broken_.exchange(true) && options_.on_broken) options_.on_broken(error);
  return error;
}

absl::Status RocksDbEngine::BrokenError() const {
  return absl::UnavailableError(absl::StrCat("data directory '", directory_->path(),
                                             "': an earlier write failed; start the bucket again"));
}

}  // namespace bue::bucket
