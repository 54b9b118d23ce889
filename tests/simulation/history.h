// History judges a simulation by what crossed the hub's boundary and nothing else: commands that it
// took, grants, revocations, acknowledgements and replies that it gave out, deletions at the
// bucket, what clients were told. It knows the rules of the house (README.md lists them) and never
// looks into the scheduler or the store.
//
// The first broken rule is kept; nothing is judged after it. Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_HISTORY_H_
#define BUE_TESTS_SIMULATION_HISTORY_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"
#include "hub/scheduler/scheduler.h"
#include "tests/simulation/bucket.h"
#include "tests/simulation/known_ready.h"

namespace bue::sim {

class History {
 public:
  // `bucket` outlives it.
  History(const hub::SchedulerOptions& rules, Bucket* bucket) : rules_(rules), bucket_(bucket) {}

  // ------------------------------------------------------------------------------- the hub's life
  // `now` and all times that come from the hub are by its clock, which is off by so much.
  void HubStarted(absl::Time now, absl::Duration clock_offset);
  void HubCrashed(bool power, absl::Time now);
  // A turn takes these commands; what it gave out follows, unless the hub died before.
  // Of `commits` there have been so far; `durable_commits` are on disk.
  void TurnBegins(const std::vector<hub::Command>& commands, uint64_t commits, absl::Time now);
  void Published(const hub::Outgoing& outgoing, uint64_t durable_commits, absl::Time now);
  void Promised(const std::vector<hub::OutcomeAck>& acks, const std::vector<hub::Reply>& replies);

  // ------------------------------------------------------------------------------------ the bucket
  void Deleted(uint64_t address);
  // A worker found an input of a task it runs there.
  void ReadBy(uint64_t lease, uint64_t address);
  // The lease's task starts, by the world's clock.
  void Starting(uint64_t lease, absl::Time now);
  void GoesOn(uint64_t lease);  // Its code, after its revocation has arrived; until then.
  void IsOver(uint64_t lease);
  // A worker found that an input of a task it runs is not there.
  void Missed(uint64_t lease, uint64_t address);

  // ----------------------------------------------------------------------------------- the clients
  void UploadAcked(const std::string& key, uint64_t run);
  void DeleteAcked(uint64_t run) { runs_[run].deleted = true; }
  bool CancelAcked(uint64_t run) const;
  bool StopAcked(uint64_t run) const;
  // One entry of a run's final results: made by that task, reported by it, and there.
  void ResultListed(uint64_t run, const TaskName& task, uint64_t address);

  void Fail(const std::string& what);
  // Outcomes that were acknowledged: what does not stand still acknowledges some now and then.
  uint64_t acknowledged() const { return acknowledged_; }
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }

 private:
  struct Task {
    uint64_t run = 0, upload = 0, instance = 0, item = 0;
    uint32_t node = 0, pass = 0;

    // A reset at the top level starts a new pass also for tasks that it does not restart.
    Task AnyPass() const { return {run, upload, instance, item, node, instance == 0 ? 0 : pass}; }

    // Of a run that was retried: what a cancel revoked goes on as another pass, with its attempts.
    Task WithoutPass() const { return {run, upload, instance, item, node, UINT32_MAX}; }

    friend bool operator==(const Task&, const Task&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Task& t) {
      return H::combine(std::move(h), t.run, t.upload, t.instance, t.item, t.node, t.pass);
    }
  };
  enum class State {
    kLive,      // Somebody may be at it.
    kResolved,  // Its outcome was taken.
    kGone,      // Lost, revoked, dropped.
  };
  struct Lease {
    Task task;
    std::string worker;
    uint64_t incarnation = 0;
    uint64_t stream = 0;  // That it was granted or renewed on; 0: of an earlier life.
    hub::Pool pool = hub::Pool::kThread;
    uint32_t attempt = 0, handbacks = 0;
    absl::Time started = absl::InfiniteFuture();  // As the worker said.
    uint64_t power_cuts = 0, interruptions = 0;   // When the hub last gave it out.
    State state = State::kLive;
    bool offered = false;  // Not more than that so far: its worker may go on to it by itself,
    bool eager = false;    // and has.
    bool failure_counted = false;
    bool goes_on = false;          // Its code, though the hub has taken the lease.
    bool revoked = false;          // For good, unless a power cut took back why.
    bool was_reported = false;     // The hub was told its outcome, and may know it.
    bool dropped_in_time = false;  // Its worker was back in time and sent away.
    hub::Outcome::Kind outcome = hub::Outcome::Kind::kSucceeded;
    uint64_t address = 0;    // Of its value.
    bool stops_run = false;  // Its failure did (`!on_error stop`).
    enum class Owner { kItself, kAnother, kUnknown };
    uint64_t gives = 0;            // An id, as its number; 0: none.
    Owner owner = Owner::kItself;  // Of that: its item, or another one.
    std::vector<uint64_t> inputs;
    std::vector<uint64_t> by;  // The values that its step's limits go by; 0: not there.
  };
  struct TaskState {
    uint64_t last_lease = 0;
    uint32_t acked_failures = 0, acked_handbacks = 0;
    bool over = false;     // Its success was acknowledged.
    bool refused = false;  // That of another item with its id was before.
    uint64_t value = 0;    // Of that.
  };
  struct Stream {
    std::string worker;
    uint64_t incarnation = 0;
    uint64_t order = 0;                // Of the hello.
    std::vector<hub::HeldLease> held;  // That the hello named.
    absl::Time gone_at = absl::InfiniteFuture();
    bool on_record = false;  // It was given or promised something, so the store must name it.
    hub::WorkerRoom room[hub::kPools];
    std::set<uint64_t> live;
    std::map<uint64_t, std::vector<uint64_t>> unacked;  // Leases by report.
  };
  // A number and what it names: another run once a power cut took back the upload of the first.
  struct Run {
    uint64_t upload = 0;         // How many runs have had the number.
    bool promised = false;       // Its uploader was told of it.
    bool may_have_gone = false;  // A power cut came before that.
    std::shared_ptr<const Program> program;
    std::shared_ptr<KnownReady> known;
    uint64_t weight = 0;          // 0: the hub died before it said that the run is there.
    bool awake = true;            // Nobody has paused it, or the hub promised that it goes on.
    bool limits_changed = false;  // Somebody tried to.
    bool cancelled = false, paused = false, deleted = false;
    uint64_t interruptions = 0;                   // How often it may have ended, or begun again.
    bool stops = false;                           // It was told so, and nothing more of it starts.
    bool stopped = false;                         // Somebody was promised that.
    absl::Time stop_at = absl::InfiniteFuture();  // On the hub's clock; then it ends.
    bool started_over = false;                    // Something in it may have more than one pass,
    bool keeps_attempts = false;                  // with the attempts of the one before.
  };
  struct Control {
    hub::ControlRun command;
    absl::Time taken;
    Run before;  // kRetry: in case it is refused.
  };
  // What a turn took from workers, in order.
  struct Hello {
    uint64_t stream = 0;
  };
  struct TakenOutcome {
    uint64_t stream = 0, report = 0, lease = 0, address = 0;
    hub::Outcome::Kind kind = hub::Outcome::Kind::kSucceeded;
    uint64_t gives = 0;  // An id, as its number; 0: none.
  };
  struct Goodbye {
    uint64_t stream = 0;
  };
  // A worker went on to it by itself.
  struct TakenEager {
    uint64_t stream = 0;
    uint64_t lease = 0;
    uint64_t input = 0;
  };
  using Taken = std::variant<Hello, TakenOutcome, TakenEager, Goodbye>;
  using Place = std::tuple<hub::Pool, std::string, int32_t>;  // Pool, scope, priority.
  // The most that a step's limit has ever been changed to, by run and name.
  using ChangedLimits = std::map<std::pair<uint64_t, std::string>, uint64_t>;
  static constexpr uint64_t kNoLimit = UINT64_MAX;
  // An id's number within a loop, of a run, by its upload and instance.
  using IdName = std::tuple<uint64_t, uint64_t, uint64_t, uint64_t>;
  struct Id {
    std::optional<uint64_t> owner;  // The first item that gave it; none: see `claims`.
    std::set<uint64_t> claims;      // Items that may have been, before a life of the hub ended.
    bool is_sure = false;           // That was acknowledged.
  };
  // Of a run that has had something ready at a place for a while: tasks that it was given since,
  // tasks of others, and those of them since its own last one.
  struct Wait {
    uint64_t own = 0;
    std::map<uint64_t, uint64_t> others, since;  // By run.
  };

  void TookIn(uint64_t run);
  void CutBack(uint64_t number, Run* run);
  bool IsOfThisUpload(const Task& task) const;
  void Joined(const hub::WorkerJoined& joined, absl::Time now);
  void Reported(const hub::WorkerReported& reported, absl::Time now);
  void CountFailure(const Task& task);
  bool OutlastedTimeout(const Lease& lease, absl::Time now) const;
  void Welcomed(const hub::WorkerWelcome& welcome, absl::Time now);
  void Left(uint64_t stream, absl::Time now);
  void Renewed(uint64_t stream, const hub::HeldLease& held);
  void Dropped(uint64_t lease, absl::Time now);
  void Took(const TakenOutcome& outcome, absl::Time now);
  void Took(const TakenEager& eager, absl::Time now);
  bool IsFinalFailure(const Lease& lease) const;
  void Granted(const hub::GrantGroup& group, size_t row, absl::Time now);
  void Offered(const hub::GrantGroup& group);
  void TookControl(const hub::ControlRun& command, absl::Time now);
  void Answered(const hub::Reply& reply);
  void CheckStops(const std::vector<uint64_t>& ended, absl::Time now);
  void NoteReady(const hub::GrantGroup& group, size_t row, uint64_t lease, bool is_first);
  void CheckRun(const hub::GrantGroup& group, const std::string& name);
  void CheckAttempt(const hub::GrantGroup& group, size_t row, const Task& which,
                    const TaskState& task, const std::string& name);
  void CheckEarlierLease(const Lease& earlier, uint32_t attempt, absl::Time now,
                         const std::string& name);
  void CheckElement(uint64_t address, const std::string& name);
  void CheckInputs(const hub::GrantGroup& group, size_t row, Lease* lease, const std::string& name);
  void CheckRoom(const Stream& stream, hub::Pool pool, const std::string& name);
  // history_limits.cc
  void TookLimits(const hub::SetLimits& command);
  void CheckLimits(uint64_t id, bool is_source, absl::Time now, const std::string& name);
  static uint64_t MostOf(uint64_t count, const ChangedLimits& changes,
                         const std::pair<uint64_t, std::string>& step);
  void CheckQueues(absl::Time now);
  uint64_t CountInFront(uint64_t number, const Run& run, uint32_t node, absl::Time now);
  std::vector<uint64_t> ByOf(const hub::GrantGroup& group, size_t row);
  std::string LimitName(const Lease& lease, const Limit& limit) const;
  bool MayRun(const Lease& lease, absl::Time now) const;
  bool GoesOn(const Lease& lease) const;
  // history_ids.cc
  uint64_t NumberOfId(const std::string& id);
  static IdName NameOfId(const Task& task, uint64_t id);
  void KeepClaims();
  Lease::Owner TakeId(const Task& task, uint64_t id);
  void OwnerIsSure(const Task& task, uint64_t id);
  void CutBackIds();
  // history_turns.cc
  bool HasReadyAt(uint64_t number, const Run& run, const Place& place) const;
  void CheckTurns(absl::Time now);
  void CheckShares(const Place& place, uint64_t number, const std::map<uint64_t, uint64_t>& grants,
                   Wait* wait);
  void ForgetWaits(uint64_t number);
  void Acked(Stream* stream, uint64_t report);
  void End(Lease* lease, uint64_t id, State state);
  bool IsCurrent(const Lease& lease) const;
  std::string NameOf(const Task& task) const;
  static std::string LeaseName(uint64_t lease);

  const hub::SchedulerOptions rules_;
  Bucket* const bucket_;
  std::string failure_;
  uint64_t acknowledged_ = 0;

  absl::flat_hash_map<uint64_t, Lease> leases_;   // Never iterated.
  std::map<uint64_t, hub::GrantGroup> offers_;    // What workers may go on to, by lease.
  absl::flat_hash_map<Task, TaskState> tasks_;    // Never iterated.
  absl::flat_hash_map<Task, uint32_t> failures_;  // Taken ones, by AnyPass and by WithoutPass.
  absl::flat_hash_map<uint64_t, bool> reported_;  // Objects that the hub was told of.
  std::set<uint64_t> refused_;                    // Values of items whose id is another's.
  std::map<std::string, uint64_t> id_numbers_;
  std::map<IdName, Id> ids_;
  std::vector<std::pair<IdName, uint64_t>> claimed_;  // In the turn under way, by items.
  std::map<uint64_t, Run> runs_;
  std::set<uint64_t> learned_runs_;
  std::map<std::string, uint64_t> run_of_key_;

  // Of the hub's life under way. Objects that it was told of, and which of its commits said so.
  absl::flat_hash_map<uint64_t, uint64_t> told_;
  uint64_t commits_ = 0;
  uint64_t durable_commits_ = 0;
  std::map<uint64_t, Stream> streams_;
  uint64_t next_order_ = 1;
  absl::Time hub_started_;
  bool hub_is_up_ = false;
  absl::Duration clock_offset_;
  uint64_t power_cuts_ = 0;  // In all.
  bool restarted_ = false;   // This is not its first life.
  bool turn_under_way_ = false;
  std::set<std::string> awaited_;         // Workers that were connected when the last life ended.
  std::set<std::string> returned_;        // Workers that said hello in this one.
  std::map<uint64_t, Control> controls_;  // By request.

  std::vector<Taken> taken_;  // In the turn under way.

  // Leases that may run under a limit, and when they were granted, by the limit's name.
  std::map<std::string, std::set<uint64_t>> limited_;
  std::map<std::string, std::deque<absl::Time>> starts_;  // By the world's clock.
  ChangedLimits changed_limits_, changed_queues_;         // `!max_running` and `!queue`.
  // Leases of what comes right before a node, by run and node.
  std::map<std::pair<uint64_t, uint32_t>, std::set<uint64_t>> in_front_;

  std::map<uint64_t, uint64_t> weights_;                      // Of uploads, by request.
  std::map<Place, std::map<uint64_t, uint64_t>> granted_at_;  // In this turn, by run.
  std::map<Place, std::map<uint64_t, Wait>> waits_;           // By run.
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_HISTORY_H_
