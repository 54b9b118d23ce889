// PythonExecutor runs Python steps in runner processes of the user's interpreter.
//
// General runners (one per core) run async steps on an event loop and plain functions on threads,
// many at once; steps with `!mode process` have a runner each, one call at a time. One thread of
// the executor feeds them all; large values pass through in chunks, never whole. A runner that dies
// takes nothing down but the call that killed it: its companions run again, apart. protocol.md and
// README.md have the details.
#ifndef BUE_WORKER_PYTHON_PYTHON_EXECUTOR_H_
#define BUE_WORKER_PYTHON_PYTHON_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/executor.h"
#include "worker/python/runner_process.h"

namespace bue::worker {

struct PythonOptions {
  std::string python;              // The interpreter: FindPython's answer.
  std::string state_dir;           // The runner package is unpacked here.
  BucketClient* bucket = nullptr;  // For large results; outlives the executor.

  int general_runners = 0;       // 0: one per core.
  int process_runners = 0;       // Running at once; 0: one per core.
  int threads_per_runner = 256;  // At most; they are started as calls need them.

  absl::Duration stuck_after = absl::Seconds(2);     // A coroutine that swallows its cancellation.
  absl::Duration abandon_after = absl::Seconds(10);  // What was cancelled and goes on all the same.
  absl::Duration retire_after = absl::Seconds(60);   // A runner with a stuck call is killed then.
  absl::Duration start_timeout = absl::Seconds(60);  // An interpreter that does not get ready.

  uint64_t result_bytes_max = 16 << 20;   // Chunks of large results on their way, over all runners.
  uint64_t input_window_bytes = 1 << 20;  // Of one large input, sent and not yet taken.
  int input_streams_max = 16;             // Large inputs under way at once (fan-ins not counted).
};

class PythonExecutor final : public Executor {
 public:
  // Starts the first runner, unless there is one: `first`, a general one of these options.
  // FailedPrecondition: the package can not be unpacked. `events` outlives the executor.
  static absl::StatusOr<std::unique_ptr<PythonExecutor>> Create(
      const PythonOptions& options, ExecutorEvents* events,
      std::unique_ptr<RunnerProcess> first = nullptr);
  // As Stop with no grace.
  ~PythonExecutor() override;

  void Start(std::vector<Call> calls) override;
  void Cancel(uint64_t lease) override;
  void SourceCredit(uint64_t lease, uint64_t elements) override;
  std::string Output(uint64_t lease) override;
  void LookOver() override;
  uint32_t ghosts() const override;
  void ForgetRun(uint64_t run) override;
  void Stop(absl::Duration grace) override;

  // Runners' process ids, for tests.
  std::vector<int> RunnerPids();

 private:
  class Impl;
  explicit PythonExecutor(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_PYTHON_EXECUTOR_H_
