#include "common/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace bue {
namespace {

class RealClock final : public Clock {
 public:
  absl::Time Now() const override {
    return wall_start_ + absl::FromChrono(std::chrono::steady_clock::now() - steady_start_);
  }

 private:
  const absl::Time wall_start_ = absl::Now();
  const std::chrono::steady_clock::time_point steady_start_ = std::chrono::steady_clock::now();
};

}  // namespace

Clock* Clock::Real() {
  static RealClock* const clock = new RealClock;
  return clock;
}

std::string DurationText(absl::Duration duration) {
  if (duration < absl::Seconds(1) || duration == absl::InfiniteDuration()) {
    return absl::FormatDuration(duration);
  }
  return absl::FormatDuration(
      absl::Trunc(duration + absl::Microseconds(500), absl::Milliseconds(1)));
}

}  // namespace bue
