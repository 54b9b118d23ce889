#include "common/memory.h"

#include <malloc.h>

// Of tcmalloc's gperftools/malloc_extension_c.h; null where it is not linked.
extern "C" __attribute__((weak)) void MallocExtension_ReleaseFreeMemory();

namespace bue {

void ReturnFreeMemory() {
  if (MallocExtension_ReleaseFreeMemory != nullptr) {
    MallocExtension_ReleaseFreeMemory();
  } else {
    malloc_trim(0);
  }
}

}  // namespace bue
