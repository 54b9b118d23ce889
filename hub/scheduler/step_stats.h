// Statistics of a run: what a step's attempts took, and how fast the run gets on.
//
// StepStats is a few counters and a histogram of run times with four buckets an octave, so that a
// quantile is off by at most a tenth; it holds only the stretch of buckets that occurred, at most
// 560 bytes. Headway remembers how many tasks were over at a few moments of the last minute. Both
// cost a few nanoseconds an outcome, and allocate only when something new is seen.
//
// Integers only: the same outcomes give the same numbers. Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_STEP_STATS_H_
#define BUE_HUB_SCHEDULER_STEP_STATS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/varint.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

class StepStats {
 public:
  // An attempt that took `run_us` in the step's code, and `total_us` from grant to outcome. What
  // clocks disagree about counts as run time.
  void Add(uint64_t run_us, uint64_t total_us, int64_t now_us);
  // As if all of `other` had been added here.
  void Merge(const StepStats& other);

  uint64_t attempts() const { return attempts_; }
  Timing ToTiming() const;

  // Varints. Take is false for bytes that Put cannot have made.
  void Put(std::string* out) const;
  bool Take(VarintReader* in);

 private:
  void Count(uint32_t bucket, uint32_t by);
  void Cover(uint32_t bucket);  // Makes room for its count.
  uint64_t Quantile(uint64_t percent) const;

  uint64_t attempts_ = 0;
  uint64_t run_us_ = 0;
  uint64_t total_us_ = 0;
  uint64_t min_us_ = UINT64_MAX;
  uint64_t max_us_ = 0;
  int64_t last_us_ = 0;           // Unix time of the last outcome.
  uint32_t first_ = 0;            // The bucket of counts_[0].
  std::vector<uint32_t> counts_;  // Saturating.
};

class Headway {
 public:
  // When Note is wanted next, as unix microseconds.
  int64_t due_us() const { return due_us_; }
  // So many tasks are over by now. Fewer than before: the run was retried, and a new count begins.
  void Note(int64_t now_us, uint64_t finished);
  // Forgets all: the run stood still, or has ended.
  void Restart();

  struct Rate {
    uint64_t tasks = 0;
    uint64_t us = 0;  // In which these were over.
  };
  // Of the last minute, or as far back as it takes to see enough tasks end: rare ones come in
  // bursts. None in sight: no tasks.
  Rate RateAt(int64_t now_us, uint64_t finished) const;

 private:
  struct Sample {
    int64_t at_us = 0;
    uint64_t finished = 0;
  };
  int64_t due_us_ = INT64_MIN;
  std::vector<Sample> samples_;  // Oldest first; few.
};

struct RunStats {
  void Begin(uint32_t step, size_t steps_in_all) {
    steps.resize(steps_in_all);
    steps[step] = std::make_unique<StepStats>();
  }

  std::vector<std::unique_ptr<StepStats>> steps;  // Empty, or one for each; null: no outcome yet.
  Headway headway;                                // Not stored.
  uint64_t recent = 0;  // Grants and outcomes since they were last asked for. Not stored.
};

// How long `left` tasks will take at that rate.
std::optional<absl::Duration> TimeFor(uint64_t left, Headway::Rate rate);

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_STEP_STATS_H_
