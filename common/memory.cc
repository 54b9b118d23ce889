#include "common/memory.h"

#include <malloc.h>

// Of tcmalloc's gperftools/malloc_extension_c.h; null where it is not linked.
extern "C" __attribute__((weak)) void MallocExtension_ReleaseFreeMemory();

namespace bue {

void TuneAllocator() {
  // glibc gives buffers of this size back to the system and faults them in again for each message:
  // up to three times the cost of moving the data itself.
  mallopt(M_MMAP_THRESHOLD, 1 << 25);
  mallopt(M_TRIM_THRESHOLD, 1 << 26);
  mallopt(M_TOP_PAD, 4 << 20);
  // Every arena keeps what its busiest moment needed; a role has more threads than busy moments.
  mallopt(M_ARENA_MAX, 4);
}

void ReturnFreeMemory() {
  if (MallocExtension_ReleaseFreeMemory != nullptr) {
    MallocExtension_ReleaseFreeMemory();
  } else {
    malloc_trim(0);
  }
}

}  // namespace bue
