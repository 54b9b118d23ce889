// WorkerSessions is what the hub does with its workers' streams, whatever carries them: what comes
// up becomes commands; what a turn decided goes down as one message per worker, or as an addition
// to the one that waits while a write is under way.
//
// A stream that makes no sense, says nothing for too long or does not read what it is sent is
// closed, and the worker with it; a worker that is well comes back by itself.
//
// WorkerService carries it over gRPC; the simulation does without. Time is an argument.
//
// Publish: the turn thread. Tick: one thread. The rest: thread-safe. Nothing here blocks.
#ifndef BUE_HUB_SERVICE_WORKER_SESSIONS_H_
#define BUE_HUB_SERVICE_WORKER_SESSIONS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bue/v1/work.pb.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"
#include "hub/service/worker_messages.h"
#include "hub/service/worker_stream.h"

namespace bue::hub {

struct WorkerServiceOptions {
  std::string token;
  uint64_t epoch = 1;
  std::vector<std::string> buckets;             // HOST:PORT of each, as workers reach them.
  absl::Duration heartbeat = absl::Seconds(1);  // Each side says something at least this often.
  absl::Duration silence = absl::Milliseconds(4500);  // A worker not heard of for so long is gone.
  size_t workers_max = 4096;
  size_t queued_bytes_max = 64 << 20;              // Waiting for one worker to read.
  absl::Duration log_patience = absl::Seconds(2);  // For a worker to say what a task printed.
  WorkerLimits limits;
};

// One worker's stream. Made by WorkerSessions::Open.
class WorkerSession {
 public:
  WorkerSession(uint64_t id, std::shared_ptr<StreamWire> wire, size_t queued_bytes_max)
      : id(id), stream(wire.get(), queued_bytes_max), wire_(std::move(wire)) {}

  void Heard(absl::Time now) { heard_us_ = absl::ToUnixMicros(now); }
  absl::Time last_heard() const { return absl::FromUnixMicros(heard_us_); }

  const uint64_t id;  // The scheduler's name for it.
  WorkerStream stream;

  // Used by the stream's reader, in turn; `name` is constant once joined.
  std::string name;
  uint64_t heard_number = 0;  // Of the last message.
  std::atomic<bool> joined = false;
  std::atomic<bool> gone = false;
  std::atomic<bool> welcomed = false;
  std::atomic<bool> leaving = false;  // It said goodbye.

  // Used by the turn thread only.
  absl::flat_hash_set<uint64_t> told_runs;
  absl::flat_hash_set<uint64_t> eager_runs;  // Of which the worker may have gone on by itself.

 private:
  const std::shared_ptr<StreamWire> wire_;
  std::atomic<int64_t> heard_us_ = 0;
};

class WorkerSessions {
 public:
  using SessionPointer = std::shared_ptr<WorkerSession>;
  // `post` leaves a command for the next turn; it outlives the sessions.
  using Post = std::function<absl::Status(Command)>;
  WorkerSessions(WorkerServiceOptions options, Post post, absl::Time now);

  // A stream begins; a refusal says why not. What happens on it then, in order.
  absl::StatusOr<SessionPointer> Open(std::shared_ptr<StreamWire> wire, absl::Time now);
  // False: the message closed the stream, nothing more is to be read.
  bool Read(WorkerSession* session, const v1::FromWorker& message, absl::Time now);
  void ReadsEnded(WorkerSession* session);
  void Ended(WorkerSession* session);  // The last: the stream is over.

  // The workers' part of what a turn decided: all but replies.
  void Publish(Outgoing* outgoing, absl::Time now);
  void Acknowledge(const std::vector<OutcomeAck>& acks, absl::Time now);

  // Asks what a running task has printed so far. Nullopt: the worker is gone, does not have the
  // lease, or does not answer in time. `answer` is called once, from any thread, and must not
  // block.
  using LogAnswer = std::function<void(std::optional<std::string>)>;
  void AskLog(uint64_t worker, uint64_t lease, absl::Time now, LogAnswer answer);

  // The clockwork: closes the streams of silent workers, says something to those that heard nothing
  // for a while. Call it a few times per heartbeat.
  void Tick(absl::Time now);

  // Closes every stream, and every new one: workers are told to come back later. Idempotent.
  void Stop();

 private:
  // What one turn sends to one worker.
  struct Parcel {
    const WorkerWelcome* welcome = nullptr;
    std::vector<const GrantGroup*> grants;
    std::vector<const GrantGroup*> eager;
    std::vector<const HashRequest*> hash_requests;
    std::vector<uint64_t> revoked;
    std::vector<uint64_t> recalled_runs;
    std::vector<uint64_t> recalled_leases;
    std::vector<SourceCredit> credits;
    bool close = false;
  };
  struct PendingLog {
    uint64_t worker = 0;
    absl::Time deadline;
    LogAnswer answer;
  };

  // The way up. An error closes the stream.
  absl::Status Take(WorkerSession* session, const v1::FromWorker& message);
  absl::Status TakeHello(WorkerSession* session, const v1::Hello& hello);
  void TakeLogs(const v1::FromWorker& message);
  void Gone(WorkerSession* session);

  // The way down.
  SessionPointer Find(uint64_t worker);
  void FillParcels(Outgoing* outgoing);
  void SendParcel(WorkerSession* session, const Parcel& parcel, absl::Time now);
  size_t AppendGrants(WorkerSession* session, const Parcel& parcel, v1::ToWorker* out);
  void SendWelcome(const WorkerWelcome& welcome, v1::ToWorker* out) const;
  void SendEndedRuns(const std::vector<uint64_t>& runs, absl::Time now);

  void Check(WorkerSession* session, absl::Time now);
  void ExpireLogs(absl::Time now);
  std::vector<SessionPointer> AllSessions();

  // Constant after construction.
  const WorkerServiceOptions options_;
  const Post post_;

  // Used by the turn thread only. By stream: the same turn sends in the same order.
  absl::flat_hash_map<uint64_t, std::shared_ptr<const Program>> programs_;  // Of runs under way.
  absl::btree_map<uint64_t, Parcel> parcels_;

  absl::Time last_tick_;  // Used by Tick only.

  absl::Mutex mutex_;
  absl::btree_map<uint64_t, SessionPointer> sessions_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, PendingLog> logs_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_worker_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t next_log_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WORKER_SESSIONS_H_
