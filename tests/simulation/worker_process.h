// WorkerProcess is one life of a worker: the real session and its real messages on the wire, around
// them what the role does with gRPC, executors and buckets, driven by events. It can be killed,
// stand still while the world goes on (SIGSTOP), or leave in good order.
//
// The stream's rules are HubStream's (worker/core/hub_stream.cc).
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_WORKER_PROCESS_H_
#define BUE_TESTS_SIMULATION_WORKER_PROCESS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bue/v1/work.pb.h"
#include "tests/simulation/world.h"
#include "worker/core/session.h"

namespace bue::sim {

class WorkerProcess {
 public:
  WorkerProcess(World* world, std::string name, uint64_t incarnation, bool every_scope);

  void Start();
  void Kill();                       // SIGKILL: it is no more.
  void Freeze(absl::Duration time);  // SIGSTOP, then SIGCONT.
  void Leave();                      // SIGTERM.
  // Lets `action` happen to the process: later if it is frozen, never if it is dead.
  void Do(std::function<void()> action);

  const std::string& name() const { return name_; }
  bool dead() const { return dead_; }
  bool leaving() const { return leaving_; }
  bool frozen() const { return frozen_; }
  const worker::Session& session() const { return session_; }

  // From its connection.
  void OnRead(Connection* connection, const v1::ToWorker& message);
  void OnWritten(Connection* connection);
  void OnEnded(Connection* connection);

 private:
  struct Execution {
    worker::TaskRef task;
    TaskName name;
    std::shared_ptr<const Plan> plan;
    uint64_t serial = 0;
    absl::Time started;
    absl::Time began = absl::InfiniteFuture();  // Its step.
    size_t next_input = 0;
    std::vector<Content> contents;
    std::vector<uint64_t> inputs;
    // Sources.
    uint64_t object = 0;
    uint64_t produced = 0;  // Elements.
    uint64_t wanted = 0;
    uint64_t credit = 0;
    bool waits_for_credit = false;

    bool has_begun() const { return began != absl::InfiniteFuture(); }
  };
  using OnList = std::function<void(bool ok, std::vector<Content> list)>;

  // The stream.
  void Tick();
  void Open();
  void Advance();
  void SendNews();
  bool writable() const { return connection_ != nullptr && welcomed_ && !writing_; }
  void Send(const v1::FromWorker& message);
  void OnWelcome(const v1::Welcome& welcome);
  void AnswerHashes(const v1::HashRequest& request);
  void AdvanceLeaving();
  void Exit();

  // The executor.
  void Begin(const worker::StartBatch& batch);
  void Cancel(const std::vector<uint64_t>& leases);
  void LayGhosts();  // The process is over.
  // Lets `step` happen to the execution after `wait`, unless it was cancelled by then.
  void After(uint64_t lease, absl::Duration wait, void (WorkerProcess::*step)(uint64_t));
  Execution* Find(uint64_t lease, uint64_t serial);
  void ReadInputs(uint64_t lease);
  bool ReadObject(uint64_t lease, uint64_t address, Content* content, Object** object);
  bool ReadCall(uint64_t lease, const worker::InputColumn& column);
  bool ReadColumn(uint64_t lease, const worker::InputColumn& column);
  void ReadFanIn(uint64_t lease, uint64_t serial, uint64_t instance, uint32_t node, uint64_t start,
                 std::shared_ptr<std::vector<Content>> list, OnList done);
  void ReadInner(uint64_t lease, uint64_t serial, std::shared_ptr<std::deque<uint64_t>> instances,
                 uint32_t node, std::shared_ptr<std::vector<Content>> list,
                 std::function<void(bool)> done);
  Behaviour BehaviourOf(const Execution& execution) const;
  void Run(uint64_t lease);
  void TellOfStart(uint64_t lease);
  void Produce(uint64_t lease);
  void Finish(uint64_t lease);
  void Succeed(uint64_t lease);
  void GiveItems(uint64_t lease);
  void Report(uint64_t lease, worker::Outcome::Kind kind, const std::string& action,
              const std::string& message, uint64_t gone = 0);

  World* const world_;
  const std::string name_;
  const uint64_t incarnation_;
  const bool every_scope_;
  worker::Session session_;
  bool dead_ = false;
  bool frozen_ = false;
  std::deque<std::function<void()>> backlog_;  // What happened while it was frozen.

  std::shared_ptr<Connection> connection_;
  bool welcomed_ = false;
  bool writing_ = false;
  bool answer_due_ = false;
  int failures_ = 0;
  absl::Time open_at_;
  absl::Time up_since_;
  absl::Time last_tick_;
  absl::Time last_heard_;
  absl::Time last_sent_;

  std::vector<v1::HashReply> hash_replies_;
  bool leaving_ = false;
  bool gave_back_ = false;
  bool finishing_ = false;
  absl::Time leave_deadline_ = absl::InfiniteFuture();

  std::map<uint64_t, std::shared_ptr<const Plan>> runs_;  // That the hub told of.
  std::set<uint64_t> ghosts_;                 // Leases that are over while their code goes on.
  std::map<uint64_t, Execution> executions_;  // By lease.
  uint64_t next_serial_ = 1;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_WORKER_PROCESS_H_
