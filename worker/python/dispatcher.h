// Dispatcher is the executor's thread: it knows every call and every runner, gives calls to
// runners, takes their answers, and deals with time running out and runners dying.
//
// A call is queued (process mode: no runner is free; large inputs: too many are under way), or it
// is with a runner, or its value is being finished in the bucket. It leaves by Complete, once.
//
// Everything runs in turns, on the thread that calls Run, except where it says otherwise. A call
// that comes alone while that thread waits, and an idle runner is there, is given to the runner by
// the thread that starts it: waking the other one would take longer.
#ifndef BUE_WORKER_PYTHON_DISPATCHER_H_
#define BUE_WORKER_PYTHON_DISPATCHER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "worker/executor.h"
#include "worker/python/output_log.h"
#include "worker/python/python_executor.h"
#include "worker/python/runner_process.h"
#include "worker/python/transfers.h"
#include "worker/python/wire.h"

namespace bue::worker {

class Dispatcher final : public TransferEvents {
 public:
  // `first`: the first general runner, if it was started already; else null.
  Dispatcher(const PythonOptions& options, std::string package, ExecutorEvents* events,
             std::unique_ptr<RunnerProcess> first);
  ~Dispatcher() override;

  // Until Stop has done its work.
  void Run() ABSL_LOCKS_EXCLUDED(turn_);

  // By any thread; they return at once.
  void Start(std::vector<Call> calls);
  void Cancel(uint64_t lease);
  void SourceCredit(uint64_t lease, uint64_t elements);
  void ForgetRun(uint64_t run);
  void LookOver();
  void Stop(absl::Duration grace);
  std::string Output(uint64_t lease) { return output_.Show(lease); }
  uint32_t ghosts() const { return ghosts_; }
  std::vector<int> RunnerPids();  // Waits for the dispatcher's thread.

  // TransferEvents, by transfer threads.
  void OnChunkRead(uint32_t reader, absl::StatusOr<std::optional<std::string>> chunk) override;
  void OnAppended(uint32_t writer, uint64_t bytes) override;
  void OnFlushed(uint32_t writer, const ValueWriter::Written& written, uint64_t hash) override;
  void OnClosed(uint32_t writer, absl::StatusOr<ValueWriter::Written> written) override;

 private:
  enum class Role : uint8_t {
    kGeneral,
    kProcess,
    kIsolated,  // Runs again what ran in a general runner that died.
  };

  struct Runner {
    uint32_t number = 0;
    Role role = Role::kGeneral;
    std::unique_ptr<RunnerProcess> process;
    bool ready = false;  // The interpreter runs our code.
    bool retiring =
        false;  // Gets no more calls; killed when the others are done, or at `deadline`.
    bool stopping = false;  // Was told to exit.
    bool watching_writes = false;
    int calls = 0;
    std::vector<uint64_t> stuck;  // Leases of calls that failed and go on.
    uint64_t run = 0;             // Process mode: whose modules it has,
    uint64_t lease = 0;           // and which call it runs, or ran last.
    uint64_t blocker = 0;  // The call that has its event loop's thread and does not give it back.
    bool frozen = false;   // Killed because it answered nothing any more.
    absl::Time deadline = absl::InfiniteFuture();  // Of starting, retiring or exiting.
    absl::flat_hash_set<uint32_t> steps;           // Steps that it knows.
    CallsFrame frame;                              // Calls of this turn.
  };

  struct InFlight {
    Call call;
    Runner* runner = nullptr;  // Null: queued.
    absl::Time started = absl::InfiniteFuture();
    absl::Time told_started = absl::InfiniteFuture();  // What OnStarted was told last.
    absl::Time deadline = absl::InfiniteFuture();
    bool timed_out = false;  // Its cancellation was sent, or its process killed.
    bool cancelled = false;  // Likewise, for another reason.
    bool probed = false;     // And it was asked why that did not end it.
    bool printed = false;
    std::vector<uint32_t> readers;
    // A large or growing result.
    uint32_t writer = 0;
    ObjectKind writer_kind = ObjectKind::kValue;
    uint64_t budget = 0;      // Granted and not yet off our hands.
    uint64_t may_send = 0;    // Granted and not yet sent.
    uint64_t elements = 0;    // Received.
    bool progressed = false;  // The hub may know of elements: the object stays, whatever comes.
    uint64_t credit = 0;      // Sources.
    std::optional<absl::Duration> paused;  // A source at its credit: what is left of its time.
    std::optional<CallResult> closing;     // The answer, once the bucket has the whole value.
  };

  struct Reader {
    uint64_t lease = 0;
    bool counted = false;  // Against input_streams_max.
  };

  struct Want {
    uint64_t lease = 0;
    uint32_t runner = 0;
    uint64_t bytes = 0;
  };

  // --- dispatcher.cc: turns, and calls on their way to runners.
  void Post(std::function<void()> action);     // By any thread.
  bool StartAtOnce(std::vector<Call>* calls);  // By any thread. False: it is to wake ours.
  bool MayStartAtOnce(const Call& call);
  void WaitForEvents() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void DrainInbox();
  void EndTurn();
  void SendToRunners();
  void Wake();  // By any thread.
  int MillisecondsToWait() const;
  void Place(std::vector<Call> calls);
  void PlaceGeneral(std::vector<InFlight*> calls);
  void PlaceProcessCalls();
  void PlaceIsolated();
  void PlaceCallsWithLargeInputs();
  bool HasRoomForInputs(const InFlight& in_flight) const;
  void Send(InFlight* in_flight, Runner* runner);
  void StartInputs(InFlight* in_flight);
  uint32_t StepNumber(const LoadedStep& step);
  static bool TakesCalls(const Runner& runner);
  Runner* LeastBusy();
  void GrowGeneral(size_t arriving);
  Runner* Spawn(Role role);
  Runner* Add(Role role, std::unique_ptr<RunnerProcess> process);
  void Watch(int fd, uint64_t tag, uint32_t events);
  void HandleForgetRun(uint64_t run);
  void HandleForgotten();
  void FinishStop();

  // --- dispatcher_messages.cc: what runners and transfers say.
  void OnSocket(Runner* runner);
  bool OnMessage(Runner* runner, absl::string_view data);
  absl::Status TakeMessage(Runner* runner, absl::string_view data);
  absl::Status OnResult(Runner* runner, const RunnerMessage& message);
  void StuckCallEnded(uint64_t lease, Runner* runner);
  void OnOutput(Runner* runner, const RunnerMessage& message);
  void OnStarting(Runner* runner, const RunnerMessage& message);
  void OnWant(Runner* runner, const RunnerMessage& message);
  absl::Status OnChunk(Runner* runner, const RunnerMessage& message);
  void OnInputAck(Runner* runner, const RunnerMessage& message);
  void OnLearned(const RunnerMessage& message);
  void OnNote(const RunnerMessage& message);
  void OnReady(Runner* runner);
  void OnStuck(Runner* runner, const RunnerMessage& message);
  void ReadLog(Runner* runner);
  void HandleChunkRead(uint32_t reader, absl::StatusOr<std::optional<std::string>> chunk);
  void HandleClosed(uint32_t writer, absl::StatusOr<ValueWriter::Written> written);
  void HandleCredit(uint64_t lease, uint64_t elements);
  void GrantWants();
  void Answer(InFlight* in_flight, CallResult result);
  void Complete(InFlight* in_flight, CallResult result);
  void Release(InFlight* in_flight);
  void DropReaders(InFlight* in_flight);
  InFlight* Find(uint64_t lease, const Runner* runner);
  Runner* FindRunner(uint32_t number);

  // --- dispatcher_failures.cc: time, death, stopping.
  void HandleTimers();
  void BeginTime(InFlight* in_flight);
  void HandleLookOver();
  void HandleCancel(uint64_t lease);
  void TimeOut(InFlight* in_flight);
  void FailTimedOut(InFlight* in_flight, std::string traceback, bool goes_on = false);
  void Overdue(InFlight* in_flight);
  void Freeze(InFlight* in_flight);
  void StuckCall(InFlight* in_flight, bool has_loop);
  void HeldUpCall(InFlight* in_flight, uint64_t blocker);
  void Abandon(InFlight* in_flight);
  void GiveBack(InFlight* in_flight, bool goes_on = false);
  void Fail(InFlight* in_flight, std::string action, std::string message);
  void Retire(Runner* runner);
  void OnDeath(Runner* runner);
  void OnDeathBeforeReady(const Runner& runner, std::vector<InFlight*> calls);
  void OnCrash(const Runner& runner, std::vector<InFlight*> calls);
  void Requeue(InFlight* in_flight);
  std::vector<InFlight*> CallsOf(const Runner* runner);
  void HandleStop(absl::Duration grace);
  void NextDeadline(absl::Time deadline);

  const PythonOptions options_;
  const std::string package_;
  ExecutorEvents* const events_;
  std::unique_ptr<RunnerProcess> first_runner_;  // Until Run takes it.
  int epoll_ = -1;
  int wake_ = -1;

  // By any thread.
  absl::Mutex mutex_;
  std::vector<Call> new_calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> actions_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  OutputLog output_;
  std::atomic<uint32_t> ghosts_ = 0;

  absl::Mutex turn_;  // Held in turns; not while the thread waits.

  // Used in turns only.
  absl::Time now_;
  absl::Time next_deadline_ = absl::InfiniteFuture();  // Not after the earliest; may be before it.
  absl::flat_hash_map<uint64_t, std::unique_ptr<InFlight>> calls_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::vector<uint32_t> dying_;  // Runners whose end was noticed in this turn.
  uint32_t last_runner_ = 0;
  int failed_starts_ = 0;                                                      // In a row.
  absl::flat_hash_map<std::pair<uint64_t, uint32_t>, uint32_t> step_numbers_;  // By (run, index).
  absl::flat_hash_map<uint32_t, std::pair<uint64_t, uint32_t>> steps_;         // By number.
  uint32_t last_step_ = 0;
  std::deque<InFlight*> process_queue_;
  std::deque<InFlight*> input_queue_;  // Wait until fewer large inputs are under way.
  std::deque<std::vector<uint64_t>> isolation_queue_;  // Groups of leases, each for a runner alone.
  absl::flat_hash_map<uint32_t, Reader> readers_;
  absl::flat_hash_map<uint32_t, uint64_t> writers_;  // Writer -> lease.
  int counted_readers_ = 0;
  uint64_t budget_left_;
  std::deque<Want> wants_;
  absl::flat_hash_set<uint64_t> forgotten_runs_;  // With calls that still run.
  absl::Time forget_at_;                          // Unless there are none.
  std::vector<CallResult> done_;                  // Of this turn.
  std::vector<uint64_t> starting_;                // Likewise: leases.
  std::vector<uint64_t> over_;                    // Likewise, of calls that were stuck.
  bool stopping_ = false;
  bool finished_ = false;
  absl::Time stop_deadline_ = absl::InfiniteFuture();

  Transfers transfers_;  // Last: its threads end first.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_DISPATCHER_H_
