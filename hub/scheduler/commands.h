// Commands are everything that can happen to the hub, as plain structs. Streams and services make
// them; the Scheduler takes them in, one turn at a time.
#ifndef BUE_HUB_SCHEDULER_COMMANDS_H_
#define BUE_HUB_SCHEDULER_COMMANDS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/program/program.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

// ------------------------------------------------------------------------------------- clients
// `request` comes back in the Reply; its maker chooses it.

struct SubmitRun {
  uint64_t request = 0;
  std::string key;  // A known key answers with the run it made.
  std::string name;
  uint32_t weight = 1;
  std::shared_ptr<const Program> program;
  std::string program_bytes;  // The same, as bue.v1.Program, for the store.
};

struct ControlRun {
  enum class Action : uint8_t { kCancel, kPause, kResume, kDelete, kStop, kRetry };
  uint64_t request = 0;
  uint64_t run = 0;
  Action action = Action::kCancel;
  absl::Duration grace;    // kStop: for what runs.
  bool failed = false;     // kRetry: failed tasks.
  bool cancelled = false;  // kRetry: what a cancel left undone.
  std::string step;        // kRetry: only failures of this step; empty: of all.
};

// Changes limits of the run's steps of a name, from now on; a count of 0: there is none any more.
struct SetLimits {
  struct Rate {
    uint64_t count = 0;
    absl::Duration per;  // 1 us or more.
  };
  uint64_t request = 0;
  uint64_t run = 0;
  std::string step;
  std::optional<uint64_t> max_running;
  std::optional<uint64_t> queue;
  std::optional<Rate> rate;
};

struct QueryRun {
  uint64_t request = 0;
  uint64_t run = 0;
};
// Why a task does not run now, or how it goes.
struct QueryReasons {
  uint64_t request = 0;
  uint64_t run = 0;
  std::string step;  // Empty: all that wait.
  std::string item;
};
struct QueryRuns {
  uint64_t request = 0;
};
struct QueryWorkers {
  uint64_t request = 0;
};
// Pages of at most a few thousand.
struct QueryValues {
  uint64_t request = 0;
  uint64_t run = 0;
  uint64_t instance = 0;
  uint32_t node = 0;
  uint64_t start = 0;
  uint64_t lease = 0;  // Of the task whose input it is; 0: nobody's, a part will do.
};
struct QueryResults {
  uint64_t request = 0;
  uint64_t run = 0;
  std::string start;    // ResultPage::next of the last page; empty: from the beginning.
  bool failed = false;  // Items that failed, instead.
};
struct QueryProgram {
  uint64_t request = 0;
  uint64_t run = 0;
};
struct QueryPlace {
  uint64_t request = 0;
  uint64_t run = 0;
  std::string name;
  std::string item;
};
struct QueryRunning {
  uint64_t request = 0;
  uint64_t run = 0;
};
// Runs whose numbers changed since this was last asked, so that there should be one who asks.
struct QueryStatistics {
  uint64_t request = 0;
  size_t runs_max = 20;  // To be told of in full.
};
// Which of these objects are still wanted. Cheapest in the order of their addresses.
struct QueryOwnership {
  struct Object {
    uint64_t address = 0;
    // Who wrote it.
    uint64_t run = 0;
    uint64_t instance = 0;
    uint64_t item = 0;
    uint32_t node = 0;
  };
  uint64_t request = 0;
  std::vector<Object> objects;
};

// ------------------------------------------------------------------------------------- workers

struct HeldLease {
  uint64_t lease = 0;
  uint64_t run = 0;
  uint64_t instance = 0;
  uint64_t item = 0;
  uint32_t node = 0;
  uint32_t pass = 0;
  uint32_t attempt = 1;  // With `handbacks`: which attempt the lease was for.
  uint32_t handbacks = 0;
  absl::Duration elapsed;  // Zero: not known to have started.
  Pool pool = Pool::kThread;
  std::vector<uint64_t> by;  // GrantGroup::by of the task.
  // Of GrantGroup::tells_start: it has not started so far; or how long ago it did, zero: not known.
  bool not_started = false;
  absl::Duration started_ago;
  // Of one that the worker went on to by itself (Outgoing::eager): the lease it follows, 0: none,
  // and the value it was called with.
  uint64_t after = 0;
  uint64_t input = 0;
};

// A lease that is over while its code goes on: what was revoked and has not ended, or what failed
// because its time was over and nothing could interrupt it.
struct Ghost {
  uint64_t lease = 0;
  uint64_t run = 0;
  uint32_t node = 0;
  std::vector<uint64_t> by;  // GrantGroup::by of the task.
};

// A stream opened and said hello. `worker` is new for every stream.
struct WorkerJoined {
  uint64_t worker = 0;
  std::string name;
  std::string host;
  std::string version;
  uint64_t incarnation = 0;
  std::vector<std::string> scopes;  // Empty: every scope.
  bool priority_first = false;
  bool reverse = false;
  std::vector<HeldLease> held;
  std::vector<Ghost> ghosts;
};

struct TaskError {
  std::string action;
  std::string type;
  std::string message;
  std::string traceback;
};

// What a Result said beside its data.
struct ResultExtra {
  std::string id;      // Of the item. Empty: none.
  uint64_t total = 0;  // 1 + items that a source will give, 0: unknown.
};

struct Outcome {
  enum class Kind : uint8_t {
    kSucceeded,
    kFailed,
    kPending,
    kReset,
    kCancel,
    kGivenBack,
    kInputGone
  };
  uint64_t lease = 0;
  Kind kind = Kind::kSucceeded;
  uint64_t address = 0;   // kSucceeded: the value; kInputGone: the missing object.
  uint64_t elements = 0;  // kSucceeded: 1 + elements of a list, 0: not a list.
  uint64_t output = 0;    // Captured output's object, 0: none.
  uint32_t run_us = 0;
  bool store_gone = false;             // kInputGone: all that lay in the store of `address`.
  bool goes_on = false;                // kFailed: it is a ghost now.
  std::unique_ptr<TaskError> error;    // kFailed, kInputGone
  std::unique_ptr<ResultExtra> extra;  // kSucceeded
};

struct SourceProgress {
  uint64_t lease = 0;
  uint64_t address = 0;
  uint64_t elements = 0;
  uint64_t hash = 0;  // Of the elements' bytes.
};

// A task that has run for a while, which started `elapsed` ago.
struct StartedTask {
  uint64_t lease = 0;
  absl::Duration elapsed;
};

// A failure that is no task's.
struct StepError {
  uint64_t run = 0;
  uint32_t step = 0;
  TaskError error;
};

struct LearnedMode {
  uint64_t run = 0;
  uint32_t step = 0;
  Pool pool = Pool::kThread;
};

struct RoomChange {
  Pool pool = Pool::kThread;
  WorkerRoom room;
};

// The answer to a HashRequest: a hash for each value; 0: it cannot be read.
struct HashReply {
  uint64_t id = 0;
  std::vector<uint64_t> hashes;
};

// One message of a worker's stream.
struct WorkerReported {
  uint64_t worker = 0;
  std::vector<RoomChange> room;
  std::vector<Outcome> outcomes;
  std::vector<SourceProgress> progress;
  std::vector<LearnedMode> learned;
  std::vector<StartedTask> started;
  std::vector<uint64_t> starting;  // Leases of GrantGroup::tells_start.
  std::optional<uint32_t> ghosts;
  std::vector<uint64_t> over;    // Ghosts whose code has ended.
  std::vector<HeldLease> eager;  // What it has gone on to by itself.
  std::vector<StepError> errors;
  std::vector<HashReply> hashes;
  uint64_t report = 0;  // 0: nothing to acknowledge.
  bool goodbye = false;
};

// The stream ended. Unless the worker is back within the reconnect grace, its leases are taken.
struct WorkerGone {
  uint64_t worker = 0;
};

using Command =
    std::variant<SubmitRun, ControlRun, SetLimits, QueryReasons, QueryRun, QueryRuns, QueryWorkers,
                 QueryValues, QueryResults, QueryProgram, QueryPlace, QueryRunning, QueryStatistics,
                 QueryOwnership, WorkerJoined, WorkerReported, WorkerGone>;

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_COMMANDS_H_
