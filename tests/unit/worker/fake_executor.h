// FakeExecutor answers calls the way the step's inline code says: "echo" returns the first input,
// "hold" waits for Finish, "fail" fails, "print" prints and returns None, "count" returns the
// number of inputs.
//
// Thread-safe.
#ifndef BUE_TESTS_UNIT_WORKER_FAKE_EXECUTOR_H_
#define BUE_TESTS_UNIT_WORKER_FAKE_EXECUTOR_H_

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/support/patience.h"
#include "worker/executor.h"

namespace bue::worker {

class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(ExecutorEvents* events) : events_(events) {}

  void Start(std::vector<Call> calls) override {
    std::vector<CallResult> results;
    {
      absl::MutexLock lock(&mutex_);
      for (Call& call : calls) {
        ++started_;
        paths_.insert(call.step->files_dir + "/" + call.step->path);
        CallResult result{.lease = call.lease, .run_time = absl::Microseconds(100)};
        const std::string& code = call.step->step.code;
        if (code == "hold") {
          held_.emplace(call.lease, std::move(call));
          continue;
        }
        if (code == "fail") {
          result.kind = CallResult::Kind::kFailed;
          result.error = {.action = "run", .type = "ValueError", .message = "no good"};
        } else if (code == "print") {
          result.output = "printed\n";
        } else if (code == "count") {
          result.data = std::string(1, static_cast<char>(call.inputs.size()));
        } else if (!call.inputs.empty() && call.inputs[0].data != nullptr) {
          result.data = *call.inputs[0].data;
          result.value_kind = call.inputs[0].kind;
          result.elements = call.inputs[0].elements;
        }
        results.push_back(std::move(result));
      }
    }
    if (!results.empty()) events_->OnDone(std::move(results));
  }
  void Cancel(uint64_t lease) override {
    absl::MutexLock lock(&mutex_);
    cancelled_.insert(lease);
    held_.erase(lease);
  }
  void LookOver() override {}
  uint32_t ghosts() const override { return 0; }
  void SourceCredit(uint64_t lease, uint64_t elements) override {
    absl::MutexLock lock(&mutex_);
    credit_[lease] = elements;
  }
  std::string Output(uint64_t lease) override {
    return "output so far of " + std::to_string(lease);
  }
  void ForgetRun(uint64_t run) override {
    absl::MutexLock lock(&mutex_);
    forgotten_.insert(run);
  }
  void Stop(absl::Duration) override {}

  // -------------------------------------------------------------------------------- for the test
  void Finish(CallResult result) {
    {
      absl::MutexLock lock(&mutex_);
      held_.erase(result.lease);
    }
    std::vector<CallResult> results;
    results.push_back(std::move(result));
    events_->OnDone(std::move(results));
  }
  ExecutorEvents* events() { return events_; }
  bool WaitForHeld(size_t count) {
    return Wait([this, count] { return held_.size() >= count; });
  }
  bool WaitForCancelled(uint64_t lease) {
    return Wait([this, lease] { return cancelled_.contains(lease); });
  }
  bool WaitForCredit(uint64_t lease, uint64_t elements) {
    return Wait([this, lease, elements] { return credit_[lease] == elements; });
  }
  bool WaitForForgotten(uint64_t run) {
    return Wait([this, run] { return forgotten_.contains(run); });
  }
  size_t held() {
    absl::MutexLock lock(&mutex_);
    return held_.size();
  }
  int started() {
    absl::MutexLock lock(&mutex_);
    return started_;
  }
  std::set<std::string> paths() {
    absl::MutexLock lock(&mutex_);
    return paths_;
  }

 private:
  template <typename Condition>
  bool Wait(const Condition& condition) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&condition), Patience(absl::Seconds(60)));
  }

  ExecutorEvents* const events_;
  absl::Mutex mutex_;
  std::map<uint64_t, Call> held_;
  std::set<uint64_t> cancelled_;
  std::set<uint64_t> forgotten_;
  std::map<uint64_t, uint64_t> credit_;
  std::set<std::string> paths_;
  int started_ = 0;
};

}  // namespace bue::worker

#endif  // BUE_TESTS_UNIT_WORKER_FAKE_EXECUTOR_H_
