// Scheduler decides which worker runs which task, and when.
//
// It is a deterministic state machine: the same commands at the same times give the same effects.
// It does no I/O, reads no clock, starts no thread and takes no lock. What must happen in the world
// it appends to an Effects, which its caller carries out: TurnLoop in the hub, the simulation in
// tests.
//
// Not thread-safe. Times passed in never decrease.
#ifndef BUE_HUB_SCHEDULER_SCHEDULER_H_
#define BUE_HUB_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"
#include "hub/scheduler/snapshot.h"

namespace bue::hub {

struct SchedulerOptions {
  uint64_t epoch = 1;  // Of this hub process: one more than the last one's. Part of every lease id.
  uint64_t seed = 0;   // For jitter.
  // A closed stream's worker is gone this much later unless it is back.
  absl::Duration reconnect_grace = absl::Milliseconds(20);
  // After a restart, how long to wait for the workers that were there before granting again what
  // they may be running.
  absl::Duration reattach_grace = absl::Seconds(5);
  absl::Duration silence = absl::Milliseconds(4500);  // A worker not heard of for so long is gone.
  uint64_t begun_items_max = 65536;                   // Per loop.
  uint64_t source_window = 1000;                      // Unread elements of a streaming source.
  uint64_t by_ahead = 10000;   // Tasks of a step that wait at limits by a value, or for that value.
  size_t idle_values = 16384;  // Values whose limits hold nothing, kept for their next task.
  uint64_t reserve_block = 4096;  // Items by which a cursor's reservation moves.
  uint32_t losses_max = 3;        // Lost workers in a row until a task fails.
  // How long after a task's timeout, which its worker enforces, the hub takes the task away.
  absl::Duration timeout_backstop = absl::Seconds(5);
  uint32_t recomputes_max = 3;  // How often a task's lost value is made again, until it fails.
  absl::Duration keep_results = absl::Hours(7 * 24);  // An ended run's values; then they go.
  // What still runs when a failure stops its run (`!on_error stop`) may end within this.
  absl::Duration stop_grace = absl::Seconds(30);
  uint64_t runs_max = 100000;  // That have not ended.
  // At once, of all workers. At most 2^24: that many slots a lease's id can name.
  uint64_t leases_max = 1 << 22;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);
  ~Scheduler();

  // Takes over what the store held. At most once, before anything else. Workers that were there
  // have `reattach_grace` from `now` on to come back.
  absl::Status Load(HubSnapshot snapshot, absl::Time now);

  // Takes in one command. One that makes no sense (an unknown run, a lease that is not current)
  // changes nothing; clients are answered with an error.
  void Apply(Command& command, absl::Time now, Effects* effects);

  // Runs what is due at `now` (retries, polls, graces), then hands ready tasks to workers with room
  // until one of both runs out. Once per turn, after its commands.
  void Match(absl::Time now, Effects* effects);

  // When Match() must be called even if no command arrives. InfiniteFuture: never.
  absl::Time NextDeadline() const;

  // Turn numbers: the caller calls BeginTurn once before the first Apply of each turn, and Synced
  // with a turn's number once everything up to that turn's record is on disk.
  void BeginTurn(uint64_t turn);
  void Synced(uint64_t turn);
  // The next Synced gives Match() something to do, which needs a turn then.
  bool AwaitsSync() const;

  // Runs changed since they were last snapshot, and a snapshot of one of them.
  std::vector<uint64_t> DirtyRuns() const;
  RunSnapshot SnapshotRun(uint64_t run);

  // Dies if the tables disagree with each other. Slow; tests call it each turn.
  void CheckInvariants() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_SCHEDULER_H_
