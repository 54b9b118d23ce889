// Varints: small numbers in few bytes, for records and packed tables. Little-endian groups of seven
// bits; signed numbers zigzag.
#ifndef BUE_COMMON_VARINT_H_
#define BUE_COMMON_VARINT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace bue {

inline void PutVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

inline void PutBytes(absl::string_view bytes, std::string* out) {
  PutVarint(bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

// Takes fields off the front of a byte string. After the first field that is cut off or malformed,
// ok() is false and every further field is 0 or empty: check once at the end.
class VarintReader {
 public:
  explicit VarintReader(absl::string_view bytes) : rest_(bytes) {}

  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }
  int64_t Signed() { return UnZigZag(Varint()); }
  absl::string_view Bytes() {
    const uint64_t size = Varint();
    if (size > rest_.size()) {
      Fail();
      return {};
    }
    const absl::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  // A count of things that take at least a byte each: never more than what is left.
  uint64_t Count() {
    const uint64_t count = Varint();
    if (count > rest_.size()) {
      Fail();
      return 0;
    }
    return count;
  }

  bool ok() const { return ok_; }
  bool AtEnd() const { return rest_.empty(); }

 private:
  void Fail() {
    ok_ = false;
    rest_ = {};
  }

  absl::string_view rest_;
  bool ok_ = true;
};

}  // namespace bue

#endif  // BUE_COMMON_VARINT_H_
