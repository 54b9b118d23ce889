#include "worker/core/executors.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "worker/core/sql_executor.h"
#include "worker/python/find_python.h"
#include "worker/python/python_executor.h"

namespace bue::worker {
namespace {

// A runner can have every thread slot of the worker: calls go where there is room.
constexpr int kThreadsPerRunner = 256;

}  // namespace

absl::StatusOr<Executors> MakeExecutors(const ExecutorsOptions& options, ExecutorEvents* events,
                                        BucketClient* bucket) {
  PythonOptions python;
  ASSIGN_OR_RETURN(python.python, FindPython(options.python));
  python.state_dir = options.state_dir;
  python.bucket = bucket;
  python.process_runners = options.process_slots;
  python.threads_per_runner = std::max(options.thread_slots, kThreadsPerRunner);
  Executors executors;
  ASSIGN_OR_RETURN(executors.python, PythonExecutor::Create(python, events));
  SqlExecutorOptions sql{.threads = options.sql_slots,
                         .postgres = PostgresOptionsFromEnvironment()};
  sql.postgres.connections_max = options.sql_slots;
  executors.sql = std::make_unique<SqlExecutor>(sql, events, bucket);
  return executors;
}

}  // namespace bue::worker
