// The Scheduler's inside: what scheduler.cc (life, uploads), controls.cc (people's commands),
// reports.cc (workers' commands), sources.cc, lost_inputs.cc, deadlines.cc, matcher.cc (granting),
// eager.cc, limits.cc, limits_by.cc, recalls.cc, queries.cc, locate.cc and statistics.cc (answers),
// note_history.cc share.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_SCHEDULER_IMPL_H_
#define BUE_HUB_SCHEDULER_SCHEDULER_IMPL_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "hub/scheduler/gone_workers.h"
#include "hub/scheduler/lease_table.h"
#include "hub/scheduler/ready_queue.h"
#include "hub/scheduler/recalls.h"
#include "hub/scheduler/run.h"
#include "hub/scheduler/scheduler.h"
#include "hub/scheduler/timer_queue.h"
#include "hub/scheduler/worker_table.h"

namespace bue::hub {

// The place of a page of results: an instance and an item of it.
struct ResultCursor {
  uint64_t instance = 0;
  uint64_t item = 0;
};

absl::Status NoRun(uint64_t run);

class Scheduler::Impl final : public RunListener {
 public:
  explicit Impl(const SchedulerOptions& options);

  // scheduler.cc
  absl::Status Load(HubSnapshot snapshot, absl::Time now);
  void Apply(Command& command, absl::Time now, Effects* effects);
  absl::Time NextDeadline() const;
  void BeginTurn(uint64_t turn) {
    turn_ = turn;
    open_asks_.clear();
  }
  void Synced(uint64_t turn);
  bool AwaitsSync() const { return !reservations_.empty() || recorded_turn_ > synced_; }
  std::vector<uint64_t> DirtyRuns() const;
  RunSnapshot SnapshotRun(uint64_t run);
  void CheckInvariants();

  // matcher.cc
  void Match(absl::Time now, Effects* effects);

  // RunListener: scheduler.cc; what becomes ready: matcher.cc; OnUnitEnded: note_history.cc
  void OnReady(Run* run, Item* item, uint32_t vertex) override;
  void OnDelayed(Run* run, Item* item, uint32_t vertex) override;
  void OnCursor(Run* run, Instance* instance) override;
  void OnUnread(Run* run, Item* item, uint32_t source) override;
  void OnInstanceGone(Run* run, Instance* instance) override;
  void OnRevoke(Run* run, Item* item, uint32_t vertex) override;
  void OnQueueShorter(Run* run, uint32_t step) override;
  void OnDelete(uint64_t address) override;
  void OnFollowing(const Change& change) override;
  void OnUnitEnded(Run* run, const Item& item, uint32_t unit, const UnitState& state) override;
  void OnEnded(Run* run) override;

 private:
  struct Reservation {
    uint64_t turn = 0;
    uint64_t run = 0;
    uint64_t instance = 0;
    uint64_t upto = 0;
  };
  struct LoopRef {
    uint64_t run = 0;
    uint64_t instance = 0;
  };

  // scheduler.cc
  void Handle(SubmitRun& command);
  Run* AddRun(RunAdded added, std::shared_ptr<const Program> program);
  Run* FindRun(uint64_t run);
  // Records the change and applies it. `item`: the one that it names, if it is at hand.
  void Do(Run* run, Change change, Item* item = nullptr);
  void Promise(uint64_t request, absl::Status status, ReplyBody body);
  void Answer(uint64_t request, absl::Status status, ReplyBody body);
  void StartGrace(std::vector<std::string> workers);
  void EndGrace();
  void TakeSynced();
  void ExpireLater(Run* run);
  void ExpireRuns();

  // controls.cc
  void Handle(ControlRun& command);
  void RefuseControl(const ControlRun& command, absl::string_view why);
  void Recall(const Run* run);
  void StopRun(Run* run, absl::Duration grace, bool failed);
  void RetryRun(Run* run, const ControlRun& command);
  void ReviveRun(Run* run);
  void DeleteRun(Run* run);

  // lost_inputs.cc
  // What is gone from the buckets: an object, or all of its store.
  struct Gone {
    uint64_t address = 0;
    bool store = false;
  };
  struct LostValue;
  static std::vector<LostValue> FindLost(Run* run, Item* item, uint32_t v, const Gone& gone);
  void InputGone(Run* run, Item* item, uint32_t v, const Gone& gone, Worker* worker);
  void MakeAgain(Run* run, const LostValue& lost);

  // error_records.cc
  ErrorRecord RecordOf(Run* run, Item* item, uint32_t v, const TaskError& error,
                       const std::string& worker);
  TaskInputs InputsOf(Run* run, Item* item, uint32_t v);

  // reports.cc
  void Handle(WorkerJoined& command);
  void Handle(WorkerReported& command);
  void Handle(WorkerGone& command);
  bool Adopt(Worker* worker, const HeldLease& held);
  void Renew(struct Lease* lease, absl::Duration elapsed);
  void HandleOutcome(Worker* worker, Outcome& outcome);
  void HandleStepError(const Worker& worker, const StepError& error);
  void HandleLearned(const LearnedMode& learned);
  void Succeeded(Run* run, Item* item, uint32_t v, const Outcome& outcome, Worker* worker);
  bool TakeId(Run* run, Item* item, uint32_t v, const std::string& id, Worker* worker);
  void Refuse(Run* run, Item* item, uint32_t v, Worker* worker, bool may_retry, std::string why);
  void AttemptFailed(Run* run, Item* item, uint32_t v, const TaskError& error,
                     const std::string& worker, bool may_retry);
  void HandBack(Run* run, Item* item, uint32_t v, Outcome::Kind kind, const std::string& worker);
  void DropStale(const Outcome& outcome);
  Change TaskChange(Change::Kind kind, Run* run, Item* item, uint32_t v) const;
  void FreeLease(struct Lease* lease, bool has_started);
  void RemoveWorker(Worker* worker, bool lost);
  void RecordWorkers();

  // deadlines.cc
  void Started(struct Lease* lease, absl::Duration elapsed);
  void SourceMoved(struct Lease* lease);
  absl::Time DueAt(const struct Lease& lease) const;
  void SetOverdue(struct Lease* lease);
  void ClearOverdue(struct Lease* lease);
  void EndOverdue();
  void StopRuns();

  // matcher.cc
  void WakeDelayed();
  void RemoveLostWorkers();
  void BeginLoopsOfLoops();
  void GrantAll();
  bool GrantRound(Pool pool, bool ahead);
  uint32_t RoomOf(const Worker& worker, Pool pool, bool ahead) const;
  uint32_t GrantSome(Worker* worker, Pool pool, uint32_t most);
  struct Taken {
    uint32_t granted = 0;
    uint32_t asked = 0;  // Tasks for whose values a worker was asked.
  };
  Taken TakeFrom(RunQueue* queue, Worker* worker, uint32_t most);
  bool TakeTask(Line* line, TaskRef* task);
  bool BeginFromCursor(Line* line);
  bool MayBegin(Run* run, Instance* instance);
  void Reserve(Run* run, Instance* instance);
  uint64_t CursorBits(Run* run, const Instance& instance, const Line* line);
  Line* LineOfRoot(Run* run, const Instance& instance, int root) {
    const uint32_t vertex = run->graph().region(instance.region).roots[root];
    return LineOf(run, run->graph().vertex(instance.region, vertex).index);
  }

  // recalls.cc
  void RecallForIdle();
  void RecallFor(Worker* idle, Pool pool, int* looks);
  absl::Time RecallFrom(Worker* holder, Worker* idle, Pool pool, uint32_t most, int* looks);
  static bool MayRecall(const struct Lease& lease);
  void NoteHeld(Worker* worker, const struct Lease& lease);
  void EndRecall(struct Lease* lease);
  void CheckRecalls();

  // sources.cc
  static bool Streams(Run* run, const Item& item, uint32_t v);
  uint64_t CreditOf(Run* run, Item* item, uint32_t source);
  void GiveSourceCredit(Run* run, Item* item, uint32_t source);
  void ReadOn(Run* run, Instance* instance);
  void HandleProgress(const Worker* worker, const SourceProgress& progress);
  void SourceCalled(Run* run, Item* item, uint32_t v, const Outcome& outcome, Worker* worker);

  // grants.cc
  static constexpr size_t kRefillInputs = 2;  // Count and cursor, before what the call names.
  void Grant(Line* line, Worker* worker, const TaskRef& task);
  GrantGroup* GroupFor(const struct Lease& lease, const Yielded& yielded);
  void AddInputs(Run* run, Item* item, uint32_t v, GrantGroup* group);
  static void AddCall(const Run::Call& call, GrantGroup* group);
  void AddElement(Run* run, Item* item, uint32_t region, InputColumn* column);

  // eager.cc
  void MayBeFollowed(const struct Lease& lease);
  void OfferNext();
  static uint32_t NextAlone(const struct Lease& lease);
  void Offer(struct Lease* lease, uint32_t next);
  static bool WasCalledWith(Run* run, const Item& item, uint32_t v, uint64_t address);
  void HandleEager(Worker* worker, WorkerReported* report);
  static bool IsYetToFollow(const HeldLease& held, const absl::flat_hash_set<uint64_t>& current);

  // limits.cc
  Line* MakeLine(Run* run, uint32_t node);
  Line* LineOf(Run* run, uint32_t node) {
    const Program& program = run->graph().program();
    const bool by_node = run->LimitsQueues();
    if (run->lines.empty()) {
      run->lines.resize(by_node ? program.nodes.size() : program.steps.size());
    }
    Line*& line = run->lines[by_node ? node : program.nodes[node].step];
    if (line == nullptr) line = MakeLine(run, node);
    return line;
  }
  void Rearrange(Run* run);
  Gates GatesOf(Run* run, uint32_t node);
  void AddQueues(Run* run, uint32_t node, Gates* gates);
  static bool ComesAfter(Run* run, uint32_t step, uint32_t first);
  Gate* GateOf(Run* run, Gate::Kind kind, uint32_t step);
  static constexpr Gate::Kind kStepLimits[] = {Gate::Kind::kRunning, Gate::Kind::kRate};
  // More is as good as no limit.
  static constexpr uint64_t kCountMax = 1'000'000'000;
  static Run::LimitKind LimitOf(Gate::Kind kind);
  static Gate::Wish WishOf(Gate::Kind kind, const Limit& limit);
  Gate* QueueGateOf(Run* run, uint32_t step);
  bool IsHeldByQueue(Run* run, Instance* instance);
  void PassRoomOn(Run* run, const Instance* instance);
  bool OpenGates();
  // The lease counts at the gates of its line, or does no more; a paused source does not.
  void CountIn(struct Lease* lease) {
    if (!lease->paused) ready_.Pass(lease->line, lease->on_its_way);
  }
  void CountOut(const struct Lease& lease) {
    if (!lease.paused) ready_.Return(*lease.line, lease.on_its_way);
  }
  void AddGhost(const struct Lease& lease);
  void AddGhost(const Worker& worker, const Ghost& ghost);
  void Start(struct Lease* lease);
  void TakeAsStarted(const absl::flat_hash_set<const Gate*>& gates);
  bool SetPaused(struct Lease* lease, bool paused);
  void CheckGates();

  void Handle(SetLimits& command);

  // limits_by.cc
  // Values that limits go by, and whose tasks wait for a worker to say what they are.
  struct WaitingTask {
    TaskRef task;
    uint32_t step = 0;
  };
  struct WantedHash {
    uint64_t instance = 0;
    uint64_t item = 0;
    uint64_t serial = 0;
    Input input;
    std::vector<WaitingTask> tasks;
  };
  struct Ask {
    uint64_t worker = 0;
    uint64_t run = 0;
    size_t request = 0;  // Among the turn's effects, if it is of this turn.
    std::vector<WantedHash> wanted;
  };
  struct ByValue;  // A value that a limit goes by.
  bool GoesByValues(Run* run, uint32_t node) const;
  Gate* AheadOf(Run* run, uint32_t step);
  ByValue ValueOf(Run* run, Item* item, const Input& input);
  uint64_t HashOf(Run* run, Item* item, const Input& input);
  const LinesByValues& LimitsOf(Line* asking);
  void NextLoop(Line* asking, uint64_t loop, bool is_held_back);
  ByValues HashesOf(Run* run, Item* item, uint32_t node);
  Line* LineOf(Run* run, Item* item, uint32_t v) {
    const uint32_t node = run->NodeOf(*item, v);
    Line* line = LineOf(run, node);
    return line->asks ? LineByValues(line, run, item, node) : line;
  }
  Line* LineByValues(Line* asking, Run* run, Item* item, uint32_t node);
  // Whether a task that stands in the line, or did, belongs there.
  bool BelongsIn(Line* line, const TaskRef& task) {
    return line->ahead == nullptr || BelongsByValues(line, task);
  }
  bool BelongsByValues(Line* line, const TaskRef& task);
  void SetLine(struct Lease* lease, Line* line) {  // Null: it is about to go.
    if (line != nullptr) ready_.AddLease(line);
    if (lease->line != nullptr) ready_.DropLease(lease->line);
    lease->line = line;
  }
  void AskHash(const Worker& worker, const Line& line, const TaskRef& task);
  Ask* AskFor(const Worker& worker, Run* run, const Input& input, uint64_t address);
  void CountUnderValue(Run* run, const TaskRef& task);
  void FindLine(struct Lease* lease);
  void HandleHashes(const Worker& worker, const HashReply& reply);
  void TakeHash(Run* run, const WantedHash& wanted, uint64_t id, uint64_t hash);
  void TakeBack(Run* run, const WaitingTask& waiting, bool front);
  bool IsAsking(const Run* run, uint32_t step) const;
  void AskAgain(const Worker& worker);
  void ForgetAsks(Run* run);
  void KnowHashes(Run* run, Item* item, uint32_t node, const std::vector<uint64_t>& hashes);
  void CountAhead(absl::btree_map<const Gate*, uint64_t>* held);

  // explain.cc
  void Handle(QueryReasons& command);
  absl::StatusOr<Reasons> ReasonsOfTask(Run* run, const std::string& step, const std::string& item);
  Reasons ReasonsOfStep(Run* run, const std::string& step);
  Reasons ReasonsOfAll(Run* run);
  bool Explain(Run* run, uint32_t node, const std::string& name, Reasons::Entry* entry);
  std::vector<std::string> ReasonsOf(Run* run, const Item& item, uint32_t v);
  std::vector<std::string> ReasonsOfWaiting(Run* run, const Item& item, uint32_t v);
  std::string ReasonOfRest(Run* run, const Item& item, uint32_t v);
  std::vector<std::string> ReasonsOfRun(Run* run);
  std::vector<std::string> ReasonsOfLine(Run* run, uint32_t node, const Line& line);
  std::vector<std::string> ReasonsOfReady(Run* run, uint32_t node);
  std::vector<std::string> ReasonsOfLoop(Run* run, const Instance& instance, uint64_t index);
  std::string ReasonOfGate(const Gate& gate);

  // queries.cc
  void Handle(QueryRun& command);
  void Handle(QueryRuns& command);
  void Handle(QueryWorkers& command);
  void Handle(QueryValues& command);
  void Handle(QueryResults& command);
  void Handle(QueryPlace& command);
  void Handle(QueryRunning& command);
  bool MayRead(uint64_t lease, const Run* run, const Instance* loop);
  RunStatus StatusOf(Run* run);
  ResultPage Results(Run* run, const ResultCursor& start, size_t limit);
  ResultPage FailedItems(Run* run, const ResultCursor& start, size_t limit);
  absl::StatusOr<ValuePlace> Locate(Run* run, const std::string& name, const std::string& item);

  // statistics.cc
  void NoteRun(Run* run);
  void NoteGrant(struct Lease* lease);
  int64_t NoteOutcome(const struct Lease& lease, const Outcome& outcome);
  RunStatus ProgressOf(const Run& run) const;
  void Handle(QueryStatistics& command);

  // note_history.cc
  void NoteTaskEnd(const Run& run, const Item& item, uint32_t v, HistoryEvent::End end,
                   uint64_t address);
  void Handle(QueryProgram& command);

  // ownership.cc
  void Handle(QueryOwnership& command);

  const SchedulerOptions options_;
  absl::btree_map<uint64_t, std::unique_ptr<Run>> runs_;
  absl::flat_hash_map<std::string, uint64_t> run_of_key_;
  uint64_t next_run_ = 1;
  uint64_t active_runs_ = 0;

  ReadyQueue ready_;
  LeaseTable leases_;
  WorkerTable workers_;
  Recalls recalls_;
  TimerQueue timers_;
  absl::btree_set<std::pair<absl::Time, uint64_t>> expiries_;  // When a run's values go.
  // Slots of leases whose tasks run for long, by when the hub ends them at the earliest.
  absl::btree_set<std::pair<absl::Time, uint32_t>> overdue_;
  absl::btree_set<uint64_t> stopping_;    // Runs that end once nothing of them runs.
  std::deque<Reservation> reservations_;  // Written, not known to be on disk.
  std::vector<LoopRef> loops_of_loops_;   // Cursors that no root task begins.
  uint64_t first_of_round_[kPools] = {};  // Who had the first share in the last round of grants.

  // After a restart, until the workers that were there are back.
  absl::Time grace_end_ = absl::InfiniteFuture();
  bool in_grace_ = false;
  absl::btree_set<std::string> awaited_;
  // Workers that the store names, and the turn since which it does.
  absl::btree_map<std::string, uint64_t> recorded_workers_;
  bool workers_changed_ = false;  // Since they were recorded.
  uint64_t recorded_turn_ = 0;    // When they were last.
  GoneWorkers gone_workers_;

  std::vector<uint64_t> ended_;           // Runs that ended this turn.
  absl::btree_set<uint64_t> noted_runs_;  // Active ones whose numbers changed since asked for.

  absl::btree_map<uint64_t, Ask> asks_;  // Hashes that workers have been asked for, by request.
  uint64_t last_ask_ = 0;

  // Of the lease that ended last.
  struct Attempt {
    int64_t queued_us = 0;   // When its task became ready; 0: not known.
    int64_t started_us = 0;  // When its step's code did; 0: not known, or never.
    uint64_t wanted = 0;     // Items, of a `!refill` source; 0: not known, after a restart.
  };
  Attempt attempt_;

  // Of the turn under way.
  uint64_t turn_ = 0;
  uint64_t synced_ = 0;
  absl::Time now_;
  int64_t now_us_ = 0;  // The same, since 1970.
  Effects* effects_ = nullptr;
  Effects after_load_;  // What followed from loading: joins the first turn's.
  absl::btree_map<uint64_t, size_t> open_group_;  // Worker to its last grant group, this turn.
  std::vector<uint64_t> followed_;                // Leases made this turn, for OfferNext.
  // This turn's asks: by worker, run, input and store.
  absl::btree_map<std::tuple<uint64_t, uint64_t, Input::Kind, uint32_t, uint64_t>, uint64_t>
      open_asks_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_SCHEDULER_IMPL_H_
