// CHECK ends the process when a condition that only a bug can break does not hold. It stays on in
// release builds. What the world can do to us is an absl::Status instead.
#ifndef BUE_COMMON_CHECK_H_
#define BUE_COMMON_CHECK_H_

namespace bue::internal {

// Prints `file:line: CHECK failed: condition` to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace bue::internal

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::bue::internal::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#endif  // BUE_COMMON_CHECK_H_
