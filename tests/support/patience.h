// How long tests wait for what comes soon on a usual machine. BUE_TEST_SLOWER says how much slower
// than usual everything is: above 1 with sanitizers (tests/sanitize). The cluster tests know it,
// too.
#ifndef BUE_TESTS_SUPPORT_PATIENCE_H_
#define BUE_TESTS_SUPPORT_PATIENCE_H_

#include <algorithm>
#include <cstdlib>

#include "absl/time/time.h"

namespace bue {

inline absl::Duration Patience(absl::Duration usual) {
  const char* slower = std::getenv("BUE_TEST_SLOWER");
  return slower == nullptr ? usual : usual * std::max(1.0, std::atof(slower));
}

}  // namespace bue

#endif  // BUE_TESTS_SUPPORT_PATIENCE_H_
