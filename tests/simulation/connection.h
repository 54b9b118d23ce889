// Connection is one stream between a worker and the hub, with what can happen to it on the way.
// Within a direction messages arrive in order; nothing else is in order: the hub may learn of an
// old stream's end after the same worker's next hello.
//
//   break     both ends learn of it, each in its own time; what was under way may be lost
//   half      one direction swallows everything, nobody is told
//   stall     one direction stands still for a while
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_CONNECTION_H_
#define BUE_TESTS_SIMULATION_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "hub/service/worker_sessions.h"
#include "hub/service/worker_stream.h"
#include "tests/simulation/world.h"

namespace bue::sim {

class Connection final : public hub::StreamWire, public std::enable_shared_from_this<Connection> {
 public:
  Connection(World* world, WorkerProcess* worker);

  // ----------------------------------------------------------------------------- the worker's end
  // Waits for a hub that can be reached, then brings it the hello.
  void Open(std::string hello);
  void Send(std::string message);
  void Finish();  // Nothing more will be sent.
  void CancelByWorker();
  bool reached_hub() const { return hub_ != nullptr; }

  // ------------------------------------------------------------------------------------ StreamWire
  void Write(const v1::ToWorker* message) override;
  void Finish(const absl::Status& status) override;
  void Cancel() override;

  // ------------------------------------------------------------------------------------ the faults
  void Break();
  void LoseDirection(bool up);
  void Stall(bool up, absl::Duration time);
  void HubDied(bool power);
  void WorkerDied(const WorkerProcess* worker, bool silently);

  // The world ends: a hub's session and its stream hold each other.
  void Forget() { session_ = nullptr; }
  bool over() const { return worker_end_closed_ && hub_end_closed_; }
  HubProcess* hub() const { return hub_; }

 private:
  struct Direction {
    absl::Time last = absl::InfinitePast();   // Arrival of the last message.
    absl::Time cut = absl::InfiniteFuture();  // What arrives later does not.
    absl::Time stalled_until = absl::InfinitePast();
    bool lost = false;
  };

  void TryToReach(const std::shared_ptr<std::string>& hello);
  absl::Time Arrival(Direction* direction);
  void ToHub(std::string message);
  void EndAtHub(absl::Duration wait);  // It learns that the connection is broken.
  void EndAtWorker(absl::Duration wait);

  World* const world_;
  WorkerProcess* const worker_;
  HubProcess* hub_ = nullptr;
  std::shared_ptr<hub::WorkerSession> session_;
  Direction up_, down_;
  bool worker_end_closed_ = false;
  bool hub_end_closed_ = false;  // It reads no more.
  bool hub_writing_ = false;
  bool hub_finished_ = false;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_CONNECTION_H_
