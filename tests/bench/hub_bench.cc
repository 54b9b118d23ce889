// Measures a hub over loopback with stub workers that succeed at once: the hub in a process of its
// own, so that its CPU time is told apart, everything fsynced.
//
//   hub_bench [TASKS [LEASES [WORKERS]]]     (default: 1000000 1000 1)
//
// Goals: >= 300 k tasks/s at <= 5 CPU-us each over hub and stub; one task from submit to end p50 <=
// 1 ms, p99 <= 4 ms.
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/hub_client/hub_client.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "hub/hub.h"

namespace bue {
namespace {

constexpr int kSingleTasks = 300;
constexpr uint64_t kStore = uint64_t{1} << 48;  // Addresses of a made-up bucket.

double Seconds(const timeval& time) { return time.tv_sec + time.tv_usec * 1e-6; }

double CpuSeconds(int who) {
  rusage usage;
  getrusage(who, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

// The child: serves until its standard input ends.
[[noreturn]] void ServeHub(const std::string& dir, int input, int output) {
  SetUpProcess();
  SetUpLogging("hub", "warning");
  auto hub = hub::Hub::Start(
      {.binding = "127.0.0.1:0", .buckets = {"127.0.0.1:1"}, .data_dir = dir + "/hub"});
  CHECK(hub.ok());
  const std::string address = (*hub)->address();
  CHECK(write(output, address.data(), address.size()) == static_cast<ssize_t>(address.size()));
  close(output);
  char end = 0;
  CHECK(read(input, &end, 1) == 0);
  (*hub)->Shutdown();
  hub->reset();
  std::exit(0);
}

class HubProcess {
 public:
  explicit HubProcess(const std::string& dir) {
    int to_hub[2], from_hub[2];
    CHECK(pipe(to_hub) == 0 && pipe(from_hub) == 0);
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      close(to_hub[1]);
      close(from_hub[0]);
      ServeHub(dir, to_hub[0], from_hub[1]);
    }
    close(to_hub[0]);
    close(from_hub[1]);
    input_ = to_hub[1];
    char part[64];
    for (ssize_t n = 0; (n = read(from_hub[0], part, sizeof(part))) > 0;) address_.append(part, n);
    close(from_hub[0]);
  }

  const std::string& address() const { return address_; }

  // What the hub used in all.
  rusage Stop() {
    close(input_);
    rusage usage;
    CHECK(wait4(pid_, nullptr, 0, &usage) == pid_);
    return usage;
  }

 private:
  pid_t pid_ = 0;
  int input_ = 0;
  std::string address_;
};

// A worker whose tasks take no time: one message up for each that comes down.
class StubWorker {
 public:
  StubWorker(const std::string& hub, const std::string& name, uint32_t leases)
      : stub_(v1::Work::NewStub(MakeChannel(hub, ""))), stream_(stub_->Session(&context_)) {
    v1::FromWorker message;
    message.mutable_hello()->set_name(name);
    v1::Room* room = message.add_room();
    room->set_pool(v1::POOL_THREAD);
    room->set_leases(leases);
    room->set_slots(leases);
    CHECK(stream_->Write(message));
    thread_ = std::thread([this] { Work(); });
  }
  ~StubWorker() {
    context_.TryCancel();
    thread_.join();
  }

 private:
  void Work() {
    v1::ToWorker in;
    v1::FromWorker out;
    uint64_t report = 0;
    uint64_t address = kStore;
    while (stream_->Read(&in)) {
      out.Clear();
      v1::Succeeded* succeeded = out.mutable_succeeded();
      for (const v1::GrantGroup& group : in.grants()) {
        for (const uint64_t lease : group.lease()) {
          succeeded->add_lease(lease);
          succeeded->add_address(++address);
          succeeded->add_elements(0);
          succeeded->add_run_us(1);
        }
      }
      if (succeeded->lease_size() > 0) out.set_report(++report);
      if (succeeded->lease_size() > 0 || in.ping()) stream_->Write(out);
    }
  }

  const std::unique_ptr<v1::Work::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
  std::thread thread_;
};

Program OneStep() {
  Program program{.script = "bench.bue", .steps = {{.name = "a"}}, .regions = {Region{}}};
  program.nodes = {{.step = 0, .region = 0}};
  return program;
}

Program Loop(uint64_t items) {
  Program program = OneStep();
  program.regions.push_back({.parent = 0, .range = items});
  program.nodes = {
      {.step = 0, .region = 1, .inputs = {{.kind = Input::Kind::kElement, .index = 1}}}};
  return program;
}

// Submits, and returns when the run has ended.
void RunToEnd(HubClient* client, const Program& program) {
  const auto run =
      client->Upload({.key = HubClient::MakeKey(), .name = "bench.bue", .program = &program});
  CHECK(run.ok());
  const auto any = [](const v1::RunStatus&) { return true; };
  const auto end = client->WatchRun(*run, absl::Seconds(1), any);
  CHECK(end.ok() && end->state() == v1::RUN_SUCCEEDED);
}

void MeasureLatency(HubClient* client) {
  const Program program = OneStep();
  std::vector<double> ms;
  for (int i = 0; i < kSingleTasks; ++i) {
    const absl::Time before = absl::Now();
    RunToEnd(client, program);
    ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - before));
  }
  std::sort(ms.begin(), ms.end());
  std::printf("one task, submit to end   p50 %.2f ms, p99 %.2f ms\n", ms[ms.size() / 2],
              ms[ms.size() * 99 / 100]);
}

void Bench(uint64_t tasks, uint32_t leases, int workers) {
  std::string dir = (std::filesystem::temp_directory_path() / "bue-hub-bench-XXXXXX").string();
  CHECK(mkdtemp(dir.data()) != nullptr);
  HubProcess hub(dir);
  double stub_cpu = 0;
  double seconds = 0;
  {
    std::vector<std::unique_ptr<StubWorker>> stubs;
    for (int i = 0; i < workers; ++i) {
      stubs.push_back(std::make_unique<StubWorker>(hub.address(), absl::StrCat("w", i), leases));
    }
    auto client = HubClient::Connect({.target = hub.address()});
    CHECK(client.ok());
    const double cpu_before = CpuSeconds(RUSAGE_SELF);
    const absl::Time before = absl::Now();
    RunToEnd(client->get(), Loop(tasks));
    seconds = absl::ToDoubleSeconds(absl::Now() - before);
    stub_cpu = CpuSeconds(RUSAGE_SELF) - cpu_before;
    MeasureLatency(client->get());
  }
  const rusage usage = hub.Stop();
  const double hub_cpu = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  std::printf("%llu tasks of one loop, %d workers with %u leases: %.2f s, %.0f tasks/s\n",
              static_cast<unsigned long long>(tasks), workers, leases, seconds, tasks / seconds);
  std::printf("CPU-us a task: hub %.2f (with the single tasks), stubs %.2f; hub at most %ld MB\n",
              hub_cpu / tasks * 1e6, stub_cpu / tasks * 1e6, usage.ru_maxrss / 1024);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  const auto argument = [&](int i, uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  bue::SetUpProcess();
  bue::Bench(argument(1, 1'000'000), argument(2, 1000), argument(3, 1));
}
