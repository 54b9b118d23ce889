// WorkerService speaks service Work (proto/bue/v1/work.proto): a stream per worker. What comes up
// becomes commands; what a turn decided goes down as one message per worker, or as an addition to
// the one that waits while a write is under way.
//
// A stream that makes no sense, says nothing for too long or does not read what it is sent is
// closed, and the worker with it; a worker that is well comes back by itself.
//
// Publish: the turn thread. The rest: thread-safe. Nothing here blocks.
#ifndef BUE_HUB_SERVICE_WORKER_SERVICE_H_
#define BUE_HUB_SERVICE_WORKER_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"
#include "hub/service/worker_messages.h"

namespace grpc {
class Service;
}

namespace bue::hub {

struct WorkerServiceOptions {
  std::string token;
  uint64_t epoch = 1;
  std::vector<std::string> buckets;             // HOST:PORT of each, as workers reach them.
  absl::Duration heartbeat = absl::Seconds(1);  // Each side says something at least this often.
  absl::Duration silence = absl::Seconds(5);    // A worker not heard of for this long is gone.
  size_t workers_max = 4096;
  size_t queued_bytes_max = 64 << 20;              // Waiting for one worker to read.
  absl::Duration log_patience = absl::Seconds(2);  // For a worker to say what a task printed.
  WorkerLimits limits;
};

class WorkerService {
 public:
  // `post` leaves a command for the next turn; it and `clock` outlive the service.
  using Post = std::function<absl::Status(Command)>;
  WorkerService(WorkerServiceOptions options, Post post, const Clock* clock);
  // The server has shut down: no stream is left.
  ~WorkerService();

  grpc::Service* service();

  // The workers' part of what a turn decided: all but replies.
  void Publish(Outgoing* outgoing);
  void Acknowledge(const std::vector<OutcomeAck>& acks);

  // Asks what a running task has printed so far. Nullopt: the worker is gone, does not have the
  // lease, or does not answer in time. `answer` is called once, from any thread, and must not
  // block.
  using LogAnswer = std::function<void(std::optional<std::string>)>;
  void AskLog(uint64_t worker, uint64_t lease, LogAnswer answer);

  // Closes every stream, and every new one: workers are told to come back later.
  void Stop();

 private:
  class Impl;  // Keeps gRPC out of this header.

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WORKER_SERVICE_H_
