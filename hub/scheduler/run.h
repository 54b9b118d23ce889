// Run is the state of one run: its instances of regions, their items, the vertices of those. It
// owns every transition; nobody else writes a vertex's state.
//
// State changes have one door, Apply(Change): the scheduler makes a Change of what happened, the
// store keeps it, Apply carries it out, and a restarted hub applies the same changes again. What
// follows from a change (a task becomes ready, a lease must go, an address is of no use any more)
// is told to a RunListener, which a replay does without.
//
// Life of a task:  waiting -> ready -> leased -> succeeded | failed | filtered
//                     |         ^-- delayed <--'
//                     '-> skipped | filtered
// Leased is soft: a snapshot knows it as ready.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_RUN_H_
#define BUE_HUB_SCHEDULER_RUN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "hub/scheduler/by_hashes.h"
#include "hub/scheduler/effects.h"
#include "hub/scheduler/item_ids.h"
#include "hub/scheduler/kept_values.h"
#include "hub/scheduler/run_graph.h"
#include "hub/scheduler/snapshot.h"
#include "hub/scheduler/step_stats.h"

namespace bue::hub {

class Run;
struct Instance;
struct Gate;  // gate.h
struct Line;  // ready_queue.h
struct RunQueue;

enum class VertexState : uint8_t {
  kWaiting,
  kReady,
  kLeased,
  kDelayed,
  kOpen,  // Loops: items may begin. `!refill` sources: between two calls.
  // Terminal from here on.
  kSucceeded,
  kFailed,
  kSkipped,
  kFiltered,
};
inline bool IsTerminal(VertexState state) { return state >= VertexState::kSucceeded; }

struct Vertex {
  VertexState state = VertexState::kWaiting;
  bool settled = false;    // Loops: how many items there are is known.
  uint8_t losses = 0;      // Workers lost in a row; not stored.
  uint8_t recomputes = 0;  // How often its value was lost; not stored.
  uint32_t missing = 0;    // Vertices it still waits for.
  uint32_t attempts = 0;   // Failed ones.
  uint32_t handbacks = 0;
  uint32_t lease = 0;     // 1 + slot in the lease table while kLeased; 0: it has just ended.
  uint32_t pass = 0;      // How often it started over: reset, retried, or made again.
  uint64_t value = 0;     // kSucceeded task: address; kReady or kLeased source: of what it has so
                          // far. Open or ended loop: instance. kDelayed: unix microseconds when it
                          // is ready. kOpen source: what it gave, until its loop opens.
  uint64_t elements = 0;  // Of a list value: 1 + count.
};

// The unit of failure: an item, or a connected component of the top level.
struct UnitState {
  uint32_t open = 0;  // Vertices not terminal.
  bool failed = false;
  bool filtered = false;
};

// One pass through a region. Lives in the pool of its region; `serial` tells a reused one apart.
struct Item {
  Instance* instance = nullptr;
  uint64_t index = 0;
  uint64_t serial = 0;  // 0: free.
  bool ended = false;   // Kept for a retry: it failed, or something within it did.
  bool loaded = false;  // Begun before the last restart.
  UnitState unit;       // Not used at the top level.
  Item* previous = nullptr;
  Item* next = nullptr;
  std::vector<Vertex> vertices;
};

// One opening of a region: by an item of the parent region.
struct Instance {
  explicit Instance(uint32_t columns) : kept(columns) {}

  // A stretch of elements in one object; a retried streaming source makes several. Of a `!refill`
  // source each call makes one, which goes when its items have; the last one, with the cursor for
  // the next call, stays until there are no more. Elements are numbered so that each one's items
  // begin with it.
  struct Segment {
    uint64_t first = 0;  // Element.
    uint64_t address = 0;
    // Of a `!refill` source:
    uint64_t elements = 0;  // How many; the cursor lies behind them.
    uint64_t open = 0;      // Items that are not over, or are kept for a retry; not stored.
  };

  uint64_t id = 0;
  uint32_t region = 0;
  Instance* parent = nullptr;  // Null for the top level.
  uint64_t parent_index = 0;   // Of the item that opened it.
  Item* opener = nullptr;      // That item while it lives.
  std::string prefix;          // Of its items' names: "4." for items within item 4.

  // Where the element lies; null: nowhere any more.
  const Segment* SegmentOf(uint64_t element) const;

  std::unique_ptr<ItemIds> ids;  // Null: no item has one.
  std::vector<Segment> segments;
  uint64_t elements = 0;   // Known so far.
  uint64_t declared = 0;   // 1 + how many there will be, by its `!refill` source; 0: unknown.
  uint64_t available = 0;  // Items that these make.
  uint64_t next = 0;       // Items below have begun.
  uint64_t reserved = 0;   // Items below may be granted; stored.
  uint64_t durable = 0;    // `reserved` as far as it is on disk; not stored.
  uint64_t foreign = 0;    // An earlier process may have granted items below; not stored.
  bool source_done = false;
  bool source_failed = false;
  bool closed = false;                          // Every item has ended.
  uint64_t live = 0;                            // Begun and not ended.
  uint64_t done = 0, failed = 0, filtered = 0;  // Ended items.
  KeptValues kept;
  absl::flat_hash_map<uint64_t, Item*> items;  // Live and failed ones, by index. Never iterated.
  Item* first_item = nullptr;                  // The same in order of beginning.
  Item* last_item = nullptr;

  // Used by the scheduler.
  uint64_t queued = 0;  // Bit i: the cursor stands in the queue of the i-th root task.
};

// What follows from a change. `vertex` numbers are of the item's region.
class RunListener {
 public:
  virtual ~RunListener() = default;
  virtual void OnReady(Run* run, Item* item, uint32_t vertex) = 0;
  virtual void OnDelayed(Run* run, Item* item, uint32_t vertex) = 0;
  // The loop may begin items: it opened, grew, or has room again.
  virtual void OnCursor(Run* run, Instance* instance) = 0;
  // A loop over `source`, a task of the item, will never read it.
  virtual void OnUnread(Run* run, Item* item, uint32_t source) = 0;
  // The instance is about to go: forget it.
  virtual void OnInstanceGone(Run* run, Instance* instance) = 0;
  // A leased task is leased no more, without an outcome.
  virtual void OnRevoke(Run* run, Item* item, uint32_t vertex) = 0;
  // A task of the step waits no more: it was leased, or is not ready any more. Told of runs that
  // limit queues.
  virtual void OnQueueShorter(Run* run, uint32_t step) = 0;
  virtual void OnDelete(uint64_t address) = 0;
  // A change that followed and must be stored with the one that caused it.
  virtual void OnFollowing(const Change& change) = 0;
  // All of the unit is over; of a loop's item, too.
  virtual void OnUnitEnded(Run* run, const Item& item, uint32_t unit, const UnitState& state) = 0;
  virtual void OnEnded(Run* run) = 0;
};

class Run {
 public:
  // A loop that opens may grant this many items without a further reservation.
  static constexpr uint64_t kFirstReservation = 1024;

  struct StepCounts {
    uint64_t done = 0;
    uint64_t failed = 0;
    uint64_t filtered = 0;
    uint64_t skipped = 0;
    // Not stored:
    uint64_t running = 0;   // Leased.
    uint64_t ready = 0;     // Waiting for a worker.
    uint64_t returned = 0;  // Of these: handed back (`pending`, `reset`) and due again.
    uint64_t delayed = 0;   // Waiting for a poll or a retry.
    uint64_t peak_running = 0;
    uint64_t peak_queued = 0;

    uint64_t queued() const { return ready - returned; }  // What `!queue` counts.
  };
  struct RegionCounts {
    uint64_t expected = 0;  // Items of all its instances so far.
    uint64_t settled = 0;   // Loops whose number of items is known.
    uint64_t done = 0, failed = 0, filtered = 0;
    // Not stored:
    uint64_t live = 0;
    uint64_t declared = 0;  // Loops not settled, of which a source has said how many there will be,
    uint64_t more = 0;      // and how many these are beside those expected.
  };

  Run(RunAdded added, std::shared_ptr<const Program> program);
  ~Run();

  // Takes the listener, null while replaying. Outlives the run.
  void SetListener(RunListener* listener) { listener_ = listener; }

  // Makes the top level's item. Once, for a new run.
  void Begin();

  // Carries a change out. `item`: the one that it names, if it is at hand. False: it makes no sense
  // here (a corrupt journal); nothing changed.
  bool Apply(const Change& change, Item* item = nullptr);

  // Begins the next item of `instance`. REQUIRES: CanBegin.
  Item* BeginNext(Instance* instance);
  static bool HasMore(const Instance& instance) { return instance.next < instance.available; }

  // Soft transitions, without a change.
  void Lease(Item* item, uint32_t vertex, uint32_t lease);
  void Unlease(Item* item, uint32_t vertex);  // Back to ready; OnReady follows.
  void Wake(Item* item, uint32_t vertex);     // A delayed task is ready; OnReady follows.

  // What the next call of a `!refill` source is for.
  struct Call {
    uint64_t count = 0;    // Items that are wanted.
    uint64_t address = 0;  // Where the cursor lies; 0: this is the first call.
    uint64_t element = 0;  // There.
  };
  Call NextCall(const Item& item, uint32_t v);
  // Whether the element that item `index` of the instance is for can still be read.
  bool HasElement(const Instance& instance, uint64_t index) const;
  // The queue that an instance's `!refill` source keeps filled, in items.
  uint64_t QueueOf(const Instance& instance) const;
  // Limits have changed: sources that rest may be wanted.
  void AskSources();

  // What a retry would run again: failed tasks of `step` (its name counts), or of all (kNoStep).
  static constexpr uint32_t kNoStep = UINT32_MAX;
  uint64_t CountFailed(uint32_t step) const;
  // What a streaming source has yielded so far, over all its attempts.
  Yielded YieldedBy(const Item& item, uint32_t v) const;
  // An ended run is under way again: tells the listener of all that is ready, delayed or open.
  void Revive();
  // Whether nothing that has taken the value of `v`, a task or a loop, has gone on from it: then it
  // can be made again without anybody noticing.
  bool Untaken(const Item& item, uint32_t v) const;

  // After a load: begins what was reserved (so that every item that may run exists), and tells the
  // listener of all that is ready, delayed or open.
  void ResumeAfterLoad();

  // Gives back the memory of items that have ended. Not from within a change.
  void ReleaseMemory();

  // Null if there is none.
  Item* FindItem(uint64_t instance, uint64_t index);
  Instance* FindInstance(uint64_t id) {
    return last_found_ != nullptr && last_found_->id == id ? last_found_ : LookUpInstance(id);
  }

  const RunGraph& graph() const { return graph_; }
  const RunAdded& added() const { return added_; }
  uint64_t number() const { return added_.run; }
  RunState state() const { return state_; }
  absl::Time ended() const { return ended_; }
  bool expired() const { return expired_; }  // Its values are gone.
  bool active() const { return IsActive(state_); }
  absl::Time stop_at() const { return stop_at_; }  // kStopping: the end of the grace.
  // A failure of a step with `!on_error stop` stops it, or has.
  bool stopped_by_failure() const { return stopped_by_failure_; }
  // It ended before all of it had: that can go on.
  bool IsCutOff() const {
    return state_ == RunState::kCancelled ||
           (state_ == RunState::kFailed && stopped_by_failure_ && open_units_ > 0);
  }
  bool AnyLeased() const;
  Instance* top() { return instances_.begin()->second.get(); }
  const absl::btree_map<uint64_t, std::unique_ptr<Instance>>& instances() const {
    return instances_;
  }
  uint64_t next_instance() const { return next_instance_; }  // No instance has had this number.
  const StepCounts& CountsOf(uint32_t step) const { return steps_[step]; }
  // A step's limits as they are now: what its script says, unless somebody has changed them.
  enum class LimitKind : uint8_t { kMaxRunning, kQueue, kRate };
  static constexpr LimitKind kLastLimit = LimitKind::kRate;
  Limit LimitOf(uint32_t step, LimitKind kind) const;
  bool LimitsQueues() const { return limits_queues_; }  // Some step has a `!queue`.
  const UnitState& unit(const Item& item, uint32_t vertex) const;
  RunStatus Status() const;   // Without its pace.
  uint64_t Finished() const;  // Tasks that are over, however they ended.
  uint64_t errors = 0;        // Final error records.
  RunStats stats;             // Taken by the scheduler, stored by snapshots.
  bool announced = false;     // Used by the scheduler: its steps went to the outbox.
  // Used by the scheduler: where ready tasks stand, by step; by node if a step limits its queue.
  std::vector<Line*> lines;
  // The same: the gates of queues, by step; empty: not looked up since limits last changed.
  std::vector<Gate*> queue_gates;
  // Used by the scheduler, if a step limits its queue: the steps that follow each at once, and all
  // that follow those with such a limit.
  std::vector<absl::btree_set<uint32_t>> next_steps;
  absl::btree_map<uint32_t, std::vector<bool>> steps_after;
  // Used by the scheduler: what it knows of values that limits go by; gone with their items.
  ByHashes by_hashes;
  absl::Time starts_unknown_until = absl::InfinitePast();  // Used by the scheduler: for rates.
  absl::btree_set<uint32_t> async_steps;  // Used by the scheduler: of those that say no mode.
  bool dirty = true;                      // Changed since the last snapshot.

  // The item around `item` (or itself) that belongs to `region`, an enclosing one.
  static Item* Around(Item* item, uint32_t region);
  std::string NameOf(const Item& item) const;
  const Step& StepOf(const Item& item, uint32_t vertex) const;
  uint32_t NodeOf(const Item& item, uint32_t vertex) const {
    return graph_.vertex(item.instance->region, vertex).index;
  }
  // Leases of another pass are none of this task's. What a cancel revoked starts one when it goes
  // on.
  uint32_t PassOf(const Item& item, uint32_t vertex) const {
    return item.vertices[vertex].pass + revivals_;
  }

  // Every address that the run still holds, for its deletion.
  void VisitAddresses(const std::function<void(uint64_t)>& visit) const;

  // Snapshots; see run_codec.cc for the layout.
  RunSnapshot Snapshot();
  bool Restore(absl::string_view state);
  bool RestoreBlock(absl::string_view block);

  void CheckInvariants() const;

 private:
  friend class RunCodec;

  bool ApplyReserve(const Change& change);
  bool ApplyOpened(const Change& change);
  bool ApplyProgress(const Change& change);
  bool ApplyToTask(const Change& change, Item* item);
  bool ApplyState(const Change& change);
  bool ApplyLimit(const Change& change);
  bool ApplyItemId(const Change& change);
  bool ApplyExpired();
  bool ApplyRetry(const Change& change);
  bool ApplySourceFailed(const Change& change);
  bool ApplyRecompute(const Change& change);
  bool ApplyRestart(const Change& change);

  // run_refill.cc
  bool ApplyRefill(const Change& change);
  void AskSource(Item* item, uint32_t source);
  Instance* LoopOver(const Item& item, uint32_t source);
  void TakeCall(Item* item, uint32_t source, Instance* instance);
  void CountDeclared(const Instance& loop, int64_t by);
  void LeaveSegment(Instance* instance, uint64_t index);
  void ReturnToSegment(Instance* instance, uint64_t index);
  void DropSegments(Instance* instance);
  bool CountOpenItems(Instance* loop) const;
  void SkipSource(Item* item, uint32_t v);
  uint64_t ByOf(const Instance& instance) const;
  uint64_t CountFor(const Instance& loop) const;

  void Succeed(Item* item, uint32_t v, uint64_t address, uint64_t elements);
  void Fail(Item* item, uint32_t v);
  void Delay(Item* item, uint32_t v, uint32_t attempts, uint32_t handbacks, uint64_t micros);
  void Filter(Item* item, uint32_t v);
  void Reset(Item* item, uint32_t v);

  // run_again.cc
  struct ItemToRetry {
    uint64_t instance = 0;
    uint64_t index = 0;
    std::vector<uint32_t> units;  // In which something failed.
  };
  bool IsFailureOf(const Item& item, uint32_t v, uint32_t step) const;
  std::vector<ItemToRetry> FindItemsToRetry(uint32_t step) const;
  void ClearFailures(Item* item, uint32_t unit, uint32_t step);
  void GoOn(Item* item, const std::vector<uint32_t>& units);
  void ReopenSource(Item* item, uint32_t loop);
  void ReopenItem(Item* item);
  void ReopenInstance(Instance* instance);
  void DropKept(Instance* instance, uint64_t index);
  void StartOver(Item* item, uint32_t v);
  uint32_t SourceToClear(const Item& item, uint32_t v) const;
  void ClearVertex(Item* item, uint32_t v);
  void CountMissing(Item* item);
  void ActivateWaiting(Item* item);
  void SkipBehindFailures(Item* item);
  bool AnyFailed(const Item& item, uint32_t unit) const;
  void OpenUnit(Item* item, uint32_t v);

  Instance* LookUpInstance(uint64_t id);
  void EraseInstance(Instance* instance);
  void RevokeLease(Item* item, uint32_t v);
  Item* NewItem(Instance* instance, uint64_t index);
  void FreeItem(Item* item);
  Item* EnsureBegun(Instance* instance, uint64_t index);
  void Announce(bool after_load);
  void BeginReserved(uint64_t instance);
  UnitState& UnitOf(Item* item, uint32_t v);

  void Satisfied(Item* item, uint32_t v);  // v has its value: count its dependents down.
  void Activate(Item* item, uint32_t v);   // v waits for nothing any more.
  void TryOpen(Item* item, uint32_t v);
  bool SourceReady(Item* item, uint32_t v) const;
  void Open(Item* item, uint32_t v, uint64_t id);
  void TakeSource(Item* item, Instance* instance);  // Elements as far as the source has them.
  void AddSegment(Instance* instance, uint64_t address);
  void Grow(Instance* instance, uint64_t elements, bool done);
  void Settle(Item* item, uint32_t v);
  void SkipDependents(Item* item, uint32_t v);
  void EndSource(Item* item, uint32_t loop);
  void EndVertex(Item* item, uint32_t v, VertexState state);
  void EndUnit(Item* item, uint32_t unit);
  void EndItem(Item* item);
  void CloseIfDone(Instance* instance);
  void Close(Instance* instance);
  void Destroy(Instance* instance);  // Addresses are deleted.
  void DestroyVertex(Item* item, uint32_t v, std::vector<uint64_t>* inner);
  void DeleteIntermediates(Item* item, uint32_t unit);
  void DeleteFannedIn(Instance* instance);  // Values taken by fan-ins that have run.
  // The loop that an ended item of `outer` kept; null if it is gone.
  Instance* FindKept(uint64_t id, const Instance& outer);
  bool HasRetained(const Item& item, uint32_t unit);  // A loop of the unit keeps failed items.
  void DropValue(Vertex* vertex);
  using TaskKey = std::tuple<uint64_t, uint64_t, uint32_t>;  // Instance, item, vertex.
  static TaskKey KeyOf(const Item& item, uint32_t v);
  bool AnyTakes(const Item& item, uint32_t source) const;
  void ForgetYielded(const Item& item, uint32_t source);
  // Every change of a task's state: keeps the counts.
  void Become(Item* item, uint32_t v, VertexState state);
  void AddTimings(const std::vector<size_t>& shown_as, RunStatus* status) const;
  void CountTask(const Item& item, uint32_t v, VertexState state, int64_t by);
  void Count(uint32_t step, const Vertex& vertex, VertexState state, int64_t by);
  std::vector<uint32_t> ResetSet(const Item& item, uint32_t v) const;

  const RunAdded added_;
  const RunGraph graph_;
  RunListener* listener_ = nullptr;
  RunState state_ = RunState::kRunning;
  absl::Time ended_ = absl::InfiniteFuture();
  absl::Time stop_at_ = absl::InfiniteFuture();
  bool stopped_by_failure_ = false;
  bool expired_ = false;
  uint32_t revivals_ = 0;  // How often it went on after a cancel.
  uint64_t next_instance_ = 0;
  uint64_t next_serial_ = 1;
  uint64_t failed_units_ = 0;     // Units in which something failed for good.
  bool resuming_ = false;         // Items begun now were begun before the restart, too.
  std::vector<UnitState> units_;  // Of the top level.
  uint32_t open_units_ = 0;
  absl::btree_map<uint64_t, std::unique_ptr<Instance>> instances_;
  Instance* last_found_ = nullptr;  // Mostly the next one asked for, too.
  // Of streaming sources that have not succeeded. Few.
  absl::btree_map<TaskKey, Yielded> yielded_;
  // Instance::declared, until the source's loop opens. Not stored.
  absl::btree_map<TaskKey, uint64_t> declared_;
  struct ChangedLimit {
    uint64_t count = 0;  // 0: none.
    double per_seconds = 0;
  };
  absl::btree_map<std::pair<uint32_t, LimitKind>, ChangedLimit> changed_limits_;  // By step.
  bool limits_queues_ = false;
  std::vector<StepCounts> steps_;
  std::vector<RegionCounts> regions_;
  std::vector<std::unique_ptr<Item>> pool_;
  std::vector<std::vector<Item*>> free_;  // By region.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_RUN_H_
