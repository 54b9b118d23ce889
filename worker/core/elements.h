// MessagePack elements in bytes that arrive piece by piece: where one ends, how a header is
// written. Knows lengths only, not meanings. Pure.
#ifndef BUE_WORKER_CORE_ELEMENTS_H_
#define BUE_WORKER_CORE_ELEMENTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bue::worker {

// Finds the ends of consecutive elements in a stream of bytes, cut anywhere.
class ElementScanner {
 public:
  // Scans `bytes`, which follow those of earlier calls. Appends the offset in `bytes` just behind
  // each element that ends in them. DataLoss if this is not MessagePack.
  absl::Status Scan(absl::string_view bytes, std::vector<size_t>* ends);

  // Not in the middle of an element.
  bool between() const { return items_ == 0 && skip_ == 0 && header_size_ == 0; }

 private:
  absl::Status ReadHeader();

  uint64_t items_ = 0;  // Items of the current element that are still to come.
  uint64_t skip_ = 0;   // Payload bytes of the current item that are still to come.
  unsigned char header_[6] = {};
  size_t header_size_ = 0;
  size_t header_needed_ = 0;
};

// The headers that turn a list or raw bytes into one element.
std::string ArrayHeader(uint64_t elements);
std::string BinHeader(uint64_t bytes);
void AppendInteger(uint64_t value, std::string* out);

// Elements and header length of a value that is an array; nullopt if it is something else.
struct ArrayStart {
  uint64_t elements = 0;
  size_t header_bytes = 0;
};
std::optional<ArrayStart> ParseArrayStart(absl::string_view value);

// What Python calls the type of a value, for messages: "dict", "int", …
absl::string_view TypeName(absl::string_view value);

inline constexpr char kNil = '\xc0';

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_ELEMENTS_H_
