#include "bucket/rocksdb_object_store.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bucket/object_rows.h"
#include "bucket/rocksdb_engine.h"
#include "bucket/rocksdb_reader.h"
#include "bucket/rocksdb_reclaim.h"
#include "bucket/rocksdb_scan.h"
#include "bucket/rocksdb_writer.h"
#include "bucket/store_directory.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

absl::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class Scan final : public ObjectScan {
 public:
  explicit Scan(RocksDbEngine* engine) : engine_(engine), heads_(engine) {}

  absl::StatusOr<std::unique_ptr<ObjectReader>> OpenReader(uint64_t address, uint64_t first,
                                                           uint64_t count) override {
    ASSIGN_OR_RETURN(const uint64_t sequence, engine_->SequenceFor(address));
    ASSIGN_OR_RETURN(std::string row, heads_.ReadHeadRow(sequence));
    return OpenRocksDbReader(engine_, sequence, std::move(row), first, count);
  }

 private:
  RocksDbEngine* const engine_;
  RocksDbScan heads_;
};

class Store final : public ObjectStore {
 public:
  Store(const RocksDbStoreOptions& options, std::unique_ptr<StoreDirectory> directory)
      : engine_(options, std::move(directory)) {}

  absl::Status Open() { return engine_.Open(); }

  uint16_t store_id() const override { return engine_.store_id(); }
  absl::Status CheckRoom() override { return engine_.CheckRoom(); }
  void Reclaim() override {
    if (reclaimed_ == engine_.deletions()) return;
    const uint64_t deletions = engine_.deletions();
    if (ReclaimSpace(&engine_)) reclaimed_ = deletions;
  }

  absl::StatusOr<std::vector<uint64_t>> Put(absl::Span<const NewObject> objects) override {
    size_t bytes = 0;
    for (const NewObject& object : objects) {
      RETURN_IF_ERROR(CheckChunkSize(object.data.size()));
      bytes += object.data.size() + kRowsBytes;
    }
    ASSIGN_OR_RETURN(const uint64_t counter, engine_.TakeCounters(objects.size()));
    std::vector<uint64_t> addresses;
    addresses.reserve(objects.size());
    rocksdb::WriteBatch batch(bytes);
    for (const NewObject& object : objects) {
      const bool chunked = object.data.size() > kInlineBytesMax;
      const uint64_t sequence = MakeSequence(counter + addresses.size(), chunked);
      AddWhole(&engine_, sequence, object, &batch);
      addresses.push_back(engine_.AddressOf(sequence));
    }
    RETURN_IF_ERROR(engine_.Write(&batch));
    engine_.CountObjects(static_cast<int64_t>(objects.size()));
    return addresses;
  }

  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(ObjectKind kind,
                                                           const Origin& origin) override {
    ASSIGN_OR_RETURN(const uint64_t counter, engine_.TakeCounters(1));
    return OpenRocksDbWriter(&engine_, MakeSequence(counter, true), kind, origin);
  }

  absl::Status Delete(absl::Span<const uint64_t> addresses) override {
    rocksdb::WriteBatch batch;
    absl::Status foreign;  // Does not keep the others from being deleted.
    for (const uint64_t address : addresses) {
      const absl::StatusOr<uint64_t> sequence = engine_.SequenceFor(address);
      if (!sequence.ok()) {
        foreign = sequence.status();
      } else if (IsChunked(*sequence)) {
        batch.DeleteRange(ObjectBegin(*sequence), ObjectBegin(*sequence + 1));
      } else {
        // Written exactly once, so the two rows annihilate as soon as they meet.
        batch.SingleDelete(HeadKey(*sequence));
      }
    }
    if (batch.Count() == 0) return foreign;
    RETURN_IF_ERROR(engine_.Write(&batch));
    engine_.CountObjects(-static_cast<int64_t>(batch.Count()));
    engine_.CountDeletion();
    return foreign;
  }

  absl::Status Sync() override { return engine_.Sync(); }

  absl::StatusOr<ObjectInfo> Describe(uint64_t address) override {
    ASSIGN_OR_RETURN(const uint64_t sequence, engine_.SequenceFor(address));
    ASSIGN_OR_RETURN(const Head head, ReadHead(&engine_, sequence));
    return head.info;
  }

  std::unique_ptr<ObjectScan> NewScan() override { return std::make_unique<Scan>(&engine_); }

  absl::Status ClaimFor(const std::string& hub) override { return engine_.ClaimFor(hub); }

  absl::StatusOr<std::vector<ListedObject>> List(uint64_t after, size_t limit) override {
    std::vector<ListedObject> listed;
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> rows(engine_.db()->NewIterator(options));
    rows->Seek(ObjectBegin(after == kNoObject ? 0 : SequenceOf(after) + 1));
    while (rows->Valid() && listed.size() < limit) {
      const uint64_t sequence = SequenceOfKey(ToView(rows->key()));
      const std::optional<Head> head = HeadAt(sequence, *rows);
      if (head.has_value()) {
        listed.push_back({.address = engine_.AddressOf(sequence), .info = head->info});
      }
      rows->Seek(ObjectBegin(sequence + 1));
    }
    if (!rows->status().ok()) return absl::InternalError(rows->status().ToString());
    return listed;
  }

  StoreStats Stats() override {
    StoreStats stats;
    stats.objects = static_cast<uint64_t>(std::max<int64_t>(0, engine_.objects()));
    uint64_t files = 0;
    uint64_t memory = 0;
    engine_.db()->GetIntProperty("rocksdb.total-sst-files-size", &files);
    engine_.db()->GetIntProperty("rocksdb.cur-size-all-mem-tables", &memory);
    stats.bytes = files + memory;
    stats.disk_free_bytes = engine_.FreeBytes();
    return stats;
  }

 private:
  // The head of the object whose first row `rows` is at; its marker if it was never flushed.
  // Without either it is what a writer left that went on after its object had been deleted:
  // nobody's. Nothing if they cannot be read.
  std::optional<Head> HeadAt(uint64_t sequence, const rocksdb::Iterator& rows) {
    if (IsChunked(sequence)) {
      const absl::StatusOr<Head> head = ReadHead(&engine_, sequence);
      if (head.ok()) return *head;
      if (!absl::IsNotFound(head.status())) return std::nullopt;
      if (!IsMarkerKey(ToView(rows.key()))) return Head{};
    }
    std::string row = rows.value().ToString();
    const absl::StatusOr<Head> head = DecodeHead(&row);
    if (!head.ok()) return std::nullopt;
    return *head;
  }

  RocksDbEngine engine_;
  // Deletions as of the last Reclaim that left nothing. Used by its caller only.
  uint64_t reclaimed_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> RocksDbObjectStore::Open(
    const RocksDbStoreOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<StoreDirectory> directory,
                   StoreDirectory::Open(options.data_dir));
  auto store = std::make_unique<Store>(options, std::move(directory));
  RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<ObjectStore>(std::move(store));
}

}  // namespace bue::bucket
