// The executors of a real worker: Python in runner processes, SQL on threads.
#ifndef BUE_WORKER_CORE_EXECUTORS_H_
#define BUE_WORKER_CORE_EXECUTORS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/bucket_client/bucket_client.h"
#include "worker/executor.h"

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

// FailedPrecondition if no Python interpreter fits. Both arguments outlive the executors.
absl::StatusOr<Executors> MakeExecutors(const ExecutorsOptions& options, ExecutorEvents* events,
                                        BucketClient* bucket);

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_EXECUTORS_H_
