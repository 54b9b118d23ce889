// The executors of a real worker: Python in runner processes, SQL on threads.
//
// The slow part, an interpreter that starts, needs neither hub nor bucket: it comes first.
#ifndef BUE_WORKER_CORE_EXECUTORS_H_
#define BUE_WORKER_CORE_EXECUTORS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/bucket_client/bucket_client.h"
#include "worker/executor.h"
#include "worker/python/runner_process.h"

namespace bue::worker {

// Which executor runs which language.
struct Executors {
  std::unique_ptr<Executor> python;
  std::unique_ptr<Executor> sql;  // SQLite, Postgres, and the built-in list step.
};

struct ExecutorsOptions {
  std::string python;     // --python
  std::string state_dir;  // For the runner package.
  int thread_slots = 64;
  int process_slots = 1;
  int sql_slots = 1;
};

// The interpreter, and its first runner on its way.
struct StartedPython {
  std::string python;
  std::unique_ptr<RunnerProcess> runner;
};

// Blocks until an interpreter was found: some tens of milliseconds, or what a wrapper takes.
// FailedPrecondition if none fits.
absl::StatusOr<StartedPython> StartPython(const ExecutorsOptions& options);

// `events` and `bucket` outlive the executors.
absl::StatusOr<Executors> MakeExecutors(const ExecutorsOptions& options, StartedPython python,
                                        ExecutorEvents* events, BucketClient* bucket);

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_EXECUTORS_H_
