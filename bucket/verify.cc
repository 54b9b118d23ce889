#include "bucket/verify.h"

#include <rocksdb/db.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bucket/database_options.h"
#include "bucket/object_rows.h"
#include "bucket/rocksdb_engine.h"
#include "bucket/store_directory.h"
#include "common/rocksdb/look.h"

namespace bue {
namespace {

using bucket::Head;
using bucket::IndexPage;
using bucket::RowKind;

constexpr char kRemedy[] =
    "move the directory away and start with an empty one: what it held is computed again, if its "
    "producers can run";
constexpr char kObjectRemedy[] =
    "nothing needs to be done: whoever reads it is told that it is gone, and its producer runs "
    "again";

absl::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// The rows of one object, as they come by.
struct Object {
  struct Chunk {
    uint64_t first_element = 0;
    uint64_t elements = 0;
    uint64_t bytes = 0;
    bool continued = false;
  };

  uint64_t sequence = 0;
  bool marked = false;
  std::optional<Head> head;
  uint64_t inline_bytes = 0;
  std::vector<Chunk> chunks;
  std::vector<IndexPage> pages;
  std::string wrong;  // The first thing that is.

  void Wrong(std::string what) {
    if (wrong.empty()) wrong = std::move(what);
  }
};

void TakeChunk(absl::string_view key, std::string value, Object* object) {
  const absl::StatusOr<bucket::StoredChunk> chunk = bucket::DecodeChunk(std::move(value));
  const uint32_t number = bucket::ChunkOfKey(key);
  if (!chunk.ok()) return object->Wrong(std::string(chunk.status().message()));
  if (number != object->chunks.size()) {
    object->Wrong(absl::StrCat("chunk ", object->chunks.size(), " is missing"));
  }
  object->chunks.push_back({.first_element = chunk->first_element,
                            .elements = chunk->elements,
                            .bytes = chunk->data.size(),
                            .continued = chunk->continued});
}

void TakePage(absl::string_view key, absl::string_view value, Object* object) {
  absl::StatusOr<IndexPage> page = bucket::DecodePage(key, value);
  if (!page.ok()) return object->Wrong(std::string(page.status().message()));
  if (page->first_element(0) != bucket::FirstElementOfKey(key)) {
    object->Wrong("a page of its index does not begin with the element that it should");
  }
  object->pages.push_back(*std::move(page));
}

void TakeHead(std::string value, Object* object) {
  absl::StatusOr<Head> head = bucket::DecodeHead(&value);
  if (!head.ok()) return object->Wrong(std::string(head.status().message()));
  object->head = *std::move(head);
  object->inline_bytes = value.size();
}

void TakeRow(absl::string_view key, absl::string_view value, Object* object) {
  switch (bucket::RowKindOf(key)) {
    case RowKind::kMarker:
      object->marked = true;
      return;
    case RowKind::kPage:
      return TakePage(key, value, object);
    case RowKind::kChunk:
      return TakeChunk(key, std::string(value), object);
    case RowKind::kHead:
      return TakeHead(std::string(value), object);
    case RowKind::kUnknown:
      return object->Wrong("it has a row that this version of bue does not know");
  }
}

// The chunks that count hold what the head says.
void CheckChunks(Object* object) {
  const Head& head = *object->head;
  if (head.chunks > object->chunks.size()) {
    return object->Wrong(
        absl::StrCat("it should have ", head.chunks, " chunks and has ", object->chunks.size()));
  }
  uint64_t elements = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < head.chunks; ++i) {
    const Object::Chunk& chunk = object->chunks[i];
    if (chunk.first_element != elements) {
      object->Wrong(absl::StrCat("chunk ", i, " begins with element ", chunk.first_element,
                                 ", not ", elements));
    }
    if (chunk.continued && chunk.elements > 0) {
      object->Wrong(absl::StrCat("chunk ", i, " goes on with an element and begins others"));
    }
    elements += chunk.elements;
    bytes += chunk.bytes;
  }
  if (elements != head.info.elements || bytes != head.info.bytes) {
    object->Wrong(absl::StrCat("its chunks hold ", elements, " elements and ", bytes,
                               " bytes, its head says ", head.info.elements, " and ",
                               head.info.bytes));
  }
}

// The index names the chunks that count, in order.
void CheckIndex(Object* object) {
  uint32_t next = 0;
  for (const IndexPage& page : object->pages) {
    if (page.first_chunk != next && next < object->head->chunks) {
      object->Wrong(absl::StrCat("its index does not name chunk ", next));
    }
    for (size_t i = 0; i < page.entries.size(); ++i) {
      const size_t number = page.first_chunk + i;
      if (number >= object->head->chunks) break;
      const Object::Chunk& chunk = object->chunks[number];
      if (page.first_element(i) != chunk.first_element || page.continued(i) != chunk.continued) {
        object->Wrong(absl::StrCat("its index is wrong about chunk ", number));
      }
    }
    next = page.first_chunk + static_cast<uint32_t>(page.entries.size());
  }
  if (next < object->head->chunks) {
    object->Wrong(absl::StrCat("its index does not name chunk ", next));
  }
}

class ObjectVerifier {
 public:
  ObjectVerifier(const bucket::StoreDirectory::Look& look, VerifyReport* report)
      : look_(look), report_(report) {}

  absl::Status Verify(rocksdb::DB* db) {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = 2 << 20;
    const std::unique_ptr<rocksdb::Iterator> row(db->NewIterator(options));
    Object object;
    for (row->SeekToFirst(); row->Valid(); row->Next()) {
      const uint64_t sequence = bucket::SequenceOfKey(ToView(row->key()));
      if (sequence != object.sequence) {
        End(&object);
        object = Object{.sequence = sequence};
      }
      TakeRow(ToView(row->key()), ToView(row->value()), &object);
      ++rows_;
    }
    End(&object);
    report_->Add("rows", rows_);
    report_->Add("objects", objects_);
    report_->Add("object bytes", bytes_);
    report_->Add("objects not finished", unfinished_);
    if (row->status().ok()) return absl::OkStatus();
    return absl::DataLossError(row->status().ToString());
  }

 private:
  void End(Object* object) {
    if (object->sequence == 0 && object->wrong.empty()) return;  // None yet.
    if (object->sequence / 2 >= look_.reserved) {
      report_->AddProblem(
          absl::StrCat(report_->directory, "/SEQUENCE"),
          absl::StrCat("it says that numbers up to ", look_.reserved, " are taken, but ",
                       bucket::NameOf(AddressOf(*object)), " has ", object->sequence / 2,
                       ": an address would be given twice"),
          absl::StrCat("write a number above ", object->sequence / 2, " into it"));
    }
    const bool chunked = bucket::IsChunked(object->sequence);
    if (object->head.has_value() && chunked) {
      CheckChunks(object);
      if (object->head->info.kind == ObjectKind::kList) CheckIndex(object);
    } else if (object->head.has_value() && object->inline_bytes != object->head->info.bytes) {
      object->Wrong(absl::StrCat("it holds ", object->inline_bytes, " bytes, its head says ",
                                 object->head->info.bytes));
    }
    if (!object->wrong.empty()) {
      report_->AddProblem(bucket::NameOf(AddressOf(*object)), object->wrong, kObjectRemedy);
    }
    ++objects_;
    if (object->head.has_value()) bytes_ += object->head->info.bytes;
    if (!object->head.has_value() || !object->head->info.finished) ++unfinished_;
  }

  uint64_t AddressOf(const Object& object) const {
    return MakeAddress(look_.store_id, object.sequence);
  }

  const bucket::StoreDirectory::Look& look_;
  VerifyReport* const report_;
  uint64_t rows_ = 0;
  uint64_t objects_ = 0;
  uint64_t bytes_ = 0;
  uint64_t unfinished_ = 0;
};

}  // namespace

absl::StatusOr<VerifyReport> VerifyBucket(const std::string& dir) {
  VerifyReport report{.role = "bucket", .directory = dir};
  const absl::StatusOr<bucket::StoreDirectory::Look> look = bucket::StoreDirectory::LookAt(dir);
  if (absl::IsNotFound(look.status())) return look.status();
  if (!look.ok()) {
    report.AddProblem(dir, std::string(look.status().message()), kRemedy);
    return report;
  }
  report.format = look->format;
  report.in_use_by = look->in_use_by;
  const rocksdb::Options database = bucket::DatabaseOptions({.data_dir = dir});
  const LookOptions options{.path = dir + "/db",
                            .in_use = !look->in_use_by.empty(),
                            .db = database,
                            .families = {{rocksdb::kDefaultColumnFamilyName, database}},
                            .remedy = kRemedy};
  LookAtTables(options, &report);
  const std::unique_ptr<LookedAt> looked_at = OpenToLook(options, &report);
  if (looked_at == nullptr) return report;
  const absl::Status read = ObjectVerifier(*look, &report).Verify(looked_at->db());
  if (!read.ok() && report.ok()) {
    report.AddProblem(options.path, std::string(read.message()), kRemedy);
  }
  return report;
}

}  // namespace bue
