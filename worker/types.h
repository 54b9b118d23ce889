// The few plain types that the pure session and the executors share.
#ifndef BUE_WORKER_TYPES_H_
#define BUE_WORKER_TYPES_H_

#include <cstdint>
#include <string>

namespace bue::worker {

enum class Pool : uint8_t { kAsync, kThread, kProcess, kSql };
inline constexpr int kPools = 4;

// What a streaming source had yielded that others may have taken: its first elements, and the hash
// of their bytes.
struct Yielded {
  uint64_t elements = 0;
  uint64_t hash = 0;
};

struct CallError {
  std::string action;  // load start input run store finalize timeout
  std::string type;    // Exception class, or empty.
  std::string message;
  std::string traceback;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_TYPES_H_
