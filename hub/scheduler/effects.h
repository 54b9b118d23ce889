// Effects is what one turn of the Scheduler asks of the outside world, in two parts with one duty:
// store `record` first, send `outgoing` only after that. A crash in between loses messages, which
// workers and clients survive anyway; no promise leaves the hub that the disk does not hold.
//
// Plain data. The types carry the rule: HubStore::Commit sees only the record, Outbox::Publish only
// the messages.
#ifndef BUE_HUB_SCHEDULER_EFFECTS_H_
#define BUE_HUB_SCHEDULER_EFFECTS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/program/program.h"
#include "hub/scheduler/turn_history.h"

namespace bue::hub {

enum class Pool : uint8_t { kAsync, kThread, kProcess, kSql };
inline constexpr int kPools = 4;

// kStopping: nothing more starts; what runs may end.
enum class RunState : uint8_t { kRunning, kPaused, kSucceeded, kFailed, kCancelled, kStopping };
inline bool IsActive(RunState state) {
  return state == RunState::kRunning || state == RunState::kPaused || state == RunState::kStopping;
}

const char* NameOf(RunState state);  // As people read it: "running".

// ---------------------------------------------------------------------------- the turn's record

// One thing that happened to a run, small and absolute: applying a record's changes in order to
// the state before gives the state after. Fields not named for a kind are 0.
struct Change {
  enum class Kind : uint8_t {
    kReserve = 1,  // instance: items below `a` may be granted from now on.
    // instance, item, node: a streaming source's elements [0, b), with hash c, lie at address a.
    kProgress = 2,
    kSucceeded =
        3,          // instance, item, node: value at address a; b: 1 + elements of a list, 0: none.
    kFailed = 4,    // instance, item, node: failed for good.
    kDelayed = 5,   // instance, item, node: a: attempts so far, b: handbacks so far,
                    // c: unix microseconds when it is ready again.
    kReset = 6,     // instance, item, node (which asked): its unit starts over.
    kFiltered = 7,  // instance, item, node (which asked): the rest of its unit is dropped.
    kState = 8,     // The run's state is RunState(a); c: unix microseconds. kStopping: b: unix
                    // microseconds when what still runs is cut off, item: 1 if a failure stops it.
    kDeleted = 9,   // The run is gone.
    kOpened = 10,   // instance: new, of region `node`, opened by item `item` of instance a.
    kExpired = 11,  // The values of the run, which ended long ago, are gone.
    kRetry = 12,    // What failed runs again; a: 0, or 1 + the only step it is for.
    kRecompute = 13,  // instance, item, node: the value it succeeded with is lost; it runs again.
    kRestart = 14,    // instance, item: one that has ended, and whose values are lost, runs again.
    kSourceFailed = 15,  // instance: its source failed for good; the first `a` items had begun.
    // instance, item, node: a call of a `!refill` source has given b items, and behind them its
    // cursor, in the list at address a; b: 0: there are no more. c: 1 + how many items there will
    // be in all, 0: unknown.
    kRefill = 17,
    kItemId = 18,  // instance, item: has the id with the hash a (ItemIds::HashOf).
    kLimit = 16,   // node: a step's number; a: which of its limits (Run::LimitKind), b: its new
                   // count, 0: none, c: a rate's microseconds.
  };
  static constexpr Kind kLastKind = Kind::kItemId;
  Kind kind = Kind::kReserve;
  uint32_t node = 0;
  uint64_t run = 0;
  uint64_t instance = 0;
  uint64_t item = 0;
  uint64_t a = 0;
  uint64_t b = 0;
  int64_t c = 0;

  friend bool operator==(const Change&, const Change&) = default;
};

// A run that was accepted. Its row holds what never changes.
struct RunAdded {
  uint64_t run = 0;
  std::string key;   // The client's, for repeated uploads.
  std::string name;  // The script's path as given.
  uint32_t weight = 1;
  uint64_t epoch = 0;  // Of the hub process that took it in.
  absl::Time added;
  std::string program;      // bue.v1.Program, serialised.
  size_t program_hash = 0;  // Of that, in this process: not stored.
};

// RunAdded::program_hash of a serialised program.
inline size_t HashOfProgram(const std::string& program) {
  return std::hash<std::string>()(program);
}

// One input of a group of tasks, as columns. Mirrors bue.v1.InputColumn.
struct InputColumn {
  enum class Kind : uint8_t { kValues, kElements, kRange, kFanIn };  // As numbered there.
  static constexpr Kind kLastKind = Kind::kFanIn;
  Kind kind = Kind::kValues;
  std::vector<uint64_t> address;   // kValues, kElements: one per task, or one for all.
  std::vector<uint64_t> first;     // kElements, kRange: one per task.
  std::vector<uint32_t> count;     // kElements, kRange: empty, or one per task.
  std::vector<uint64_t> instance;  // kFanIn: one per task.
  uint32_t node = 0;               // kFanIn
};

// What a task was called with: where one input lies. Mirrors bue.v1.TaskInput.
struct TaskInput {
  using Kind = InputColumn::Kind;
  Kind kind = Kind::kValues;
  std::string from;       // The step that made it; empty: a number.
  uint64_t address = 0;   // kValues, kElements; 0: None.
  uint64_t first = 0;     // kElements, kRange
  uint32_t count = 0;     // The same: 0: that one; else a list of so many from there on.
  uint64_t instance = 0;  // kFanIn: all values of `node` in it.
  uint32_t node = 0;

  friend bool operator==(const TaskInput&, const TaskInput&) = default;
};
struct TaskInputs {
  std::vector<TaskInput> shown;  // The first of them, in the order of the call.
  uint64_t others = 0;           // How many there were behind those.

  friend bool operator==(const TaskInputs&, const TaskInputs&) = default;
};

struct ErrorRecord {
  uint64_t run = 0;
  std::string step;
  std::string item;
  uint32_t attempt = 0;
  uint32_t pass = 0;  // How often the task had started over before, its attempts with it.
  std::string action;
  std::string worker;
  std::string type;
  std::string message;
  std::string traceback;
  absl::Time at;
  bool final = false;
  std::optional<TaskInputs> inputs;  // Absent: it is no task's, or of an earlier version.
};

// Where an attempt's captured output lies.
struct LogAdded {
  uint64_t run = 0;
  uint64_t address = 0;
  std::string step;
  std::string item;
  uint32_t attempt = 0;
  std::string worker;
};

// What must survive a restart.
struct TurnRecord {
  std::vector<RunAdded> runs;
  std::vector<Change> changes;
  std::vector<ErrorRecord> errors;
  std::vector<LogAdded> logs;
  TurnHistory history;
  // Names of the workers that are connected, when that changed: a restarted hub waits for them.
  bool workers_changed = false;
  std::vector<std::string> workers;

  bool empty() const {
    return runs.empty() && changes.empty() && errors.empty() && logs.empty() && history.empty() &&
           !workers_changed;
  }
  void Clear();  // Keeps capacity.
};

// ------------------------------------------------------------------------------- the messages

// What a streaming source has yielded for others to take: its first elements, and their hash.
struct Yielded {
  uint64_t elements = 0;
  uint64_t hash = 0;
};

// Tasks of one node in one region instance, granted to one worker. Mirrors bue.v1.GrantGroup.
struct GrantGroup {
  uint64_t worker = 0;
  uint64_t run = 0;
  uint32_t node = 0;
  uint32_t step = 0;
  uint64_t instance = 0;
  Pool pool = Pool::kThread;
  std::vector<uint64_t> lease;
  std::vector<uint64_t> item;
  std::vector<uint32_t> attempt;
  std::vector<uint32_t> pass;
  std::vector<uint32_t> handbacks;
  std::vector<InputColumn> inputs;
  std::string item_prefix;
  bool is_source = false;
  uint64_t source_credit = 0;
  Yielded yielded;           // Sources: by an earlier attempt.
  std::vector<uint64_t> by;  // Hashes that limits go by: as many per task as the node names values.
  bool tells_start = false;  // The worker says when each of them starts.
  uint64_t after = 0;        // Of Outgoing::eager: the lease whose success makes it a grant.
};

// A worker is to say hashes of values. Mirrors bue.v1.HashRequest.
struct HashRequest {
  uint64_t worker = 0;
  uint64_t id = 0;
  InputColumn values;
  uint32_t count = 0;
};

// A worker must be told of a run's steps and files before its first grant: the outbox does that,
// once per stream, from this.
struct RunSteps {
  uint64_t run = 0;
  std::shared_ptr<const Program> program;
};

struct Revocation {
  uint64_t worker = 0;
  uint64_t lease = 0;
};

// The worker is to give back what it has not started of the run.
struct Recall {
  uint64_t worker = 0;
  uint64_t run = 0;
};

// The worker is to give the lease back unless it has started it.
struct LeaseRecall {
  uint64_t worker = 0;
  uint64_t lease = 0;
};

struct SourceCredit {
  uint64_t worker = 0;
  uint64_t lease = 0;
  uint64_t elements = 0;
};

struct OutcomeAck {
  uint64_t worker = 0;
  uint64_t report = 0;  // Everything up to this report of the worker.
};

// The answer to WorkerJoined: which of the leases it holds are not current any more.
struct WorkerWelcome {
  uint64_t worker = 0;
  std::vector<uint64_t> dropped;
};

struct Counts {
  uint64_t total = 0;
  bool total_unknown = false;
  uint64_t done = 0;
  uint64_t failed = 0;
  uint64_t filtered = 0;
  uint64_t skipped = 0;
  uint64_t running = 0;
  uint64_t waiting = 0;
};

// Limits of steps of a name. 0: none.
struct StepLimits {
  uint64_t max_running = 0;
  uint64_t queue = 0;
  uint64_t rate = 0;
  double rate_seconds = 0;  // `rate` starts in that time.
  std::string max_running_key;
  std::string rate_key;
  std::string max_running_by;
  std::string rate_by;
};

// What attempts took that came to an end. Run time is what a worker spent in the step's code; the
// total, never less, is what lay between grant and outcome at the hub. The rest is overhead.
struct Timing {
  uint64_t attempts = 0;  // 0: nothing else means anything.
  uint64_t run_us = 0;    // Of all attempts together.
  uint64_t total_us = 0;
  uint64_t run_min_us = 0;
  uint64_t run_max_us = 0;
  uint64_t run_p50_us = 0;  // These two within a tenth.
  uint64_t run_p95_us = 0;
  absl::Time last_result = absl::InfinitePast();
};

struct StepStatus {
  std::string name;
  Counts counts;
  uint64_t left_out = 0;
  uint64_t queued = 0;  // Waiting for a worker, or for a limit.
  // Of these: for room at a limit that goes by a value, whose value is known.
  uint64_t queued_by_value = 0;
  uint64_t peak_running = 0;
  uint64_t peak_queued = 0;
  StepLimits limits;
  std::string scope;
  Timing timing;
};

struct ResultEntry {
  std::string step;
  std::string item;
  uint64_t address = 0;
  // Which item that is, as history names it; at the top level `index` is that of the unit.
  uint64_t instance = 0;
  uint64_t index = 0;
  bool failed = false;  // The item failed, here, and has no value.
};

struct RunStatus {
  uint64_t run = 0;
  std::string name;
  RunState state = RunState::kRunning;
  absl::Time started;
  absl::Time ended = absl::InfiniteFuture();
  Counts tasks;
  Counts items;
  std::vector<StepStatus> steps;    // In order of first appearance; implicit ones included.
  uint64_t errors = 0;              // Final ones.
  bool stopped_by_failure = false;  // Of a step with `!on_error stop`: it is stopping, or failed.
  Timing timing;                    // Of all steps.
  // At the pace of the last minute. Absent or 0: it does not run, or nothing came to an end; `eta`
  // also while the total is unknown.
  std::optional<absl::Duration> eta;
  double tasks_per_s = 0;
  // All it ended in, when it has ended and they are few: a client need not ask for them.
  std::optional<std::vector<ResultEntry>> results;
};

struct WorkerRoom {
  uint32_t leases = 0;
  uint32_t slots = 0;
};

struct WorkerStatus {
  std::string name;
  std::string host;
  std::string version;
  std::vector<std::string> scopes;
  WorkerRoom room[kPools];
  uint64_t running = 0;  // Leases held.
  uint64_t done = 0;
  uint64_t failed = 0;
  bool alive = false;
  uint32_t ghosts = 0;
  absl::Time last_heard;
};

// What a query found. One alternative per query of commands.h, plus plain acknowledgements.
struct RunAccepted {
  uint64_t run = 0;
  bool existed = false;
};
struct RunList {
  std::vector<RunStatus> runs;
};
struct WorkerList {
  std::vector<WorkerStatus> workers;
};
struct ValuePage {
  std::vector<uint64_t> addresses;
  std::vector<uint64_t> instances;
  uint64_t next = 0;
  bool end = true;
};
struct ResultPage {
  std::vector<ResultEntry> results;
  std::string next;  // Opaque; empty: the end.
};
struct RunProgram {
  std::shared_ptr<const Program> program;
};
struct ValuePlace {
  bool fan_in = false;
  uint64_t address = 0;
  uint64_t instance = 0;
  uint32_t node = 0;
};
// Which leases of a run's tasks are running where: for `bue logs` of tasks under way.
struct RunningList {
  struct Entry {
    uint64_t worker = 0;
    uint64_t lease = 0;
    std::string worker_name;
    std::string step;
    std::string item;
    uint32_t attempt = 0;
  };
  std::vector<Entry> entries;
};
enum class Ownership : uint8_t {
  kWanted,     // Held, or may still be reported.
  kUnclaimed,  // Not a value of its run; if anything, captured output of it.
  kGone,       // Its run was deleted, or never was.
  kAskAgain,   // Too much to look up in one turn.
};
struct OwnershipList {
  std::vector<Ownership> verdicts;  // One per object asked about.
};
// What keeps tasks from running, as sentences; the most important one first.
struct Reasons {
  struct Entry {
    std::string step;
    std::string item;    // Of one task; else empty,
    uint64_t tasks = 1;  // and how many wait for this.
    std::string state;   // waiting ready delayed running resting succeeded failed skipped filtered
    std::vector<std::string> reasons;
  };
  std::vector<Entry> entries;
};
// Of active runs whose numbers changed.
struct RunStatistics {
  std::vector<RunStatus> busiest;  // First those with the most grants and outcomes.
  uint64_t others = 0;
};
struct Done {};
// Of a ControlRun that was carried out.
struct Controlled {
  uint64_t tasks = 0;    // kRetry: failed tasks that run again.
  uint64_t waiting = 0;  // kRetry of a cancelled run: other tasks that go on, as far as is known.
  bool already = false;  // It was so before.
};

using ReplyBody = std::variant<Done, RunAccepted, RunStatus, RunList, WorkerList, ValuePage,
                               ResultPage, ValuePlace, RunningList, RunProgram, Controlled,
                               OwnershipList, Reasons, RunStatistics>;

struct Reply {
  uint64_t request = 0;  // The command's.
  absl::Status status;
  ReplyBody body;  // Meaningful if status is OK.
};

// What may be said only once the record is on disk.
struct Promises {
  std::vector<OutcomeAck> acks;
  std::vector<Reply> replies;
  std::vector<uint64_t> deletions;  // Addresses that nobody will ask for again.
  std::vector<RunStatus> ended;     // Of runs that ended.

  bool empty() const;
  void Clear();  // Keeps capacity.
  void Take(Promises* more);
};

// What must reach workers and clients after the commit.
struct Outgoing {
  // Sent once the record is written.
  std::vector<WorkerWelcome> welcomes;
  std::vector<RunSteps> run_steps;  // Runs that appear in `grants` for the first time this turn.
  std::vector<GrantGroup> grants;
  std::vector<GrantGroup> eager;  // What workers may go on to by themselves, one task to a group.
  std::vector<HashRequest> hash_requests;
  std::vector<Revocation> revocations;
  std::vector<Recall> recalls;
  std::vector<LeaseRecall> lease_recalls;
  std::vector<SourceCredit> credits;
  std::vector<uint64_t> ended_runs;
  std::vector<Reply> answers;            // To queries: they promise nothing.
  std::vector<uint64_t> closed_workers;  // Their streams are to be closed.
  // Sent once the record is on disk.
  Promises promises;

  void Clear();  // Keeps capacity.
};

struct Effects {
  TurnRecord record;
  Outgoing outgoing;

  void Clear() {
    record.Clear();
    outgoing.Clear();
  }
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_EFFECTS_H_
