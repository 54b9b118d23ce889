// Role is the worker at work: one loop that owns the session and everything around it. What happens
// elsewhere (messages from the hub, results of executors, answers of the bucket) is posted to its
// inbox; after each batch of that it does what follows: starts calls, stores results, sends one
// message. Turns of the loop are taken by its own thread or by a poster's, one at a time: inbox.h.
//
//   hub stream -> Session -> Runs (step, files) -> Inputs -> Executor -> Results -> Session -> hub
//
// Threading: the public methods are for the owner's thread; everything private runs in turns.
#ifndef BUE_WORKER_CORE_ROLE_H_
#define BUE_WORKER_CORE_ROLE_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "worker/core/hash_reader.h"
#include "worker/core/hub_calls.h"
#include "worker/core/hub_stream.h"
#include "worker/core/inbox.h"
#include "worker/core/inputs.h"
#include "worker/core/output_echo.h"
#include "worker/core/results.h"
#include "worker/core/runs.h"
#include "worker/core/session.h"
#include "worker/core/step_files.h"
#include "worker/core/worker.h"

namespace bue::worker {

// Executors' answers, from their threads into the inbox.
class ExecutorPost final : public ExecutorEvents {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void OnResults(std::vector<CallResult> results) = 0;
    virtual void OnSourceProgress(const Progress& progress) = 0;
    virtual void OnCallStoring(uint64_t lease) = 0;
    virtual void OnStepMode(const LearnedMode& learned) = 0;
    virtual void OnCallsStarting(const std::vector<uint64_t>& leases) = 0;
    virtual void OnCallsStarted(const std::vector<StartedCall>& calls) = 0;
    virtual void OnCallsOver(const std::vector<uint64_t>& leases) = 0;
    virtual void OnHookFailure(uint64_t run, uint32_t step, const CallError& error) = 0;
  };

  ExecutorPost(std::shared_ptr<Inbox> inbox, Receiver* receiver)
      : inbox_(std::move(inbox)), receiver_(receiver) {}

  void OnDone(std::vector<CallResult> results) override;
  void OnProgress(uint64_t lease, uint64_t address, const Yielded& yielded) override;
  void OnStoring(uint64_t lease) override;
  void OnLearnedMode(uint64_t run, uint32_t step, Pool pool) override;
  void OnStarting(std::vector<uint64_t> leases) override;
  void OnStarted(std::vector<StartedCall> calls) override;
  void OnOver(std::vector<uint64_t> leases) override;
  void OnHookFailed(uint64_t run, uint32_t step, const CallError& error) override;

 private:
  const std::shared_ptr<Inbox> inbox_;
  Receiver* const receiver_;
};

struct RoleOptions {
  std::string hub;
  std::string name;
  std::string host;
  std::vector<std::string> scopes;
  bool priority_first = false;
  bool reverse = false;
  uint64_t incarnation = 0;
  SessionOptions session;
  InputsOptions inputs;
  std::string files_dir;
  absl::Duration stop_grace;                    // For what runs, when stopping.
  absl::Duration ack_grace = absl::Seconds(3);  // Then for the hub's acknowledgement.
  bool echo_output = false;
};

class Role final : public HubStreamListener,
                   public RunsListener,
                   public InputsListener,
                   public ExecutorPost::Receiver {
 public:
  // Starts the loop and opens the stream.
  Role(RoleOptions options, std::shared_ptr<grpc::Channel> channel);
  // Stops; waits for threads that may be reading from the bucket.
  ~Role() override;

  // Waits for the first welcome; the buckets it named. The hub's own status if it refused.
  absl::StatusOr<std::vector<std::string>> WaitForWelcome(absl::Duration timeout);

  // After the welcome: the buckets that this worker has. The flag, for any thread: whether these
  // are the ones that the hub named last; it may have been started with others since.
  std::shared_ptr<const std::atomic<bool>> Uses(std::vector<std::string> buckets);

  // What executors answer to. Outlives them.
  ExecutorEvents* events() { return &events_; }

  // Begins to ask for work. The executors outlive Stop, the bucket outlives the role.
  void Begin(BucketClient* bucket, Executor* python, Executor* sql);

  // Clean: see Worker::Stop. Blocks until the loop has ended; executors may still answer after it.
  void Stop();

 private:
  // kStopping: what runs may end. kLeaving: the hub shall acknowledge. kEnding: the stream ends.
  enum class Phase : uint8_t { kRunning, kStopping, kLeaving, kEnding, kDone };

  void Loop();  // The loop's own thread.
  // Does the tasks and what follows from them; when to do so again at the latest.
  absl::Time TakeTurn(std::vector<Inbox::Task> tasks);
  absl::Duration NextWait(absl::Time now) const;
  void Advance(absl::Time now);
  void SendNews(absl::Time now);
  void AddLogs(v1::FromWorker* message);
  void HandOver();
  void LookOverCalls(absl::Time now);
  void AdvanceStop(absl::Time now);

  // HubStreamListener
  void FillHello(v1::Hello* hello) override;
  void OnMessage(const v1::ToWorker& message) override;
  void OnDown() override;
  void OnRefused(const absl::Status& status) override;
  Rank RankOf(const GrantGroup& group) const;
  void CompareBuckets() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnWelcome(const v1::Welcome& welcome);
  void OnHashRequest(const v1::HashRequest& request);
  void OnLogRequest(const v1::LogRequest& request);
  void OnEndedRun(uint64_t run);

  // RunsListener
  void OnStepReady(const StartBatch& batch, const std::shared_ptr<const LoadedStep>& step) override;
  void OnStepFailed(const StartBatch& batch, const absl::Status& status) override;

  // InputsListener
  void OnReady(std::vector<Call> calls) override;
  void OnInputGone(uint64_t lease, uint64_t address, const absl::Status& status) override;
  void OnInputFailed(uint64_t lease, const absl::Status& status) override;

  // ExecutorPost::Receiver
  void OnResults(std::vector<CallResult> results) override;
  void OnSourceProgress(const Progress& progress) override;
  void OnCallStoring(uint64_t lease) override;
  void OnStepMode(const LearnedMode& learned) override;
  void OnCallsStarting(const std::vector<uint64_t>& leases) override;
  void OnCallsStarted(const std::vector<StartedCall>& calls) override;
  void OnCallsOver(const std::vector<uint64_t>& leases) override;
  void OnHookFailure(uint64_t run, uint32_t step, const CallError& error) override;

  void Cancel(const std::vector<uint64_t>& leases);

  // Constant after construction.
  const RoleOptions options_;
  const std::shared_ptr<Inbox> inbox_;

  HubCalls hub_calls_;  // Thread-safe.
  ExecutorPost events_;

  // Used in turns only.
  Session session_;
  OutputEcho echo_;
  StepFiles files_;
  Runs runs_;
  std::unique_ptr<HubStream> stream_;
  std::unique_ptr<Inputs> inputs_;  // From Begin on, like all that follows.
  std::unique_ptr<HashReader> hash_reader_;
  std::unique_ptr<Results> results_;
  Executor* python_ = nullptr;
  Executor* sql_ = nullptr;
  std::vector<Call> ready_python_;
  std::vector<Call> ready_sql_;
  std::vector<StartBatch> batches_;
  std::vector<v1::LogReply> log_replies_;
  std::vector<v1::StepError> failed_hooks_;
  Phase phase_ = Phase::kRunning;
  absl::Time stop_deadline_ = absl::InfiniteFuture();
  absl::Time next_look_ = absl::InfinitePast();  // For calls that run for long.

  absl::Mutex mutex_;
  bool welcome_known_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> used_buckets_ ABSL_GUARDED_BY(mutex_);
  const std::shared_ptr<std::atomic<bool>> knows_all_ = std::make_shared<std::atomic<bool>>(true);
  absl::StatusOr<std::vector<std::string>> welcome_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_ROLE_H_
