// Calls through the Python executor alone: handed over in batches, answered by real runners.
//
//   python_bench [calls]     (on a quiet machine)
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/logging.h"
#include "common/value/json.h"
#include "worker/python/find_python.h"
#include "worker/python/python_executor.h"

namespace bue::worker {
namespace {

constexpr char kSteps[] = R"(
import asyncio, time
def noop(x): return x
async def noop_async(x): return x
async def suspends(x):
    await asyncio.sleep(0)
    return x
async def sleeps(x): await asyncio.sleep(0.5)
def prints(x):
    print('hello')
    return x
)";

class CountingEvents final : public ExecutorEvents {
 public:
  void OnDone(std::vector<CallResult> results) override {
    for (const CallResult& result : results) {
      if (result.kind != CallResult::Kind::kSucceeded) failed_ = true;
    }
    absl::MutexLock lock(&mutex_);
    done_ += results.size();
  }
  void OnProgress(uint64_t, uint64_t, const Yielded&) override {}
  void OnStoring(uint64_t) override {}
  void OnLearnedMode(uint64_t, uint32_t, Pool) override {}
  void OnStarting(std::vector<uint64_t>) override {}
  void OnStarted(std::vector<StartedCall>) override {}
  void OnOver(std::vector<uint64_t>) override {}
  void OnHookFailed(uint64_t, uint32_t, const CallError&) override {}

  void WaitFor(uint64_t count) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [this, count]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_ >= count; };
    mutex_.Await(absl::Condition(&reached));
  }
  bool failed() const { return failed_; }

 private:
  absl::Mutex mutex_;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> failed_ = false;
};

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::shared_ptr<LoadedStep> MakeStep(const std::string& function, Mode mode) {
  auto step = std::make_shared<LoadedStep>();
  step->run = 1;
  step->step.name = step->step.relation = function;
  step->step.code = kSteps;
  step->step.mode = mode;
  return step;
}

struct Plan {
  const char* function;
  int runners;
  uint64_t batch;
  uint64_t in_flight;
  uint64_t calls;
  Mode mode = Mode::kAuto;
};

void Measure(const std::string& python, const Plan& plan) {
  CountingEvents events;
  auto executor = PythonExecutor::Create(
                      {.python = python,
                       .state_dir = std::filesystem::temp_directory_path() / "bue-python-bench",
                       .general_runners = plan.runners,
                       .process_runners = plan.runners},
                      &events)
                      .value();
  const auto step = MakeStep(plan.function, plan.mode);
  std::string packed;
  if (!value::AppendValueOfJson(R"({"a": 1, "b": "hello world", "c": [1, 2, 3]})", &packed).ok()) {
    abort();
  }
  const auto data = std::make_shared<const std::string>(packed);
  uint64_t lease = 0;
  const auto start = [&](uint64_t count) {
    std::vector<Call> calls(count);
    for (Call& call : calls) {
      call.lease = ++lease;
      call.step = step;
      call.task = {.run = 1, .index = lease, .item = absl::StrCat(lease)};
      call.inputs.resize(1);
      call.inputs[0].data = data;
    }
    executor->Start(std::move(calls));
  };
  start(64);  // Starts the runners and loads the module.
  events.WaitFor(64);
  start(64);
  events.WaitFor(128);

  const absl::Time begin = absl::Now();
  const double cpu = CpuSeconds();
  const uint64_t last = lease + plan.calls;
  uint64_t done = lease;
  while (lease < std::min(last, 128 + plan.in_flight)) start(plan.batch);
  while (lease < last) {
    done += plan.batch;
    events.WaitFor(done);
    start(plan.batch);
  }
  events.WaitFor(lease);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const double calls = static_cast<double>(plan.calls);
  printf(
      "%-12s runners %d batch %4lu in flight %5lu: %8.0f calls/s, %6.2f us each, executor's CPU "
      "%5.2f us, %.3f s%s\n",
      plan.function, plan.runners, plan.batch, plan.in_flight, calls / seconds,
      seconds / calls * 1e6, (CpuSeconds() - cpu) / calls * 1e6, seconds,
      events.failed() ? " FAILED" : "");
  fflush(stdout);
}

}  // namespace
}  // namespace bue::worker

int main(int argc, char** argv) {
  using bue::Mode;
  using bue::worker::Measure;
  bue::log::set_level(bue::log::level::err);
  const std::string python = bue::worker::FindPython("").value();
  const uint64_t calls = argc > 1 ? strtoull(argv[1], nullptr, 10) : 256'000;
  for (const char* function : {"noop", "noop_async", "suspends", "prints"}) {
    Measure(python, {function, 1, 64, 512, calls});
    Measure(python, {function, 2, 64, 512, calls});
  }
  Measure(python, {"noop", 2, 64, 512, calls / 8, Mode::kProcess});
  Measure(python, {"noop", 1, 1, 1, 10'000});
  Measure(python, {"noop_async", 1, 1, 1, 10'000});
  Measure(python, {"sleeps", 2, 1000, 10'000, 10'000});
  return 0;
}
