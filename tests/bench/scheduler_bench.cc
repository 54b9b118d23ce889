// The scheduler alone, without disk, network and threads: one loop of many tasks, and many workers
// that report what they were granted in turns. Prints one JSON object: what a task costs and what
// the process takes, each twentieth of the way.
//
//   scheduler_bench WORKERS LEASES TASKS [LIMIT ...]
//
// LEASES: of each worker at once. In a turn at most 64 workers report. LIMIT: of the step, such as
// max_running=100000 (tests/support/program_text.h); max_running=100000% is one by a value, of
// which each task has its own. TASKS: or VALUESxTASKS, a loop in a loop: so many values for so many
// tasks each.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

constexpr int kIdleTurns = 3;  // A loop in a loop has two reservations to wait for.
constexpr size_t kReportsOfATurn = 64;
constexpr uint64_t kPoints = 20;
constexpr uint64_t kStore = uint64_t{1} << 48;  // Addresses of a made-up bucket.

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double ResidentMegabytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages >> pages;
  return static_cast<double>(pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) / (1 << 20);
}

class Cluster {
 public:
  Cluster(uint64_t workers, uint32_t leases) : scheduler_({.leases_max = 1 << 24}) {
    CHECK(scheduler_.Load(HubSnapshot(), now_).ok());
    held_.resize(workers + 1);
    std::vector<Command> commands;
    for (uint64_t worker = 1; worker <= workers; ++worker) {
      commands.push_back(WorkerJoined{.worker = worker,
                                      .name = absl::StrCat("w", worker),
                                      .host = "here",
                                      .incarnation = worker});
      WorkerReported report{.worker = worker};
      report.room.push_back({.pool = Pool::kThread, .room = {.leases = leases, .slots = leases}});
      commands.push_back(std::move(report));
    }
    Turn(std::move(commands));
  }

  // `tasks` for each of `values`; 0: there is one loop.
  void Submit(uint64_t values, uint64_t tasks, const std::string& limits) {
    SubmitRun submit{.request = 1, .key = "key", .name = "bench"};
    const std::string loops = values == 0 ? absl::StrCat("loop in 0 over range:", tasks)
                                          : absl::StrCat("loop in 0 over range:", values,
                                                         "\nloop in 1 over range:", tasks);
    submit.program = ParseProgramText(
        absl::StrCat("step work ", limits, "\n", loops, "\nnode work in ", values == 0 ? 1 : 2,
                     " e1", absl::StrContains(limits, '%') ? " by e1\n" : "\n"));
    submit.program_bytes = "the same";
    std::vector<Command> commands;
    commands.push_back(std::move(submit));
    Turn(std::move(commands));
  }

  // Workers report all that they hold, those that were granted something first before the others.
  // False: nobody holds anything, nor will.
  bool Report() {
    std::vector<Command> commands;
    while (!busy_.empty() && commands.size() < kReportsOfATurn) {
      const uint64_t worker = busy_.front();
      busy_.pop_front();
      WorkerReported report{.worker = worker, .report = ++reports_};
      report.outcomes.reserve(held_[worker].size());
      for (const uint64_t lease : std::exchange(held_[worker], {})) {
        report.outcomes.push_back({.lease = lease, .address = kStore + ++done_, .run_us = 100});
      }
      commands.push_back(std::move(report));
    }
    // Without anything to report there may be grants that waited for the last turns' records.
    idle_turns_ = commands.empty() ? idle_turns_ + 1 : 0;
    Turn(std::move(commands));
    return idle_turns_ < kIdleTurns || !busy_.empty();
  }

  uint64_t done() const { return done_; }

 private:
  void Turn(std::vector<Command> commands) {
    now_ += absl::Microseconds(100);
    effects_.Clear();
    scheduler_.Synced(turn_);
    scheduler_.BeginTurn(++turn_);
    for (Command& command : commands) scheduler_.Apply(command, now_, &effects_);
    scheduler_.Match(now_, &effects_);
    for (const GrantGroup& group : effects_.outgoing.grants) {
      std::vector<uint64_t>& held = held_[group.worker];
      if (held.empty()) busy_.push_back(group.worker);
      held.insert(held.end(), group.lease.begin(), group.lease.end());
    }
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  Scheduler scheduler_;
  Effects effects_;
  uint64_t turn_ = 0;
  int idle_turns_ = 0;  // In a row.
  uint64_t reports_ = 0;
  uint64_t done_ = 0;
  std::vector<std::vector<uint64_t>> held_;  // Leases, by worker.
  std::deque<uint64_t> busy_;                // Workers that hold some.
};

int Main(uint64_t workers, uint32_t leases, const std::string& size, const std::string& limits) {
  const std::vector<std::string> sizes = absl::StrSplit(size, 'x');
  const uint64_t each = std::strtoull(sizes.back().c_str(), nullptr, 10);
  const uint64_t values = sizes.size() > 1 ? std::strtoull(sizes[0].c_str(), nullptr, 10) : 0;
  const uint64_t tasks = each * std::max<uint64_t>(1, values);
  const double before_mb = ResidentMegabytes();
  const double before_s = CpuSeconds();
  Cluster cluster(workers, leases);
  std::printf("{\"join_s\": %.3f, \"workers_mb\": %.1f, \"points\": [", CpuSeconds() - before_s,
              ResidentMegabytes() - before_mb);
  cluster.Submit(values, each, limits);
  uint64_t last_done = 0;
  double last_cpu = CpuSeconds();
  uint64_t point = 1;
  while (cluster.Report()) {
    if (cluster.done() < tasks * point / kPoints) continue;
    const double cpu = CpuSeconds();
    std::printf("%s{\"tasks\": %llu, \"us\": %.4f, \"mb\": %.1f}", point == 1 ? "" : ", ",
                static_cast<unsigned long long>(cluster.done()),
                (cpu - last_cpu) * 1e6 / static_cast<double>(cluster.done() - last_done),
                ResidentMegabytes());
    last_done = cluster.done();
    last_cpu = cpu;
    ++point;
  }
  std::printf("], \"done\": %llu}\n", static_cast<unsigned long long>(cluster.done()));
  return cluster.done() == tasks ? 0 : 1;
}

}  // namespace
}  // namespace bue::hub

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "scheduler_bench WORKERS LEASES TASKS [LIMIT ...]\n");
    return 2;
  }
  return bue::hub::Main(std::strtoull(argv[1], nullptr, 10),
                        static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)), argv[3],
                        absl::StrJoin(std::vector<std::string>(argv + 4, argv + argc), " "));
}
