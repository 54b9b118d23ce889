// Gate holds tasks back, as a limit in a script asks for: so many of a step run at once
// (`!max_running`), wait in front of it (`!queue`), start in a time (`!rate`). A gate is of one
// run, or shared by all runs that name its key.
//
// What a gate counts is derived from live leases and from states of tasks: nothing is counted
// apart, so nothing can leak. Of a rate these are the tasks on their way; what has started is
// remembered as a pace.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_GATE_H_
#define BUE_HUB_SCHEDULER_GATE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "hub/scheduler/fifo.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

struct Line;

// Starts spread evenly over a time: in no stretch of `per` are there more than `count`.
//
// A task starts some time after it was handed out: its worker may have to import its module first.
// So whatever is on its way counts as if it started with the next one.
//
// What comes faster than a turn of the hub, or the way to a worker and back, goes in bursts of
// 20 ms' worth; the pace between them is that much lower.
class Pace {
 public:
  // As many go together. REQUIRES: per > 0.
  static int64_t BurstOf(uint64_t count, absl::Duration per) {
    const double a_second = static_cast<double>(count) / absl::ToDoubleSeconds(per);
    return 1 + static_cast<int64_t>(std::min(a_second * kBurstSeconds, count * kBurstShare));
  }

  // REQUIRES: count > 0, per > 0.
  void Set(uint64_t count, absl::Duration per, absl::Time now) {
    burst_ = BurstOf(count, per);
    const int64_t spread = static_cast<int64_t>(count) - burst_ + 1;
    // Never shorter than it has to be.
    spacing_ = (absl::ToInt64Nanoseconds(per) + spread - 1) / spread;
    // Who goes faster from now on does not wait for the slower pace's next start.
    full_ = std::min(full_, absl::ToUnixNanos(now) + spacing_ * burst_);
  }

  // When the next one may be handed out while so many are on their way. InfiniteFuture: once one of
  // these has started.
  absl::Time next(uint64_t on_their_way) const {
    return MayFollow(on_their_way) ? absl::FromUnixNanos(Next(on_their_way))
                                   : absl::InfiniteFuture();
  }
  bool HasRoom(uint64_t on_their_way, absl::Time now) const {
    return MayFollow(on_their_way) && Next(on_their_way) <= absl::ToUnixNanos(now);
  }
  void Start(absl::Time now) { full_ = std::max(full_, absl::ToUnixNanos(now)) + spacing_; }
  // Nobody knows what has started until now: as if all that may had.
  void Forget(absl::Time now) {
    full_ = std::max(full_, absl::ToUnixNanos(now) + spacing_ * burst_);
  }
  // From then on it is as if nothing had ever started.
  absl::Time rested() const { return absl::FromUnixNanos(full_); }

 private:
  static constexpr double kBurstSeconds = 0.02;
  static constexpr double kBurstShare = 0.02;

  bool MayFollow(uint64_t on_their_way) const {
    return on_their_way < static_cast<uint64_t>(burst_);
  }
  int64_t Next(uint64_t on_their_way) const {
    return full_ - spacing_ * (burst_ - 1 - static_cast<int64_t>(on_their_way));
  }

  int64_t burst_ = 1;
  int64_t spacing_ = 0;  // ns
  int64_t full_ = 0;     // Unix ns: when as many have started as may in a burst.
};

struct Gate {
  // kAhead: how many tasks of a step wait for a value that its limits go by, or at one of these.
  enum class Kind : uint8_t { kRunning, kQueue, kRate, kAhead };

  // One step's wish. The least of all that name a key holds for all.
  struct Wish {
    uint64_t count = 0;
    absl::Duration per;  // kRate only.

    // 0 without a time.
    double rate() const {
      return per == absl::ZeroDuration() ? 0
                                         : static_cast<double>(count) / absl::ToDoubleSeconds(per);
    }
    friend bool operator<(const Wish& a, const Wish& b) {
      return std::tuple(a.rate(), a.per, a.count) < std::tuple(b.rate(), b.per, b.count);
    }
  };

  // Which workers can take a line's tasks, and when: lines of one place stand in for each other.
  using Place = std::tuple<Pool, uint32_t, int32_t>;  // Pool, scope, priority.
  // A loop that could begin items, or a streaming source that could go on.
  struct Waiter {
    uint64_t run = 0;
    uint64_t instance = 0;        // The loop, or the source's.
    uint64_t item = 0;            // The source's.
    uint32_t source = kNoVertex;  // Its vertex; kNoVertex: a loop.
  };

  const uint64_t number;  // Gates are told apart, and put in order, by it.
  const Kind kind;
  const std::string key;           // Empty: of one run.
  Run* const run;                  // Its run; null: shared.
  const uint32_t step;             // kQueue: whose tasks wait.
  const uint64_t hash;             // Of the value that it is for; 0: for all.
  const absl::Time unknown_until;  // What started before that is not known. kRate
  Wish wish = {};                  // The least; count 0: none.
  std::unique_ptr<absl::btree_multiset<Wish>> wishes = {};  // Of a shared one: all.
  uint64_t users = 0;     // Steps of runs that have it, with or without a wish.
  uint64_t lines = 0;     // Of those that come and go with a value.
  Pace pace = {};         // kRate
  uint64_t held = 0;      // Leases that count here: running, or about to fill a queue's place, or
                          // (kRate) on their way. kAhead: tasks.
  uint64_t ghosts = 0;    // kRunning: leases that are over while their code goes on.
  uint64_t for_room = 0;  // kAhead: those of them that wait at gates of their values.
  bool is_new = true;     // It has had no wish yet.
  bool opened = false;    // On the list of those to look at.
  absl::Time timer = absl::InfiniteFuture();  // When it is looked at again. kRate
  // When a task was handed out or started last. kRate
  absl::Time moved = absl::InfinitePast();
  // Who waits here, in order; by place, in order, each with some.
  struct WaitingLines {
    Place place;
    Fifo<Line*> lines;
  };
  std::vector<WaitingLines> waiting = {};
  Fifo<Waiter> others = {};

  // UINT64_MAX: none.
  uint64_t limit() const { return wish.count == 0 ? UINT64_MAX : wish.count; }
  uint64_t count() const {
    return kind == Kind::kQueue ? held + run->CountsOf(step).queued() : held + ghosts;
  }
  bool HasRoom(absl::Time now) const {
    if (wish.count == 0) return true;
    return kind == Kind::kRate ? pace.HasRoom(held, now) : count() < limit();
  }
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_GATE_H_
