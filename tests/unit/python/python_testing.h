// For tests of the Python executor: a bucket in memory, events that wait, calls from JSON.
#ifndef BUE_TESTS_UNIT_PYTHON_PYTHON_TESTING_H_
#define BUE_TESTS_UNIT_PYTHON_PYTHON_TESTING_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/bucket_client/bucket_client.h"
#include "worker/executor.h"
#include "worker/python/python_executor.h"

namespace bue::worker {

// Keeps what writers write, unless told to count only. Thread-safe.
class FakeBucket final : public BucketClient {
 public:
  struct Object {
    ObjectKind kind = ObjectKind::kValue;
    std::string data;
    uint64_t bytes = 0;
    uint64_t elements = 0;
    uint64_t chunk_bytes_max = 0;
    bool finished = false;
    bool aborted = false;
  };

  Object Get(uint64_t address);
  int open_writers();
  // The next writers fail with this.
  void FailWrites(absl::Status status);
  void KeepNoData() { keep_data_ = false; }

  void Put(std::vector<PutItem>, PutDone) override {}
  void Get(std::vector<GetItem>, uint64_t, GetDone) override {}
  absl::StatusOr<std::unique_ptr<ValueWriter>> OpenWriter(ObjectKind kind,
                                                          const Origin& origin) override;
  absl::StatusOr<std::unique_ptr<ValueReader>> OpenReader(uint64_t, uint64_t, uint64_t) override {
    return absl::UnimplementedError("no readers");
  }
  absl::Status Delete(std::vector<uint64_t>) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<BucketInfo>> Info(absl::Duration) override {
    return absl::UnimplementedError("no info");
  }

 private:
  class Writer;

  bool keep_data_ = true;
  absl::Mutex mutex_;
  std::map<uint64_t, Object> objects_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

// Collects results. Thread-safe.
class WaitingEvents final : public ExecutorEvents {
 public:
  void OnDone(std::vector<CallResult> results) override;
  void OnProgress(uint64_t lease, uint64_t address, const Yielded& yielded) override;
  void OnStoring(uint64_t) override {}
  void OnLearnedMode(uint64_t run, uint32_t step, Pool pool) override;
  void OnStarting(std::vector<uint64_t> leases) override;
  void OnStarted(std::vector<StartedCall> calls) override;
  void OnOver(std::vector<uint64_t> leases) override;
  void OnHookFailed(uint64_t run, uint32_t step, const CallError& error) override;

  // Waits for the result of `lease` and takes it. Fails the test after a minute.
  CallResult Wait(uint64_t lease);
  bool Has(uint64_t lease);
  uint64_t WaitForProgress(uint64_t lease, uint64_t elements);  // Returns the address.
  Pool WaitForMode(uint64_t run, uint32_t step);
  bool KnowsMode(uint64_t run, uint32_t step);
  Yielded Progress(uint64_t lease);      // The last told of.
  absl::Time StartedAt(uint64_t lease);  // InfiniteFuture: not told.
  std::vector<uint64_t> Starting();      // That said so, in order.
  CallError WaitForHookFailure(uint64_t run);
  void WaitUntilOver(uint64_t lease);

 private:
  absl::Mutex mutex_;
  std::map<uint64_t, absl::Time> started_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> starting_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> over_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, CallResult> results_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::pair<uint64_t, Yielded>> progress_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<uint64_t, uint32_t>, Pool> modes_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, CallError> hook_failures_ ABSL_GUARDED_BY(mutex_);
};

// A step of inline code; steps with equal code share a module.
std::shared_ptr<LoadedStep> CodeStep(absl::string_view code, absl::string_view function,
                                     Mode mode = Mode::kAuto);
// A step of an uploaded file.
std::shared_ptr<LoadedStep> FileStep(const std::string& files_dir, absl::string_view path,
                                     absl::string_view function);

// The value of a JSON text as an input: lists as lists.
CallInput JsonInput(absl::string_view json);
// `chunk` again and again, as a stream of `count` chunks; counts how often it was opened.
CallInput StreamInput(ObjectKind kind, std::string chunk, int count,
                      std::atomic<int>* opened = nullptr);

// What a success holds, as JSON; "error: action: message" of a failure, "kind 3" of others.
std::string Show(const CallResult& result);

// An executor with its bucket and events, and calls with lease numbers of their own.
class PythonHarness {
 public:
  explicit PythonHarness(PythonOptions options = {});

  Call MakeCall(std::shared_ptr<const LoadedStep> step, std::vector<CallInput> inputs = {});
  uint64_t Start(std::shared_ptr<const LoadedStep> step, std::vector<CallInput> inputs = {});
  // Starts a call and waits for its result.
  CallResult Run(std::shared_ptr<const LoadedStep> step, std::vector<CallInput> inputs = {});
  std::string RunAndShow(std::shared_ptr<const LoadedStep> step,
                         std::vector<CallInput> inputs = {});

  FakeBucket bucket;
  WaitingEvents events;
  std::unique_ptr<PythonExecutor> executor;

 private:
  uint64_t last_lease_ = 0;
};

// Waits until `condition` holds; fails the test after a minute.
void WaitUntil(const std::function<bool()>& condition);

}  // namespace bue::worker

#endif  // BUE_TESTS_UNIT_PYTHON_PYTHON_TESTING_H_
