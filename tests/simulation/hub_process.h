// HubProcess is one life of the hub: the real scheduler, turn loop, streams and record codec,
// driven by events instead of threads. It can die between any two parts of a turn: before and after
// the commit, amid publishing, before and after the sync, amid the promises, around a checkpoint.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_HUB_PROCESS_H_
#define BUE_TESTS_SIMULATION_HUB_PROCESS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/clock.h"
#include "hub/outbox.h"
#include "hub/scheduler/scheduler.h"
#include "hub/service/worker_sessions.h"
#include "hub/turn_loop.h"
#include "tests/simulation/world.h"

namespace bue::sim {

class HubProcess final : public hub::Outbox {
 public:
  // `clock_offset`: how far its clock is off.
  HubProcess(World* world, absl::Duration clock_offset);

  void Start();
  void Post(hub::Command command);
  // Lets `action` happen to the process: later if it stands still, never if it is dead.
  void Do(std::function<void()> action);
  void Stall(absl::Duration time);
  void Die() { dead_ = true; }
  // The power goes when something is written that is not on disk yet.
  void CutPowerBeforeSync() { death_ = Death::kBeforeSync; }

  bool dead() const { return dead_; }
  absl::Time Now() const { return world_->events.now() + clock_offset_; }
  hub::WorkerSessions* sessions() { return sessions_.get(); }
  DiskHubStore* store() { return store_.get(); }
  hub::Scheduler* scheduler() { return scheduler_.get(); }

  // Whether what is written now still leaves the process.
  bool TakesWrite();

  void Publish(hub::Outgoing* outgoing) override;
  void PublishPromises(hub::Promises promises) override;

 private:
  // Where the process is to die in the turn or sync under way.
  enum class Death {
    kNone,
    kBeforeCommit,
    kAfterCommit,
    kInPublish,
    kAfterPublish,
    kBeforeSync,
    kSynced,
    kInPromises,
    kBeforeCheckpoint,
    kAfterCheckpoint
  };

  class SimulatedClock final : public Clock {
   public:
    explicit SimulatedClock(const HubProcess* process) : process_(process) {}
    absl::Time Now() const override { return process_->Now(); }

   private:
    const HubProcess* const process_;
  };

  absl::Status AtPoint(StorePoint point);
  void WakeTurn(absl::Duration latest = absl::Milliseconds(3));
  void WakeSync();
  void RunTurn();
  void TakeTurn();
  void RunSync();
  void SetAlarm();
  void Tick();
  void Crash();
  void Delete(std::vector<uint64_t> addresses);

  World* const world_;
  const absl::Duration clock_offset_;
  const SimulatedClock clock_;
  std::unique_ptr<DiskHubStore> store_;
  std::unique_ptr<hub::Scheduler> scheduler_;
  std::unique_ptr<hub::WorkerSessions> sessions_;
  std::unique_ptr<hub::TurnLoop> loop_;

  std::vector<hub::Command> inbox_;
  bool turn_due_ = false;
  bool sync_due_ = false;
  uint64_t synced_commits_ = 0;
  absl::Time alarm_ = absl::InfiniteFuture();
  bool stalled_ = false;
  std::deque<std::function<void()>> backlog_;  // What happened while it stood still.
  bool dead_ = false;
  bool dying_ = false;
  absl::flat_hash_map<uint64_t, uint64_t> given_up_;  // Objects: by which commit.
  Death death_ = Death::kNone;
  uint64_t writes_left_ = UINT64_MAX;
  uint64_t turns_ = 0;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_HUB_PROCESS_H_
