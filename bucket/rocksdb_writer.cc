#include "bucket/rocksdb_writer.h"

#include <rocksdb/slice.h>
#include <rocksdb/write_batch.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bucket/object_rows.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

absl::Status CheckContinued(bool continued, uint64_t elements) {
  if (!continued || elements == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a continued chunk goes on with one element and must not begin others");
}

void AddParts(const std::string& key, absl::string_view data, const std::string& trailer,
              rocksdb::WriteBatch* batch) {
  const rocksdb::Slice key_parts[] = {key};
  const rocksdb::Slice value_parts[] = {{data.data(), data.size()}, trailer};
  batch->Put(rocksdb::SliceParts(key_parts, 1), rocksdb::SliceParts(value_parts, 2));
}

class ChunkWriter final : public ObjectWriter {
 public:
  ChunkWriter(RocksDbEngine* engine, uint64_t sequence, ObjectKind kind, const Origin& origin)
      : engine_(engine), sequence_(sequence) {
    written_.info = {.kind = kind, .origin = origin, .created_s = engine->NowSeconds()};
  }

  ~ChunkWriter() override {
    if (!closed_ && !flushed_ && marked_) (void)Abort();
  }

  absl::Status Append(absl::Span<const NewChunk> chunks) override {
    size_t bytes = kRowsBytes;
    for (const NewChunk& chunk : chunks) {
      RETURN_IF_ERROR(CheckChunkSize(chunk.data.size()));
      RETURN_IF_ERROR(CheckContinued(chunk.continued, chunk.elements));
      bytes += chunk.data.size() + kRowsBytes;
    }
    rocksdb::WriteBatch batch(bytes);
    // With the first chunks goes the marker, so that whatever happens a sweep finds them.
    if (!marked_) batch.Put(MarkerKey(sequence_), EncodeHeadTrailer(written_));
    for (const NewChunk& chunk : chunks) AddChunk(chunk, &batch);
    return Write(&batch);
  }

  absl::StatusOr<ObjectProgress> Flush() override {
    rocksdb::WriteBatch batch;
    if (!page_.entries.empty()) AddPage(&batch);
    batch.Put(HeadKey(sequence_), EncodeHeadTrailer(written_));
    RETURN_IF_ERROR(Write(&batch));
    flushed_ = true;
    return ObjectProgress{.address = engine_->AddressOf(sequence_),
                          .elements = written_.info.elements,
                          .bytes = written_.info.bytes};
  }

  absl::StatusOr<ObjectProgress> Finish() override {
    written_.info.finished = true;
    absl::StatusOr<ObjectProgress> progress = Flush();
    closed_ = progress.ok();
    return progress;
  }

  absl::Status Abort() override {
    closed_ = true;
    if (!marked_) return absl::OkStatus();
    engine_->CountObjects(-1);
    engine_->CountDeletion();
    rocksdb::WriteBatch batch;
    batch.DeleteRange(ObjectBegin(sequence_), ObjectBegin(sequence_ + 1));
    return engine_->Write(&batch);
  }

 private:
  absl::Status Write(rocksdb::WriteBatch* batch) {
    RETURN_IF_ERROR(engine_->Write(batch));
    if (!marked_) engine_->CountObjects(1);
    marked_ = true;
    return absl::OkStatus();
  }

  void AddChunk(const NewChunk& chunk, rocksdb::WriteBatch* batch) {
    ObjectInfo& info = written_.info;
    AddParts(ChunkKey(sequence_, written_.chunks), chunk.data,
             EncodeChunkTrailer(info.elements, chunk.elements, chunk.continued), batch);
    if (info.kind == ObjectKind::kList) AddToIndex(chunk, batch);
    ++written_.chunks;
    info.elements += chunk.elements;
    info.bytes += chunk.data.size();
  }

  void AddToIndex(const NewChunk& chunk, rocksdb::WriteBatch* batch) {
    if (page_.entries.size() == kPageEntriesMax) {
      AddPage(batch);
      page_.entries.clear();
    }
    if (page_.entries.empty()) page_.first_chunk = written_.chunks;
    page_.entries.push_back(written_.info.elements | (chunk.continued ? kContinuedBit : 0));
  }

  void AddPage(rocksdb::WriteBatch* batch) {
    batch->Put(PageKey(sequence_, page_.first_element(0), page_.first_chunk), EncodePage(page_));
  }

  RocksDbEngine* const engine_;
  const uint64_t sequence_;
  Head written_;  // As it would be if all that was appended were flushed.
  IndexPage page_;
  bool marked_ = false;  // Something is written.
  bool flushed_ = false;
  bool closed_ = false;
};

}  // namespace

absl::Status CheckChunkSize(size_t bytes) {
  if (bytes <= kChunkBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a chunk or a whole object of ", bytes,
                                                 " bytes; at most ", kChunkBytesMax,
                                                 " are allowed: stream it in chunks"));
}

void AddWhole(RocksDbEngine* engine, uint64_t sequence, const NewObject& object,
              rocksdb::WriteBatch* batch) {
  Head head{.info = {.kind = object.kind,
                     .origin = object.origin,
                     .elements = object.elements,
                     .bytes = object.data.size(),
                     .finished = true,
                     .created_s = engine->NowSeconds()}};
  if (IsChunked(sequence)) {
    head.chunks = 1;
    AddParts(ChunkKey(sequence, 0), object.data, EncodeChunkTrailer(0, object.elements, false),
             batch);
    if (object.kind == ObjectKind::kList) {
      batch->Put(PageKey(sequence, 0, 0), EncodePage({.entries = {0}}));
    }
    batch->Put(HeadKey(sequence), EncodeHeadTrailer(head));
  } else {
    AddParts(HeadKey(sequence), object.data, EncodeHeadTrailer(head), batch);
  }
}

std::unique_ptr<ObjectWriter> OpenRocksDbWriter(RocksDbEngine* engine, uint64_t sequence,
                                                ObjectKind kind, const Origin& origin) {
  return std::make_unique<ChunkWriter>(engine, sequence, kind, origin);
}

}  // namespace bue::bucket
