// Random is where every decision of a simulation comes from: one seed, the same draws on every
// machine. Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_RANDOM_H_
#define BUE_TESTS_SIMULATION_RANDOM_H_

#include <cstdint>

#include "absl/time/time.h"

namespace bue::sim {

// Mixes its argument well (splitmix64's finaliser).
inline uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline uint64_t Mix(uint64_t a, uint64_t b) { return Mix(Mix(a) ^ b); }

class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed)) {}

  uint64_t Next() { return Mix(state_++); }
  // In [0, below); 0 if `below` is.
  uint64_t Below(uint64_t below) { return below == 0 ? 0 : Next() % below; }
  bool Chance(double percent) { return static_cast<double>(Next() >> 11) < percent * kPercent; }
  absl::Duration Between(absl::Duration least, absl::Duration most) {
    const int64_t us = absl::ToInt64Microseconds(most - least);
    return least + absl::Microseconds(static_cast<int64_t>(Below(static_cast<uint64_t>(us) + 1)));
  }
  // Mostly near `least`, sometimes up to `most`: what latencies look like.
  absl::Duration Skewed(absl::Duration least, absl::Duration most) {
    const double x = static_cast<double>(Next() >> 11) / static_cast<double>(uint64_t{1} << 53);
    return least + (most - least) * (x * x * x * x);
  }

 private:
  static constexpr double kPercent = static_cast<double>(uint64_t{1} << 53) / 100.0;
  uint64_t state_;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_RANDOM_H_
