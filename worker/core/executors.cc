#include "worker/core/executors.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "worker/core/sql_executor.h"
#include "worker/python/find_python.h"
#include "worker/python/package.h"
#include "worker/python/python_executor.h"

namespace bue::worker {
namespace {

// A runner can have every thread slot of the worker: calls go where there is room.
constexpr int kThreadsPerRunner = 256;

int ThreadsPerRunner(const ExecutorsOptions& options) {
  return std::max(options.thread_slots, kThreadsPerRunner);
}

}  // namespace

absl::StatusOr<StartedPython> StartPython(const ExecutorsOptions& options) {
  StartedPython started;
  ASSIGN_OR_RETURN(started.python, FindPython(options.python));
  ASSIGN_OR_RETURN(const std::string package, UnpackRunnerPackage(options.state_dir));
  ASSIGN_OR_RETURN(started.runner,
                   RunnerProcess::Spawn({.python = started.python,
                                         .package = package,
                                         .threads_max = ThreadsPerRunner(options)}));
  return started;
}

absl::StatusOr<Executors> MakeExecutors(const ExecutorsOptions& options, StartedPython started,
                                        ExecutorEvents* events, BucketClient* bucket) {
  const PythonOptions python{.python = std::move(started.python),
                             .state_dir = options.state_dir,
                             .bucket = bucket,
                             .process_runners = options.process_slots,
                             .threads_per_runner = ThreadsPerRunner(options)};
  Executors executors;
  ASSIGN_OR_RETURN(executors.python,
                   PythonExecutor::Create(python, events, std::move(started.runner)));
  SqlExecutorOptions sql{.threads = options.sql_slots,
                         .postgres = PostgresOptionsFromEnvironment()};
  sql.postgres.connections_max = options.sql_slots;
  executors.sql = std::make_unique<SqlExecutor>(sql, events, bucket);
  return executors;
}

}  // namespace bue::worker
