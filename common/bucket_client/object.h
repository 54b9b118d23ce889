// Object, address and origin: the words that a bucket and everybody who reads or writes one share.
// Plain data; the wire form is proto/bue/v1/bucket.proto.
#ifndef BUE_COMMON_BUCKET_CLIENT_OBJECT_H_
#define BUE_COMMON_BUCKET_CLIENT_OBJECT_H_

#include <cstdint>

namespace bue {

// An object's address is (store id << 48) | sequence. 0 is no object: it stands for None.
inline constexpr uint64_t kNoObject = 0;
inline constexpr int kSequenceBits = 48;
inline constexpr uint64_t kSequenceMax = (uint64_t{1} << kSequenceBits) - 1;

// A chunk, and so an object put whole, holds at most this many bytes.
inline constexpr uint64_t kChunkBytesMax = 256 << 10;

inline constexpr uint16_t StoreOf(uint64_t address) {
  return static_cast<uint16_t>(address >> kSequenceBits);
}
inline constexpr uint64_t SequenceOf(uint64_t address) { return address & kSequenceMax; }
inline constexpr uint64_t MakeAddress(uint16_t store, uint64_t sequence) {
  return (uint64_t{store} << kSequenceBits) | sequence;
}

enum class ObjectKind : uint8_t {
  kValue = 1,  // One MessagePack value.
  kList = 2,   // MessagePack elements one after the other, without an array header.
  kBytes = 3,  // Raw bytes.
};

// Who wrote an object: what a sweep asks the hub about.
struct Origin {
  uint64_t run = 0;
  uint64_t instance = 0;
  uint64_t item = 0;
  uint32_t node = 0;
  uint64_t lease = 0;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_OBJECT_H_
