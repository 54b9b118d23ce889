// How soon the most urgent task starts: a worker whose slots are always busy with short tasks, and
// a client in the same process, by one clock. Prints one JSON object.
//
//   priority_bench HUB LOW TOP SLOTS TASK_MS COUNT
//
// Uploads the script LOW once: its tasks keep SLOTS slots busy, each for 0.5 to 1.5 times TASK_MS,
// and the worker asks for none ahead. Then it uploads the script TOP, one task of a higher
// priority, COUNT times, each a random while after the one before has started:
//
//   {"ms": [...], "early_ms": [...], "low": n}
//
// `ms`: from the moment before the first report of a slot that became free after the upload was
// acknowledged, to the moment after the worker read the grant of the top task. `early_ms`: of those
// that were granted before that, in a slot that became free while they were uploaded; from the last
// report before their grant. `low`: tasks of LOW that were started meanwhile.
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "bue/v1/work.grpc.pb.h"
#include "cli/script.h"
#include "common/check.h"
#include "common/hub_client/hub_client.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace bue {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);  // For anything to start.

// Runs what it is granted for a random time; top tasks, those of any run but the first, for none.
class BusyWorker {
 public:
  BusyWorker(const std::string& hub, uint32_t slots, absl::Duration task)
      : task_(task),
        stub_(v1::Work::NewStub(MakeChannel(hub, ""))),
        stream_(stub_->Session(&context_)) {
    v1::FromWorker message;
    message.mutable_hello()->set_name("busy");
    message.mutable_hello()->set_protocol(v1::PROTOCOL_GHOSTS);
    message.mutable_hello()->add_scopes("default");
    v1::Room* room = message.add_room();
    room->set_pool(v1::POOL_THREAD);
    room->set_leases(slots);
    room->set_slots(slots);
    CHECK(stream_->Write(message));
    reader_ = std::thread([this] { Read(); });
    writer_ = std::thread([this] { Write(); });
  }
  ~BusyWorker() {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
      changed_.Signal();
    }
    context_.TryCancel();
    reader_.join();
    writer_.join();
  }

  // Waits until so many low tasks have started.
  bool AwaitLow(uint64_t count) {
    absl::MutexLock lock(&mutex_);
    awaited_low_ = count;
    return mutex_.AwaitWithTimeout(absl::Condition(this, &BusyWorker::EnoughLow), kPatience);
  }
  uint64_t low() const {
    absl::MutexLock lock(&mutex_);
    return low_;
  }

  // Before the upload of a top task.
  void Expect() {
    absl::MutexLock lock(&mutex_);
    acknowledged_ = freed_ = started_ = absl::InfiniteFuture();
  }
  // Its upload was acknowledged: waits for its start. The time from a slot's becoming free;
  // `early`: that was before the acknowledgement.
  absl::StatusOr<absl::Duration> AwaitStart(bool* early) {
    absl::MutexLock lock(&mutex_);
    acknowledged_ = absl::Now();
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &BusyWorker::Started), kPatience)) {
      return absl::DeadlineExceededError("a top task did not start");
    }
    *early = started_ <= freed_;
    return started_ - (*early ? freed_before_start_ : freed_);
  }

 private:
  struct Running {
    absl::Time end;
    uint64_t lease;
    bool operator<(const Running& other) const { return end > other.end; }  // Soonest on top.
  };

  bool EnoughLow() const { return low_ >= awaited_low_; }
  bool Started() const { return started_ < absl::InfiniteFuture(); }

  void Read() {
    v1::ToWorker in;
    while (stream_->Read(&in)) {
      const absl::Time now = absl::Now();
      absl::MutexLock lock(&mutex_);
      pinged_ |= in.ping();
      for (const v1::RunInfo& run : in.runs()) {
        if (run.steps(0).priority() > 0) top_runs_.insert(run.run());
      }
      for (const v1::GrantGroup& group : in.grants()) Start(group, now);
      changed_.Signal();
    }
  }

  void Start(const v1::GrantGroup& group, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool top = top_runs_.contains(group.run());  // It may be left from a worker before.
    if (top) {
      started_ = now;
      freed_before_start_ = last_freed_;
    } else {
      low_ += group.lease_size();
    }
    for (const uint64_t lease : group.lease()) {
      running_.push({top ? now : now + spread_(random_) * task_, lease});
    }
  }

  void Write() {
    v1::FromWorker out;
    uint64_t report = 0;
    while (NextReport(&out)) {
      if (out.has_succeeded()) out.set_report(++report);
      stream_->Write(out);
    }
  }

  // Waits for the next task's end, or a ping, and says so. False: all is over.
  bool NextReport(v1::FromWorker* out) {
    out->Clear();
    absl::MutexLock lock(&mutex_);
    while (!ended_ && !pinged_ && (running_.empty() || absl::Now() < running_.top().end)) {
      const absl::Time until = running_.empty() ? absl::InfiniteFuture() : running_.top().end;
      changed_.WaitWithDeadline(&mutex_, until);
    }
    pinged_ = false;
    const absl::Time now = absl::Now();
    while (!running_.empty() && running_.top().end <= now) {
      v1::Succeeded* succeeded = out->mutable_succeeded();
      succeeded->add_lease(running_.top().lease);
      succeeded->add_address(0);
      succeeded->add_elements(0);
      succeeded->add_run_us(1);
      running_.pop();
    }
    if (out->has_succeeded()) {
      last_freed_ = now;
      if (now > acknowledged_ && now < freed_) freed_ = now;
    }
    return !ended_;
  }

  const absl::Duration task_;
  const std::unique_ptr<v1::Work::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::minstd_rand random_ ABSL_GUARDED_BY(mutex_){1};
  std::uniform_real_distribution<double> spread_ ABSL_GUARDED_BY(mutex_){0.5, 1.5};
  std::priority_queue<Running> running_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> top_runs_ ABSL_GUARDED_BY(mutex_);
  uint64_t low_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t awaited_low_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time acknowledged_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Time freed_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // First after that.
  absl::Time started_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Time last_freed_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time freed_before_start_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool pinged_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread reader_;
  std::thread writer_;
};

struct Script {
  absl::Status Compile(const std::string& file) {
    flags.file = file;
    ASSIGN_OR_RETURN(compiled, cli::CompileScript(flags));
    if (compiled.result.program.has_value()) return absl::OkStatus();
    return absl::InvalidArgumentError(cli::FormatScript(compiled));
  }

  cli::ScriptFlags flags;
  cli::CompiledScript compiled;
};

struct Options {
  std::string hub;
  std::string low;
  std::string top;
  uint32_t slots;
  absl::Duration task;
  int count;
};

absl::StatusOr<nlohmann::ordered_json> Run(const Options& options) {
  Script low;
  Script top;
  RETURN_IF_ERROR(low.Compile(options.low));
  RETURN_IF_ERROR(top.Compile(options.top));
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub,
                   HubClient::Connect({.target = options.hub}));
  RETURN_IF_ERROR(hub->Upload(cli::ToNewRun(low.compiled, low.flags)).status());
  BusyWorker worker(options.hub, options.slots, options.task);
  if (!worker.AwaitLow(2 * options.slots)) return absl::DeadlineExceededError("nothing started");
  const uint64_t low_before = worker.low();
  std::minstd_rand random(1);
  std::uniform_real_distribution<double> pause(0, 1);
  std::vector<double> ms;
  std::vector<double> early_ms;
  for (int i = 0; i < options.count; ++i) {
    absl::SleepFor(pause(random) * options.task);
    worker.Expect();
    RETURN_IF_ERROR(hub->Upload(cli::ToNewRun(top.compiled, top.flags)).status());
    bool early = false;
    ASSIGN_OR_RETURN(const absl::Duration took, worker.AwaitStart(&early));
    (early ? early_ms : ms).push_back(absl::ToDoubleMilliseconds(took));
  }
  return nlohmann::ordered_json{
      {"ms", ms}, {"early_ms", early_ms}, {"low", worker.low() - low_before}};
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  bue::SetUpProcess();
  bue::SetUpLogging("worker", "warning");
  if (argc != 7) {
    std::fprintf(stderr, "priority_bench HUB LOW TOP SLOTS TASK_MS COUNT\n");
    return 2;
  }
  const absl::StatusOr<nlohmann::ordered_json> found =
      bue::Run({.hub = argv[1],
                .low = argv[2],
                .top = argv[3],
                .slots = static_cast<uint32_t>(std::atoi(argv[4])),
                .task = absl::Milliseconds(std::atoi(argv[5])),
                .count = std::atoi(argv[6])});
  if (!found.ok()) {
    std::fprintf(stderr, "%s\n", std::string(found.status().message()).c_str());
    return 1;
  }
  std::printf("%s\n", found->dump().c_str());
  return 0;
}
