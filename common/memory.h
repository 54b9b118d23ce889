// What the allocator keeps. `bue` is linked with tcmalloc, which takes a tenth off what a task
// costs the hub; tests and tools have the C library's.
//
// Thread-safe.
#ifndef BUE_COMMON_MEMORY_H_
#define BUE_COMMON_MEMORY_H_

namespace bue {

// Sets how the C library's allocator keeps memory, where that is the one that is linked. Once,
// before there are threads.
void TuneAllocator();

// Gives what is free back to the system. Takes milliseconds where that is much.
void ReturnFreeMemory();

}  // namespace bue

#endif  // BUE_COMMON_MEMORY_H_
