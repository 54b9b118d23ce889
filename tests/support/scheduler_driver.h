// SchedulerDriver plays the world around a Scheduler for tests: a clock that is moved by hand, a
// store in memory, workers that do what they are told. Every call is one turn, written and synced.
//
// What the scheduler decided is a transcript, a line each:
//
//   grant w1 double[3](v7, e v2[3]) attempt=2      values are v1, v2, … in order of success
//   revoke w1 double[3]
//   credit w1 gen 1500
//   recall w1 r1                                   to give back what it has not started
//   recall w1 double[3]                            the same, of one task
//   ask w1 v1[0] v7                                which values these are
//   ack w1 4 | run r1 succeeded | error double[3] attempt=1 final: message | delete v7 | drop w1 …
#ifndef BUE_TESTS_SUPPORT_SCHEDULER_DRIVER_H_
#define BUE_TESTS_SUPPORT_SCHEDULER_DRIVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "hub/scheduler/scheduler.h"

namespace bue::hub {

class SchedulerDriver {
 public:
  explicit SchedulerDriver(SchedulerOptions options = {});

  // Starts a run of a program (see program_text.h). Its number, 0 if it was refused.
  uint64_t Run(const std::string& program_text, uint32_t weight = 1);

  struct WorkerSpec {
    uint32_t threads = 0, async = 0, sql = 0;
    uint32_t ahead = 0;  // Leases beyond the slots, of each pool that has slots.
    std::vector<std::string> scopes;
    bool priority_first = false;
    bool reverse = false;
    // How many different values limits go by, as it sees them; 0: it does not say before Answer.
    uint64_t values = 2;
  };
  void Join(const std::string& worker, const WorkerSpec& spec);
  void Break(const std::string& worker);   // Its stream ends; the process lives on.
  void Return(const std::string& worker);  // A new stream, saying what it holds.
  void Stop(const std::string& worker);    // Goodbye.
  void Say(const std::string& worker);     // It is alive.
  // It says what values are that the hub has asked for.
  void Answer(const std::string& worker, uint64_t values);

  // Outcomes of a task named as in the transcript: "double[3]", "total".
  // `list_elements`: -1: the value is no list.
  void Succeed(const std::string& worker, const std::string& task, int64_t list_elements = -1,
               const ResultExtra& extra = {});
  void SucceedWithNone(const std::string& worker, const std::string& task);
  void Report(const std::string& worker, const std::string& task, Outcome::Kind kind,
              const std::string& message = "");
  // The same, but the worker never hears that it was taken in: it holds the lease still.
  void ReportUnheard(const std::string& worker, const std::string& task, Outcome::Kind kind);
  void Progress(const std::string& worker, const std::string& task, uint64_t elements);
  // How many elements a source has made; nullopt: no loop goes over this task's value.
  std::optional<uint64_t> Made(const std::string& worker, const std::string& task);
  // The task's input number `which` (of those that lie in the bucket, counted round) is gone.
  // False: it has none.
  bool Gone(const std::string& worker, const std::string& task, size_t which, bool store = false);
  void Started(const std::string& worker, const std::string& task, absl::Duration elapsed);
  // Of a task under a rate: its step is called.
  void Starting(const std::string& worker, const std::string& task);
  void Learn(const std::string& worker, uint64_t run, const std::string& step, hub::Pool pool);

  void Control(uint64_t run, ControlRun::Action action, absl::Duration grace = {},
               const std::string& step = "");
  void Control(Command command);  // ControlRun or SetLimits; its `request` is set here.
  void Advance(absl::Duration duration);

  // The process dies and comes back from what was stored. Streams are broken. `first`: a worker
  // that is back before anything else happens.
  void Restart(bool checkpoint_first, const std::string& first = "");

  // The verdicts on objects; and where all values come from that were reported in time and not yet
  // deleted, by address.
  std::vector<Ownership> AskOwnership(std::vector<QueryOwnership::Object> objects);
  std::vector<QueryOwnership::Object> Values() const;

  RunStatus Status(uint64_t run);
  ReplyBody Ask(Command command);

  // Lines since the last call, and whether any are left.
  std::vector<std::string> TakeLines();
  Scheduler* scheduler() { return scheduler_.get(); }
  bool deleted(uint64_t address) const { return deleted_.contains(address); }
  const std::map<std::string, uint64_t>& granted(const std::string& worker) {
    return workers_[worker].leases;
  }

 private:
  struct FakeWorker {
    WorkerSpec spec;
    uint64_t stream = 0;
    uint64_t incarnation = 0;
    uint64_t report = 0;
    bool connected = false;
    std::map<std::string, uint64_t> leases;  // Task to lease.
    std::map<uint64_t, HeldLease> held;
    std::map<uint64_t, absl::Time> started;            // Leases of which it was told.
    std::map<uint64_t, std::vector<uint64_t>> inputs;  // Lease to addresses.
    // Sources' leases: the object each writes (0: none yet), and its elements so far.
    std::map<uint64_t, std::pair<uint64_t, uint64_t>> sources;
    std::vector<HashRequest> asked;
    std::vector<uint64_t> over;  // Revoked leases: their code ends at once.
  };

  void Turn(std::vector<Command> commands);
  void Take(const Effects& effects);
  void TakeGrants(const GrantGroup& group);
  void TakeError(const ErrorRecord& error);
  void TakeHashRequest(const HashRequest& request);
  std::string InputText(const GrantGroup& group, const InputColumn& column, size_t i,
                        std::vector<uint64_t>* inputs);
  std::string ValueName(uint64_t address) const;
  std::string WorkerOf(uint64_t stream) const;
  void SendJoin(FakeWorker* worker, const std::string& name);
  void SendRoom(const FakeWorker& worker);
  void Forget(uint64_t lease);
  uint64_t LeaseOf(const std::string& worker, const std::string& task);

  SchedulerOptions options_;
  std::unique_ptr<Scheduler> scheduler_;
  absl::Time now_ = absl::FromUnixSeconds(1000000);
  uint64_t turn_ = 0;
  uint64_t next_stream_ = 1;
  uint64_t next_value_ = 1;
  uint64_t next_run_ = 1;
  uint64_t next_request_ = 1;
  std::map<std::string, FakeWorker> workers_;
  std::map<uint64_t, std::shared_ptr<const Program>> programs_;
  std::map<uint64_t, Reply> replies_;
  // By stream and report: what is not acknowledged. Then by address.
  std::map<std::pair<uint64_t, uint64_t>, QueryOwnership::Object> reported_;
  std::map<uint64_t, QueryOwnership::Object> values_;
  std::vector<std::string> lines_;
  std::set<uint64_t> deleted_;  // Addresses.

  // What each task of a run was granted with last.
  std::map<std::pair<uint64_t, std::string>, std::vector<TaskInput>> called_with_;

  // The store.
  std::map<uint64_t, StoredRun> runs_;
  std::map<uint64_t, std::map<std::string, std::string>> blocks_;
  std::vector<Change> journal_;
  std::vector<std::string> stored_workers_;
};

}  // namespace bue::hub

#endif  // BUE_TESTS_SUPPORT_SCHEDULER_DRIVER_H_
