// World is what the parts of one simulation share: the time, the dice, the bucket, the history, and
// who is there. Everything that happens, happens in one event or other of World::events.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_WORLD_H_
#define BUE_TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/scheduler.h"
#include "tests/simulation/bucket.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/events.h"
#include "tests/simulation/history.h"
#include "tests/simulation/plan.h"
#include "tests/simulation/random.h"

namespace bue::sim {

class Connection;
class HubProcess;
class WorkerProcess;

// Drawn from the seed: every simulation has its own mix of faults and of limits.
struct Config {
  uint64_t seed = 0;
  uint32_t workers = 2;
  uint32_t plans = 4;
  Plan::Size plan_size;
  absl::Duration faults_for = absl::Seconds(30);
  absl::Duration uploads_within = absl::Seconds(20);

  // Mean time between faults of a kind; infinite: none.
  absl::Duration breaks = absl::InfiniteDuration();
  absl::Duration half_breaks = absl::InfiniteDuration();
  absl::Duration stalls = absl::InfiniteDuration();  // A stream's direction stands still.
  absl::Duration hub_crashes = absl::InfiniteDuration();
  absl::Duration hub_stalls = absl::InfiniteDuration();
  absl::Duration worker_kills = absl::InfiniteDuration();
  absl::Duration worker_leaves = absl::InfiniteDuration();
  absl::Duration worker_freezes = absl::InfiniteDuration();
  double crash_point_percent = 0;  // Of turns: dies between two of its parts.
  double power_cut_percent = 0;    // Of hub crashes.
  double rpc_loss_percent = 0;
  double give_back_percent = 0;
  double control_percent = 0;  // Of runs: paused, cancelled.
  absl::Duration latency_max = absl::Milliseconds(5);
  absl::Duration sync_max = absl::Milliseconds(5);
  absl::Duration clock_jump_max = absl::ZeroDuration();  // Between lives of the hub.

  hub::SchedulerOptions scheduler;
  uint64_t checkpoint_bytes = 4096;
  bool slow_checkpoints = false;  // A run a turn.
  uint64_t check_every = 1;       // Turns between two looks at the scheduler's invariants.
};

Config MakeConfig(uint64_t seed);

class World {
 public:
  World(const Config& config, std::function<void(const std::string&)> trace);
  ~World();

  const Config config;
  Random random;
  Events events;
  Disk disk;
  Bucket bucket;
  History history;
  bool faults = true;  // Phase one.

  std::map<std::string, std::shared_ptr<const Plan>> plans;  // By key.
  std::map<std::string, Steps> mended;                       // By key.

  HubProcess* hub = nullptr;  // Null while it is down.

  absl::Duration Latency() { return random.Skewed(absl::Microseconds(50), config.latency_max); }

  // ---------------------------------------------------------------------------------- the network
  // A worker opens a stream; it says what becomes of it.
  std::shared_ptr<Connection> Connect(WorkerProcess* worker, std::string hello);
  std::vector<std::shared_ptr<Connection>>& connections() { return connections_; }

  // A call to the hub. Nullopt: no reply came.
  using OnReply = std::function<void(std::optional<hub::Reply>)>;
  void Ask(hub::Command command, OnReply on_reply);
  void Replied(const hub::Reply& reply);

  // --------------------------------------------------------------------------------- the processes
  void StartHub();
  uint64_t hub_lives() const { return hubs_.size(); }
  // `power`: what was not synced may be lost, and nobody is told.
  void CrashHub(bool power);
  WorkerProcess* StartWorker(const std::string& name);
  std::vector<std::unique_ptr<WorkerProcess>>& workers() { return workers_; }

  template <typename... Args>
  void Trace(const Args&... args) {
    if (trace_) TraceLine(absl::StrCat(args...));
  }
  bool tracing() const { return trace_ != nullptr; }

 private:
  struct Pending {
    OnReply on_reply;
    HubProcess* hub = nullptr;
  };

  void TraceLine(const std::string& line);
  void Answer(uint64_t request, std::optional<hub::Reply> reply);

  const std::function<void(const std::string&)> trace_;
  std::vector<std::unique_ptr<HubProcess>> hubs_;  // All there ever were.
  std::vector<std::unique_ptr<WorkerProcess>> workers_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::weak_ptr<Connection>> opened_;  // All there ever were.
  std::map<uint64_t, Pending> pending_;
  uint64_t next_request_ = 1;
  uint64_t next_incarnation_ = 1;
  absl::Duration clock_offset_;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_WORLD_H_
