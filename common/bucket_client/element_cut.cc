#include "common/bucket_client/element_cut.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"

namespace bue {
namespace {

// What one type byte says: the bytes of fixed size after it, of which the first `length_bytes` are
// a big-endian length; the length counts payload bytes or, for containers, nested elements.
struct Shape {
  size_t length_bytes = 0;
  uint64_t payload = 0;  // Bytes that follow, besides the length and what it counts.
  uint64_t nested = 0;   // Elements that follow.
  int per_length = 0;    // Containers: nested elements per counted one (map 2, array 1), else 0.
  bool valid = true;
};

Shape ShapeOf(uint8_t type) {
  if (type <= 0x7f || type >= 0xe0) return {};                      // fixint
  if (type <= 0x8f) return {.nested = 2 * uint64_t{type & 0x0fu}};  // fixmap
  if (type <= 0x9f) return {.nested = uint64_t{type & 0x0fu}};      // fixarray
  if (type <= 0xbf) return {.payload = uint64_t{type & 0x1fu}};     // fixstr
  switch (type) {
    case 0xc0:  // nil
    case 0xc2:  // false
    case 0xc3:  // true
      return {};
    case 0xc4:  // bin 8
    case 0xd9:  // str 8
      return {.length_bytes = 1};
    case 0xc5:  // bin 16
    case 0xda:  // str 16
      return {.length_bytes = 2};
    case 0xc6:  // bin 32
    case 0xdb:  // str 32
      return {.length_bytes = 4};
    case 0xc7:  // ext 8, with a type byte
      return {.length_bytes = 1, .payload = 1};
    case 0xc8:  // ext 16
      return {.length_bytes = 2, .payload = 1};
    case 0xc9:  // ext 32
      return {.length_bytes = 4, .payload = 1};
    case 0xca:  // float 32
    case 0xce:  // uint 32
    case 0xd2:  // int 32
      return {.payload = 4};
    case 0xcb:  // float 64
    case 0xcf:  // uint 64
    case 0xd3:  // int 64
      return {.payload = 8};
    case 0xcc:  // uint 8
    case 0xd0:  // int 8
      return {.payload = 1};
    case 0xcd:  // uint 16
    case 0xd1:  // int 16
      return {.payload = 2};
    case 0xd4:  // fixext 1, 2, 4, 8, 16
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return {.payload = 1 + (uint64_t{1} << (type - 0xd4))};
    case 0xdc:  // array 16
      return {.length_bytes = 2, .per_length = 1};
    case 0xdd:  // array 32
      return {.length_bytes = 4, .per_length = 1};
    case 0xde:  // map 16
      return {.length_bytes = 2, .per_length = 2};
    case 0xdf:  // map 32
      return {.length_bytes = 4, .per_length = 2};
    default:  // 0xc1, never used
      return {.valid = false};
  }
}

absl::Status Truncated() {
  return absl::OutOfRangeError("a MessagePack element goes on beyond its bytes");
}

uint64_t ReadLength(const char* bytes, size_t count) {
  uint64_t length = 0;
  for (size_t i = 0; i < count; ++i) length = length << 8 | static_cast<uint8_t>(bytes[i]);
  return length;
}

}  // namespace

absl::StatusOr<size_t> SkipElements(absl::string_view bytes, uint64_t count) {
  size_t at = 0;
  // Elements still to skip, at all depths. Each takes a byte at least, so `left` cannot wrap: it
  // grows by 2^33 at most for each byte read.
  uint64_t left = count;
  while (left > 0) {
    if (at >= bytes.size()) return Truncated();
    const auto type = static_cast<uint8_t>(bytes[at]);
    const Shape shape = ShapeOf(type);
    if (!shape.valid) {
      return absl::InvalidArgumentError(
          absl::StrFormat("byte %d of a list's data is 0x%02x, no MessagePack type", at, type));
    }
    ++at;
    if (bytes.size() - at < shape.length_bytes) return Truncated();
    const uint64_t length = ReadLength(bytes.data() + at, shape.length_bytes);
    at += shape.length_bytes;
    const uint64_t payload = shape.payload + (shape.per_length == 0 ? length : 0);
    if (bytes.size() - at < payload) return Truncated();
    at += payload;
    left += shape.nested + static_cast<uint64_t>(shape.per_length) * length - 1;
  }
  return at;
}

absl::StatusOr<ListChunk> CutChunk(const ListChunk& chunk, uint64_t first, uint64_t end) {
  if (chunk.continued) {
    const bool wanted = chunk.first_element > first && chunk.first_element <= end;
    if (wanted) return chunk;
    return ListChunk{.first_element = chunk.first_element, .continued = true};
  }
  const uint64_t chunk_end = chunk.first_element + chunk.elements;
  const uint64_t from = std::clamp(first, chunk.first_element, chunk_end);
  const uint64_t to = std::clamp(end, from, chunk_end);
  if (from == to) return ListChunk{.first_element = from};
  absl::string_view data = chunk.data;
  ASSIGN_OR_RETURN(const size_t before, SkipElements(data, from - chunk.first_element));
  data.remove_prefix(before);
  if (to < chunk_end) {
    ASSIGN_OR_RETURN(const size_t bytes, SkipElements(data, to - from));
    data = data.substr(0, bytes);
  }
  return ListChunk{.data = data, .first_element = from, .elements = to - from};
}

}  // namespace bue
