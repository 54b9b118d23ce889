// Clock tells the time to the shell: the turn loop, streams, the CLI. Pure code never sees one, it
// takes `now` as an argument.
#ifndef BUE_COMMON_CLOCK_H_
#define BUE_COMMON_CLOCK_H_

#include <string>

#include "absl/time/time.h"

namespace bue {

// "1.5s", "20ms"; from a second on without what is below a millisecond.
std::string DurationText(absl::Duration duration);

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // Wall time at the process's start plus steady time since: it never steps back. Thread-safe.
  static Clock* Real();
};

}  // namespace bue

#endif  // BUE_COMMON_CLOCK_H_
