// SqlExecutor runs SQL steps on threads of its own, and the built-in list step, which hands its
// input on as a list (`for x in v`). A statement needs its rows in memory; results, and lists that
// are handed on, are streamed to the bucket when they are large. While a result is, the next
// statement runs: there are as many threads more, which store.
#ifndef BUE_WORKER_CORE_SQL_EXECUTOR_H_
#define BUE_WORKER_CORE_SQL_EXECUTOR_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/bucket_client/bucket_client.h"
#include "common/thread_pool.h"
#include "worker/executor.h"
#include "worker/sql/sql_step.h"

namespace bue::worker {

struct SqlExecutorOptions {
  int threads = 1;
  PostgresOptions postgres;
  uint64_t input_bytes_max = uint64_t{1} << 30;  // All inputs of one call.
};

class SqlExecutor final : public Executor {
 public:
  // Both outlive it.
  SqlExecutor(const SqlExecutorOptions& options, ExecutorEvents* events, BucketClient* bucket);
  ~SqlExecutor() override;

  void Start(std::vector<Call> calls) override;
  void Cancel(uint64_t lease) override;
  void SourceCredit(uint64_t, uint64_t) override {}  // SQL yields its rows at once.
  std::string Output(uint64_t) override { return ""; }
  void LookOver() override;
  uint32_t ghosts() const override { return ghosts_; }
  void ForgetRun(uint64_t run) override;
  void Stop(absl::Duration grace) override;

 private:
  using Flag = std::shared_ptr<std::atomic<bool>>;
  struct Running {
    Flag cancelled;
    absl::Time started = absl::InfiniteFuture();  // Until a thread takes the call.
    bool told_started = false;
  };

  void Run(const Call& call, const Flag& cancelled);
  // Leaves rows that are too large for `result` in `rows`.
  absl::Status RunSql(const Call& call, const std::atomic<bool>& cancelled, CallResult* result,
                      SqlResult* rows);
  absl::Status RunList(const Call& call, const std::atomic<bool>& cancelled, CallResult* result);
  void Store(const Origin& origin, SqlResult rows, CallResult result);
  absl::Status StoreRows(const Origin& origin, const SqlResult& rows, CallResult* result);
  void Answer(const absl::Status& status, CallResult result);
  absl::StatusOr<std::shared_ptr<const std::string>> CodeOf(const LoadedStep& step);

  const SqlExecutorOptions options_;
  ExecutorEvents* const events_;
  BucketClient* const bucket_;
  PostgresPool postgres_;

  absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Running> running_ ABSL_GUARDED_BY(mutex_);  // By lease.
  // Contents of SQL files, by run and step.
  absl::btree_map<std::pair<uint64_t, uint32_t>, std::shared_ptr<const std::string>> code_
      ABSL_GUARDED_BY(mutex_);

  int storing_ ABSL_GUARDED_BY(mutex_) = 0;  // Results with the storing threads.

  std::atomic<uint32_t> ghosts_ = 0;
  // Last: their threads use all of the above.
  ThreadPool storers_;
  ThreadPool threads_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_SQL_EXECUTOR_H_
