// Rows: how objects lie in RocksDB. The on-disk format, number kFormatVersion; change one, change
// the other.
//
//   key                                              value
//   sequence 8 | 0                                   small objects: data + HeadTrailer
//                                                    others: a HeadTrailer, the marker
//   sequence 8 | 1 | first element 8 | first chunk 4 index page: 8 bytes for each chunk (lists
//   only) sequence 8 | 2 | chunk 4                         chunk: data + ChunkTrailer sequence 8 |
//   3                                   objects that are not small: a HeadTrailer
//
// Numbers are big endian in keys, so that rows lie in the order of sequences, chunks and elements,
// and little endian in values. A sequence is an object's counter * 2, + 1 if it is not small: small
// is what was put whole with up to kInlineBytesMax. So the address alone says how to delete an
// object.
//
// A streamed object's marker is written first, so that a sweep finds its rows whatever happens; its
// head is written by a flush or at the end. Thus rows come mostly in the order of their keys, and
// RocksDB can leave its files as they are instead of merging them.
//
// The head says how many chunks count: rows beyond them were never flushed. An index entry is the
// chunk's first element, with kContinuedBit if the chunk is continued. Fixed fields follow the
// data, so that data is cut off a value without moving it.
//
// Pure.
#ifndef BUE_BUCKET_OBJECT_ROWS_H_
#define BUE_BUCKET_OBJECT_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bucket/object_store.h"

namespace bue::bucket {

inline constexpr int kFormatVersion = 1;
inline constexpr uint64_t kInlineBytesMax = 64 << 10;
inline constexpr size_t kPageEntriesMax = 256;
inline constexpr uint64_t kContinuedBit = uint64_t{1} << 63;

inline constexpr uint64_t MakeSequence(uint64_t counter, bool chunked) {
  return counter * 2 + (chunked ? 1 : 0);
}
// Of the object put after this one, if both are small.
inline constexpr uint64_t NextSequence(uint64_t sequence) { return sequence + 2; }
inline constexpr bool IsChunked(uint64_t sequence) { return (sequence & 1) != 0; }

std::string ObjectBegin(uint64_t sequence);  // At or before every row of the object.
std::string HeadKey(uint64_t sequence);
std::string MarkerKey(uint64_t sequence);  // Of an object that is not small.
std::string PageKey(uint64_t sequence, uint64_t first_element, uint32_t first_chunk);
std::string ChunkKey(uint64_t sequence, uint32_t chunk);

bool IsMarkerKey(absl::string_view key);        // Or a small object's head.
uint64_t SequenceOfKey(absl::string_view key);  // 0 if it is no row's key.

// What lies under a key.
enum class RowKind { kMarker, kPage, kChunk, kHead, kUnknown };
RowKind RowKindOf(absl::string_view key);           // kHead for a small object's, too.
uint32_t ChunkOfKey(absl::string_view key);         // REQUIRES: kChunk.
uint64_t FirstElementOfKey(absl::string_view key);  // REQUIRES: kPage.

struct Head {
  ObjectInfo info;
  uint32_t chunks = 0;  // Chunk rows that count; 0 when the data lies in the head row.
};
// The bytes that follow a head's data.
std::string EncodeHeadTrailer(const Head& head);
// Cuts the trailer off `row`, which then holds the data. DataLoss if it is none.
absl::StatusOr<Head> DecodeHead(std::string* row);

std::string EncodeChunkTrailer(uint64_t first_element, uint64_t elements, bool continued);
// Takes the data out of `row`. DataLoss if it is no chunk.
absl::StatusOr<StoredChunk> DecodeChunk(std::string row);

// One page of a list's index: entries of consecutive chunks.
struct IndexPage {
  uint32_t first_chunk = 0;
  std::vector<uint64_t> entries;

  uint64_t first_element(size_t entry) const { return entries[entry] & ~kContinuedBit; }
  bool continued(size_t entry) const { return (entries[entry] & kContinuedBit) != 0; }
};
std::string EncodePage(const IndexPage& page);
absl::StatusOr<IndexPage> DecodePage(absl::string_view key, absl::string_view value);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_OBJECT_ROWS_H_
