#include "bucket/rocksdb_reader.h"

#include <rocksdb/db.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

absl::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class InlineReader final : public ObjectReader {
 public:
  InlineReader(const ObjectInfo& info, std::string data) : info_(info), data_(std::move(data)) {}

  const ObjectInfo& info() const override { return info_; }
  bool AtEnd() const override { return at_end_; }
  absl::StatusOr<std::optional<StoredChunk>> Next() override {
    if (at_end_) return std::optional<StoredChunk>();
    at_end_ = true;
    return std::optional<StoredChunk>(
        StoredChunk{.data = std::move(data_), .elements = info_.elements});
  }

 private:
  const ObjectInfo info_;
  std::string data_;
  bool at_end_ = false;
};

class ChunkReader final : public ObjectReader {
 public:
  // Reads chunks from `page`'s entry on, until the one after element `end - 1`. An empty page: from
  // the first chunk.
  ChunkReader(RocksDbEngine* engine, uint64_t sequence, const Head& head, IndexPage page,
              uint32_t chunk, uint64_t end)
      : engine_(engine),
        sequence_(sequence),
        info_(head.info),
        chunks_(head.chunks),
        end_(end),
        page_(std::move(page)),
        next_(chunk) {}

  const ObjectInfo& info() const override { return info_; }
  bool AtEnd() const override { return next_ >= chunks_; }

  absl::StatusOr<std::optional<StoredChunk>> Next() override {
    if (AtEnd()) return std::optional<StoredChunk>();
    ASSIGN_OR_RETURN(StoredChunk chunk, Read(next_++));
    if (IsList() && chunk.first_element >= end_ && !chunk.continued) {  // Behind the range.
      next_ = chunks_;
      return std::optional<StoredChunk>();
    }
    if (IsList() && chunk.first_element + chunk.elements >= end_ && NextIsBehind()) next_ = chunks_;
    return std::optional<StoredChunk>(std::move(chunk));
  }

 private:
  bool IsList() const { return info_.kind == ObjectKind::kList; }

  // Whether the index at hand says that the next chunk does not belong to the range.
  bool NextIsBehind() const {
    if (next_ < page_.first_chunk) return false;
    const size_t entry = next_ - page_.first_chunk;
    return entry < page_.entries.size() && page_.first_element(entry) >= end_ &&
           !page_.continued(entry);
  }

  absl::StatusOr<StoredChunk> Read(uint32_t number) {
    // Not cached: the operating system has it; small rows need our cache.
    ASSIGN_OR_RETURN(std::string row,
                     engine_->Read(sequence_, ChunkKey(sequence_, number), /*cache=*/false));
    absl::StatusOr<StoredChunk> chunk = DecodeChunk(std::move(row));
    return chunk.ok() ? std::move(chunk) : WithName(engine_->AddressOf(sequence_), chunk.status());
  }

  RocksDbEngine* const engine_;
  const uint64_t sequence_;
  const ObjectInfo info_;
  const uint32_t chunks_;
  const uint64_t end_;
  const IndexPage page_;
  uint32_t next_;
};

// The head out of its row, which then holds the object's data if that lies there.
absl::StatusOr<Head> TakeHead(RocksDbEngine* engine, uint64_t sequence, std::string* row) {
  absl::StatusOr<Head> head = DecodeHead(row);
  return head.ok() ? std::move(head) : WithName(engine->AddressOf(sequence), head.status());
}

// The page that names the chunk in which `element` begins.
absl::StatusOr<IndexPage> FindPage(RocksDbEngine* engine, uint64_t sequence, uint64_t element) {
  const uint64_t address = engine->AddressOf(sequence);
  const std::unique_ptr<rocksdb::Iterator> pages(engine->db()->NewIterator(rocksdb::ReadOptions()));
  pages->SeekForPrev(PageKey(sequence, element, UINT32_MAX));
  if (!pages->status().ok()) return RocksDbEngine::ReadError(address, pages->status());
  if (!pages->Valid() || SequenceOfKey(ToView(pages->key())) != sequence) {
    return absl::DataLossError(absl::StrCat(NameOf(address), ": its index is missing"));
  }
  absl::StatusOr<IndexPage> page = DecodePage(ToView(pages->key()), ToView(pages->value()));
  return page.ok() ? std::move(page) : WithName(address, page.status());
}

// The last entry that does not begin behind `element`: continued chunks name the element after
// theirs, so it is the one that holds the beginning.
uint32_t EntryOf(const IndexPage& page, uint64_t element) {
  uint32_t entry = 0;
  while (entry + 1 < page.entries.size() && page.first_element(entry + 1) <= element) ++entry;
  return entry;
}

// `first` may lie behind the end: nothing is read then.
absl::StatusOr<std::unique_ptr<ObjectReader>> OpenChunks(RocksDbEngine* engine, uint64_t sequence,
                                                         const Head& head, uint64_t first,
                                                         uint64_t end) {
  IndexPage page;
  uint32_t chunk = 0;
  if (first >= head.info.elements && first > 0) {
    chunk = head.chunks;
  } else if (first > 0) {
    ASSIGN_OR_RETURN(page, FindPage(engine, sequence, first));
    chunk = page.first_chunk + EntryOf(page, first);
  }
  return std::unique_ptr<ObjectReader>(
      std::make_unique<ChunkReader>(engine, sequence, head, std::move(page), chunk, end));
}

}  // namespace

absl::StatusOr<Head> ReadHead(RocksDbEngine* engine, uint64_t sequence) {
  ASSIGN_OR_RETURN(std::string row, engine->Read(sequence, HeadKey(sequence), /*cache=*/true));
  return TakeHead(engine, sequence, &row);
}

absl::StatusOr<std::unique_ptr<ObjectReader>> OpenRocksDbReader(RocksDbEngine* engine,
                                                                uint64_t sequence, std::string row,
                                                                uint64_t first, uint64_t count) {
  ASSIGN_OR_RETURN(const Head head, TakeHead(engine, sequence, &row));
  const bool range = count != 0;
  if (range && head.info.kind != ObjectKind::kList) {
    return absl::InvalidArgumentError(absl::StrCat(NameOf(engine->AddressOf(sequence)),
                                                   " is not a list: it can only be read whole"));
  }
  if (!IsChunked(sequence)) {
    return std::unique_ptr<ObjectReader>(std::make_unique<InlineReader>(head.info, std::move(row)));
  }
  const uint64_t behind_first = head.info.elements - std::min(first, head.info.elements);
  const uint64_t end = range && count < behind_first ? first + count : UINT64_MAX;
  return OpenChunks(engine, sequence, head, range ? first : 0, end);
}

}  // namespace bue::bucket
