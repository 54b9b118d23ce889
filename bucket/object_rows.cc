#include "bucket/object_rows.h"

#include <cstddef>
#include <utility>

#include "common/check.h"

namespace bue::bucket {
namespace {

constexpr char kSmall = 0;
constexpr char kMarker = 0;
constexpr char kPage = 1;
constexpr char kChunk = 2;
constexpr char kHead = 3;
constexpr size_t kHeadKeyBytes = 9;
constexpr size_t kPageKeyBytes = 9 + 8 + 4;
constexpr size_t kChunkKeyBytes = 9 + 4;

constexpr uint8_t kFinishedFlag = 1;
constexpr uint8_t kContinuedFlag = 1;

// run, instance, item, lease, elements, bytes; node, chunks, created; kind, flags.
constexpr size_t kHeadTrailerBytes = 6 * 8 + 3 * 4 + 2;
// first element, elements; flags.
constexpr size_t kChunkTrailerBytes = 2 * 8 + 1;

template <typename Number>
void AppendBigEndian(Number number, std::string* out) {
  char bytes[sizeof(Number)];
  for (size_t i = 0; i < sizeof(Number); ++i) {
    bytes[i] = static_cast<char>(number >> (8 * (sizeof(Number) - 1 - i)));
  }
  out->append(bytes, sizeof(Number));
}

template <typename Number>
Number ReadBigEndian(const char* bytes) {
  Number number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    number = static_cast<Number>(number << 8) | static_cast<uint8_t>(bytes[i]);
  }
  return number;
}

template <typename Number>
void AppendLittleEndian(Number number, std::string* out) {
  char bytes[sizeof(Number)];
  for (size_t i = 0; i < sizeof(Number); ++i) {
    bytes[i] = static_cast<char>(static_cast<uint64_t>(number) >> (8 * i));
  }
  out->append(bytes, sizeof(Number));
}

// Reads fixed fields one after the other. The caller has checked the length.
class FieldReader {
 public:
  explicit FieldReader(const char* bytes) : next_(bytes) {}

  template <typename Number>
  Number Read() {
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(Number); ++i) {
      number |= uint64_t{static_cast<uint8_t>(*next_++)} << (8 * i);
    }
    return static_cast<Number>(number);
  }

 private:
  const char* next_;
};

// Short enough for a string without memory of its own, unless more is appended than a chunk's
// number.
std::string KeyOf(uint64_t sequence, char row) {
  std::string key;
  AppendBigEndian(sequence, &key);
  key.push_back(row);
  return key;
}

bool IsKind(uint8_t kind) {
  return kind >= static_cast<uint8_t>(ObjectKind::kValue) &&
         kind <= static_cast<uint8_t>(ObjectKind::kBytes);
}

}  // namespace

std::string ObjectBegin(uint64_t sequence) {
  std::string key;
  AppendBigEndian(sequence, &key);
  return key;
}

std::string HeadKey(uint64_t sequence) {
  return KeyOf(sequence, IsChunked(sequence) ? kHead : kSmall);
}

std::string MarkerKey(uint64_t sequence) { return KeyOf(sequence, kMarker); }

std::string PageKey(uint64_t sequence, uint64_t first_element, uint32_t first_chunk) {
  std::string key = KeyOf(sequence, kPage);
  AppendBigEndian(first_element, &key);
  AppendBigEndian(first_chunk, &key);
  return key;
}

std::string ChunkKey(uint64_t sequence, uint32_t chunk) {
  std::string key = KeyOf(sequence, kChunk);
  AppendBigEndian(chunk, &key);
  return key;
}

bool IsMarkerKey(absl::string_view key) { return key.size() == kHeadKeyBytes && key[8] == kMarker; }

uint64_t SequenceOfKey(absl::string_view key) {
  return key.size() < kHeadKeyBytes ? 0 : ReadBigEndian<uint64_t>(key.data());
}

RowKind RowKindOf(absl::string_view key) {
  if (key.size() < kHeadKeyBytes) return RowKind::kUnknown;
  const bool chunked = IsChunked(SequenceOfKey(key));
  const char kind = key[8];
  if (kind == kSmall && !chunked && key.size() == kHeadKeyBytes) return RowKind::kHead;
  if (!chunked) return RowKind::kUnknown;
  if (kind == kMarker && key.size() == kHeadKeyBytes) return RowKind::kMarker;
  if (kind == kPage && key.size() == kPageKeyBytes) return RowKind::kPage;
  if (kind == kChunk && key.size() == kChunkKeyBytes) return RowKind::kChunk;
  if (kind == kHead && key.size() == kHeadKeyBytes) return RowKind::kHead;
  return RowKind::kUnknown;
}

uint32_t ChunkOfKey(absl::string_view key) { return ReadBigEndian<uint32_t>(key.data() + 9); }

uint64_t FirstElementOfKey(absl::string_view key) {
  return ReadBigEndian<uint64_t>(key.data() + 9);
}

std::string EncodeHeadTrailer(const Head& head) {
  const ObjectInfo& info = head.info;
  std::string out;
  out.reserve(kHeadTrailerBytes);
  AppendLittleEndian(info.origin.run, &out);
  AppendLittleEndian(info.origin.instance, &out);
  AppendLittleEndian(info.origin.item, &out);
  AppendLittleEndian(info.origin.lease, &out);
  AppendLittleEndian(info.elements, &out);
  AppendLittleEndian(info.bytes, &out);
  AppendLittleEndian(info.origin.node, &out);
  AppendLittleEndian(head.chunks, &out);
  AppendLittleEndian(info.created_s, &out);
  AppendLittleEndian(static_cast<uint8_t>(info.kind), &out);
  AppendLittleEndian(static_cast<uint8_t>(info.finished ? kFinishedFlag : 0), &out);
  CHECK(out.size() == kHeadTrailerBytes);
  return out;
}

absl::StatusOr<Head> DecodeHead(std::string* row) {
  if (row->size() < kHeadTrailerBytes) return absl::DataLossError("its head row is too short");
  FieldReader fields(row->data() + row->size() - kHeadTrailerBytes);
  Head head;
  ObjectInfo& info = head.info;
  info.origin.run = fields.Read<uint64_t>();
  info.origin.instance = fields.Read<uint64_t>();
  info.origin.item = fields.Read<uint64_t>();
  info.origin.lease = fields.Read<uint64_t>();
  info.elements = fields.Read<uint64_t>();
  info.bytes = fields.Read<uint64_t>();
  info.origin.node = fields.Read<uint32_t>();
  head.chunks = fields.Read<uint32_t>();
  info.created_s = fields.Read<uint32_t>();
  const auto kind = fields.Read<uint8_t>();
  info.finished = (fields.Read<uint8_t>() & kFinishedFlag) != 0;
  if (!IsKind(kind)) return absl::DataLossError("its head row names no kind");
  info.kind = static_cast<ObjectKind>(kind);
  row->resize(row->size() - kHeadTrailerBytes);
  return head;
}

std::string EncodeChunkTrailer(uint64_t first_element, uint64_t elements, bool continued) {
  std::string out;
  AppendLittleEndian(first_element, &out);
  AppendLittleEndian(elements, &out);
  AppendLittleEndian(static_cast<uint8_t>(continued ? kContinuedFlag : 0), &out);
  CHECK(out.size() == kChunkTrailerBytes);
  return out;
}

absl::StatusOr<StoredChunk> DecodeChunk(std::string row) {
  if (row.size() < kChunkTrailerBytes) return absl::DataLossError("a chunk row is too short");
  FieldReader fields(row.data() + row.size() - kChunkTrailerBytes);
  StoredChunk chunk;
  chunk.first_element = fields.Read<uint64_t>();
  chunk.elements = fields.Read<uint64_t>();
  chunk.continued = (fields.Read<uint8_t>() & kContinuedFlag) != 0;
  row.resize(row.size() - kChunkTrailerBytes);
  chunk.data = std::move(row);
  return chunk;
}

std::string EncodePage(const IndexPage& page) {
  std::string out;
  out.reserve(page.entries.size() * 8);
  for (const uint64_t entry : page.entries) AppendLittleEndian(entry, &out);
  return out;
}

absl::StatusOr<IndexPage> DecodePage(absl::string_view key, absl::string_view value) {
  if (key.size() != kPageKeyBytes || key[8] != kPage || value.empty() || value.size() % 8 != 0) {
    return absl::DataLossError("its index is malformed");
  }
  IndexPage page;
  page.first_chunk = ReadBigEndian<uint32_t>(key.data() + kPageKeyBytes - 4);
  FieldReader fields(value.data());
  page.entries.reserve(value.size() / 8);
  for (size_t i = 0; i < value.size() / 8; ++i) page.entries.push_back(fields.Read<uint64_t>());
  return page;
}

}  // namespace bue::bucket
