// WorkerService speaks service Work (proto/bue/v1/work.proto): a gRPC stream per worker. What is
// said on it, and when it ends, is WorkerSessions' business; here are the calls and the clockwork's
// thread.
//
// Publish: the turn thread. The rest: thread-safe. Nothing here blocks.
#ifndef BUE_HUB_SERVICE_WORKER_SERVICE_H_
#define BUE_HUB_SERVICE_WORKER_SERVICE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/clock.h"
#include "hub/scheduler/effects.h"
#include "hub/service/worker_sessions.h"

namespace grpc {
class Service;
}

namespace bue::hub {

class WorkerService {
 public:
  // `post` leaves a command for the next turn; it and `clock` outlive the service.
  using Post = WorkerSessions::Post;
  WorkerService(WorkerServiceOptions options, Post post, const Clock* clock);
  // The server has shut down: no stream is left.
  ~WorkerService();

  grpc::Service* service();

  // As WorkerSessions'.
  void Publish(Outgoing* outgoing);
  void Acknowledge(const std::vector<OutcomeAck>& acks);
  using LogAnswer = WorkerSessions::LogAnswer;
  void AskLog(uint64_t worker, uint64_t lease, LogAnswer answer);
  void Stop();

 private:
  class Impl;  // Keeps gRPC out of this header.

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WORKER_SERVICE_H_
