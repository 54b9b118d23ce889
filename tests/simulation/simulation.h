// Simulation plays one seed: phase one with faults, in which nothing may go wrong for good, then
// phase two without, in which everything must end.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_SIMULATION_H_
#define BUE_TESTS_SIMULATION_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/client.h"
#include "tests/simulation/world.h"

namespace bue::sim {

class Simulation {
 public:
  // `trace` is told what happens; null: nobody is.
  using TraceSink = std::function<void(const std::string&)>;
  Simulation(uint64_t seed, TraceSink trace);
  ~Simulation();

  // What went wrong; empty: nothing.
  std::string Run();

  uint64_t events() const { return world_.events.taken(); }
  uint64_t tasks() const { return tasks_; }
  uint64_t hub_lives() const { return world_.hub_lives(); }
  // The same in every run of the seed.
  uint64_t Fingerprint() const;

 private:
  void Every(absl::Duration mean, std::function<void()> fault);
  void ScheduleFaults();
  std::shared_ptr<Connection> AnyConnection();
  WorkerProcess* AnyWorker();
  void Restart(WorkerProcess* worker, absl::Duration pause);
  void EndFaults();
  void PlayToTheEnd();
  bool AllDone() const;
  void RunUntil(absl::Time end, const std::function<bool()>& done);
  void CheckNothingIsLeft();

  World world_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t tasks_ = 0;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_SIMULATION_H_
