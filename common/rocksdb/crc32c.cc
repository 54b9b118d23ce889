// RocksDB's checksum of what it logs, by the processor's own instruction. Debian builds RocksDB
// for every x86-64 processor, hence with tables: at 0.6 GB/s these were a third of what a large
// value cost the bucket. The library calls the function through its own symbol table, in which a
// program's definition comes first; the checksums, and so the files, are the same.
//
// Thread-safe.
#include <dlfcn.h>
#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/check.h"

namespace rocksdb::crc32c {
namespace {

using ExtendFunction = uint32_t (*)(uint32_t, const char*, size_t);

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

ExtendFunction Choose() {
  if (__builtin_cpu_supports("sse4.2")) return ExtendFast;
  auto* const library =
      reinterpret_cast<ExtendFunction>(dlsym(RTLD_NEXT, "_ZN7rocksdb6crc32c6ExtendEjPKcm"));
  CHECK(library != nullptr);
  return library;
}

}  // namespace

// As RocksDB's util/crc32c.h declares it: the CRC of what `crc` is of, followed by `data`.
uint32_t Extend(uint32_t crc, const char* data, size_t size) {
  static const ExtendFunction extend = Choose();
  return extend(crc, data, size);
}

}  // namespace rocksdb::crc32c
