// RocksDB's checksum of what it logs, by the processor's own instruction. Debian builds RocksDB
// for every x86-64 processor, hence with tables: at 0.6 GB/s these were a third of what a large
// value cost the bucket. The linker gives us the calls of the function (--wrap, in CMakeLists.txt);
// the checksums, and so the files, are the same.
//
// Thread-safe.
#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

// The names are the linker's: a prefix before RocksDB's `crc32c::Extend`.
extern "C" {
uint32_t __real__ZN7rocksdb6crc32c6ExtendEjPKcm(uint32_t crc, const char* data, size_t size);
uint32_t __wrap__ZN7rocksdb6crc32c6ExtendEjPKcm(uint32_t crc, const char* data, size_t size);
}

namespace {

__attribute__((target("sse4.2"))) uint32_t ExtendFast(uint32_t crc, const char* data, size_t size) {
  uint64_t state = ~crc;
  for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), data += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, data, sizeof(word));
    state = _mm_crc32_u64(state, word);
  }
  for (; size > 0; --size, ++data) {
    state = _mm_crc32_u8(static_cast<uint32_t>(state), static_cast<unsigned char>(*data));
  }
  return ~static_cast<uint32_t>(state);
}

}  // namespace

// The CRC of what `crc` is of, followed by `data`.
uint32_t __wrap__ZN7rocksdb6crc32c6ExtendEjPKcm(uint32_t crc, const char* data, size_t size) {
  static const auto extend =
      __builtin_cpu_supports("sse4.2") ? ExtendFast : __real__ZN7rocksdb6crc32c6ExtendEjPKcm;
  return extend(crc, data, size);
}
