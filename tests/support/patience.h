// How long tests wait for what comes soon on a usual machine. BUE_TEST_SLOWER says how much slower
// than usual everything is: above 1 with sanitizers (tests/sanitize). The cluster tests know it,
// too.
#ifndef BUE_TESTS_SUPPORT_PATIENCE_H_
#define BUE_TESTS_SUPPORT_PATIENCE_H_

#include <algorithm>
#include <cstdlib>

#include "absl/time/time.h"

namespace bue {

inline double Slower() {
  const char* slower = std::getenv("BUE_TEST_SLOWER");
  return slower == nullptr ? 1 : std::max(1.0, std::atof(slower));
}

inline absl::Duration Patience(absl::Duration usual) { return usual * Slower(); }

// Where everything is slower, memory is kept for other purposes, too: limits of it do not count.
inline bool MemoryIsUsual() { return Slower() == 1; }

}  // namespace bue

#endif  // BUE_TESTS_SUPPORT_PATIENCE_H_
