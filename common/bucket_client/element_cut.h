// Finds where MessagePack elements end in a byte string, without decoding them: enough to cut
// lists. Pure.
#ifndef BUE_COMMON_BUCKET_CLIENT_ELEMENT_CUT_H_
#define BUE_COMMON_BUCKET_CLIENT_ELEMENT_CUT_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bue {

// The bytes that the first `count` elements of `bytes` take. InvalidArgument: they are malformed;
// OutOfRange: `bytes` ends before they do. Nesting of any depth takes no stack.
absl::StatusOr<size_t> SkipElements(absl::string_view bytes, uint64_t count);

// A chunk of a list as stored: `elements` elements begin in `data`, the first is number
// `first_element`; a continued chunk goes on with the element before instead.
struct ListChunk {
  absl::string_view data;
  uint64_t first_element = 0;
  uint64_t elements = 0;
  bool continued = false;
};

// What of `chunk` belongs to elements [first, end). The last element of a chunk may go on in the
// next one; it is never cut.
absl::StatusOr<ListChunk> CutChunk(const ListChunk& chunk, uint64_t first, uint64_t end);

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_ELEMENT_CUT_H_
