// Executor runs attempts of tasks: Python in runner processes, SQL on a thread pool. The worker
// resolves a task's inputs, hands the call to the executor of its language, and stores and reports
// what comes back.
//
// Values travel as in the bucket: a MessagePack value, a list as MessagePack elements without a
// header, or raw bytes. Small ones are handed over in memory; large ones are streamed by the
// executor itself, from and to the bucket, so that no process but the runner ever holds them whole.
#ifndef BUE_WORKER_EXECUTOR_H_
#define BUE_WORKER_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/bucket_client/bucket_client.h"
#include "common/program/program.h"
#include "worker/types.h"

namespace bue::worker {

// A value up to this many bytes travels in memory; above, it is streamed.
inline constexpr uint64_t kSmallValueBytes = 128 << 10;

// A step of one run, with its source at hand. Shared by all calls of the step.
struct LoadedStep {
  uint64_t run = 0;
  uint32_t index = 0;  // In the run's program.
  Step step;
  std::string script;  // The script's name, for messages.
  // Where the run's uploaded files lie, by their path in the program; the directory is private,
  // named by the content of all files, and shared by runs with equal files.
  std::string files_dir;
  std::string path;  // step.file's path under files_dir; empty for inline code.
  // A step of the program names a function `start` / `finalize`: then it is no hook.
  bool start_is_step = false;
  bool finalize_is_step = false;
};

// Which task this is, for messages and `buelon.task()`.
struct TaskName {
  uint64_t run = 0;
  uint64_t instance = 0;
  uint64_t index = 0;  // Item number within the instance.
  uint32_t node = 0;
  std::string item;  // As people see it: "4", "4.17"; "" at the top level.
  uint32_t attempt = 1;
  uint32_t pass = 0;
};

// One chunk of a streamed input, see ValueReader::Chunk. nullopt at the end.
class InputStream {
 public:
  virtual ~InputStream() = default;
  // Blocks. For lists a chunk's data holds whole elements unless `elements` is 0 (a part of one).
  virtual absl::StatusOr<std::optional<std::string>> Next() = 0;
};

struct CallInput {
  ObjectKind kind = ObjectKind::kValue;
  // Small inputs: the bytes. Shared, because one outer value feeds many calls.
  std::shared_ptr<const std::string> data;
  // Large inputs (data is null): opens the stream; may be called again for another attempt.
  std::function<absl::StatusOr<std::unique_ptr<InputStream>>()> open;
  uint64_t elements = 0;  // Lists.
  uint64_t total_bytes = 0;
  bool fan_in = false;  // The list of a loop's values: an iterator if the step asks for one.
};

struct Call {
  uint64_t lease = 0;
  std::shared_ptr<const LoadedStep> step;
  TaskName task;
  std::vector<CallInput> inputs;
  bool is_source = false;      // The value must be a list or a generator; generators stream.
  uint64_t source_credit = 0;  // Elements that a streaming source may be ahead at first.
  Yielded yielded;             // By a source's earlier attempts: what it must yield again first.
  bool tells_start = false;    // ExecutorEvents::OnStarting is to be called.
};

struct CallResult {
  enum class Kind : uint8_t {
    kSucceeded,
    kFailed,
    kPending,
    kReset,
    kCancel,
    kGivenBack,  // Not run to its end for a reason that is not its own: does not count.
    kInputGone,  // The bucket does not have an input (any more): `address` names it.
  };
  uint64_t lease = 0;
  Kind kind = Kind::kSucceeded;
  // kSucceeded: the value. `stored`: it already lies in the bucket at `address`; else `data` has it
  // (at most kSmallValueBytes), and an empty kValue `data` is None.
  ObjectKind value_kind = ObjectKind::kValue;
  bool stored = false;
  uint64_t address = 0;
  std::string data;
  uint64_t elements = 0;  // Of kList values.
  CallError error;        // kFailed
  std::string output;     // What the attempt printed, bounded.
  absl::Duration run_time;
  std::string item_id;  // Result(id=…)
  int64_t total = -1;   // Result(total=…)
  bool goes_on =
      false;  // kFailed, kGivenBack: nothing could interrupt it. ExecutorEvents::OnOver follows.
};

struct StartedCall {
  uint64_t lease = 0;
  absl::Time started;  // InfiniteFuture: one told of before does not run (now).
};

// How executors answer. Called from their threads; never blocks; outlives the executor.
class ExecutorEvents {
 public:
  virtual ~ExecutorEvents() = default;
  virtual void OnDone(std::vector<CallResult> results) = 0;
  // What the streaming source has yielded so far is durable in the object `address`.
  virtual void OnProgress(uint64_t lease, uint64_t address, const Yielded& yielded) = 0;
  // The call's code has ended, its value is on its way to the bucket: it takes no slot any more.
  virtual void OnStoring(uint64_t lease) = 0;
  // A step without a mode turned out to be of this pool, not kThread.
  virtual void OnLearnedMode(uint64_t run, uint32_t step, Pool pool) = 0;
  // Calls of which it is to be told start now: what they need is loaded. At most once for each.
  virtual void OnStarting(std::vector<uint64_t> leases) = 0;
  // Calls that have run for a while, and since when: see Executor::ReportStarted.
  virtual void OnStarted(std::vector<StartedCall> calls) = 0;
  // The code of calls whose results said `goes_on` has ended. Comes after these.
  virtual void OnOver(std::vector<uint64_t> leases) = 0;
  // A finalize hook failed, after the run's calls; `step` is one of its module.
  virtual void OnHookFailed(uint64_t run, uint32_t step, const CallError& error) = 0;
};

// Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;

  // Starts calls, each answered by exactly one CallResult, in whatever order they end. Never
  // blocks. Enforces step.timeout_s from the start of each call. The caller keeps to the pools'
  // sizes, so a call handed over can start.
  virtual void Start(std::vector<Call> calls) = 0;

  // Ends a call early; its result (kGivenBack, or whatever it came to) still arrives.
  virtual void Cancel(uint64_t lease) = 0;

  // A streaming source may produce up to `elements` in all.
  virtual void SourceCredit(uint64_t lease, uint64_t elements) = 0;

  // What a running call printed so far.
  virtual std::string Output(uint64_t lease) = 0;

  // Looks over what runs: asks for OnStarted of the calls that have run for a second or more and
  // were not told of yet (or have started over since), and counts ghosts anew. Never blocks.
  virtual void LookOver() = 0;
  // How many calls went on, when it last looked, that nobody waits for: they were cancelled, or
  // their timeout has failed them, and nothing interrupts them.
  virtual uint32_t ghosts() const = 0;

  // The run has ended: drop its modules.
  virtual void ForgetRun(uint64_t run) = 0;

  // Cancels what runs, waits until all results were delivered, at most `grace`, then kills.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_EXECUTOR_H_
