// Feed takes decisions off the front of a fuzzer's input: a byte for a choice, a varint for a
// number. At the end of the input everything is 0 or empty, so any bytes are a complete story.
#ifndef BUE_TESTS_FUZZ_FEED_H_
#define BUE_TESTS_FUZZ_FEED_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace bue::fuzz {

class Feed {
 public:
  explicit Feed(absl::string_view bytes) : rest_(bytes) {}

  bool AtEnd() const { return rest_.empty(); }

  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }

  // Below `end`, which is at most 256.
  uint32_t Choice(uint32_t end) { return end == 0 ? 0 : Byte() % end; }

  // Mostly small, now and then of any size.
  uint64_t Number() {
    const uint8_t byte = Byte();
    if (byte < 0xf0) return byte;
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | Byte();
    return byte < 0xf8 ? value : ~value;
  }

  // A length, and that many bytes.
  absl::string_view Bytes() {
    size_t size = Byte();
    size |= size_t{Byte()} << 8;
    size = std::min(size, rest_.size());
    const absl::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  absl::string_view Rest() {
    const absl::string_view bytes = rest_;
    rest_ = {};
    return bytes;
  }

 private:
  absl::string_view rest_;
};

// The reverse, for seeds.
class FeedWriter {
 public:
  FeedWriter& Byte(uint8_t byte) {
    out_.push_back(static_cast<char>(byte));
    return *this;
  }
  FeedWriter& Number(uint64_t number) {
    if (number < 0xf0) return Byte(static_cast<uint8_t>(number));
    Byte(0xf0);
    for (int i = 7; i >= 0; --i) Byte(static_cast<uint8_t>(number >> (8 * i)));
    return *this;
  }
  FeedWriter& Bytes(absl::string_view bytes) {
    Byte(static_cast<uint8_t>(bytes.size())).Byte(static_cast<uint8_t>(bytes.size() >> 8));
    out_.append(bytes.data(), bytes.size());
    return *this;
  }
  FeedWriter& Rest(absl::string_view bytes) {
    out_.append(bytes.data(), bytes.size());
    return *this;
  }
  const std::string& out() const { return out_; }

 private:
  std::string out_;
};

}  // namespace bue::fuzz

#endif  // BUE_TESTS_FUZZ_FEED_H_
