// simulation: plays seeds until one of them breaks a rule. README.md has the whole of it.
//
//   simulation --seeds COUNT | FROM-TO     plays them                     (default: 300)
//   simulation --minutes M [--seeds FROM-] plays seeds for so long        (0: for ever)
//   simulation --seed N [--trace]          plays one, with all that happens
//   simulation --file seeds.txt            plays those that a file lists, one at a line's begin
//
// Exit: 0 nothing was found, 1 a seed failed (it is named, with the last that happened and the
// command that plays it again), 2 wrong usage.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "spdlog/spdlog.h"
#include "tests/simulation/simulation.h"

namespace bue::sim {
namespace {

constexpr size_t kTailLines = 60;
constexpr unsigned kSeedSecondsMax = 120;  // Real ones; a seed takes milliseconds.

// What the process plays, for the handler of its death.
uint64_t playing = 0;
const char* program = "simulation";

// A CHECK of the hub or the worker failed, or the seed takes for ever.
void OnDeath(int signal) {
  char text[300];
  const int size =
      std::snprintf(text, sizeof(text), "FAILED seed %llu: %s\nreplay: %s --seed %llu --trace\n",
                    static_cast<unsigned long long>(playing),
                    signal == SIGALRM ? "it does not end" : "the process died", program,
                    static_cast<unsigned long long>(playing));
  (void)!write(STDOUT_FILENO, text, static_cast<size_t>(size));
  _exit(1);
}

struct Options {
  uint64_t from = 1, to = 300;
  double minutes = -1;
  bool one = false;
  bool trace = false;
  bool twice = false;
  std::string file;
};

bool ParseRange(const std::string& text, Options* options) {
  const std::vector<std::string> ends = absl::StrSplit(text, '-');
  if (ends.size() == 1) return absl::SimpleAtoi(ends[0], &options->to);
  if (ends.size() != 2 || !absl::SimpleAtoi(ends[0], &options->from)) return false;
  if (ends[1].empty()) {
    options->to = UINT64_MAX;
    return true;
  }
  return absl::SimpleAtoi(ends[1], &options->to);
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--trace") {
      options->trace = true;
      continue;
    }
    if (flag == "--twice") {
      options->twice = true;
      continue;
    }
    if (++i == argc) return false;
    const std::string value = argv[i];
    bool good = true;
    if (flag == "--seeds") {
      good = ParseRange(value, options);
    } else if (flag == "--seed") {
      good = absl::SimpleAtoi(value, &options->from);
      options->to = options->from;
      options->one = true;
    } else if (flag == "--minutes") {
      good = absl::SimpleAtod(value, &options->minutes);
      if (options->to == 300) options->to = UINT64_MAX;
    } else if (flag == "--file") {
      options->file = value;
    } else {
      good = false;
    }
    if (!good) return false;
  }
  return true;
}

std::vector<uint64_t> SeedsOf(const std::string& file) {
  std::vector<uint64_t> seeds;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"));
    uint64_t seed = 0;
    if (absl::SimpleAtoi(words[0], &seed)) seeds.push_back(seed);
  }
  return seeds;
}

// Plays it again to tell what came last.
void Explain(uint64_t seed, const std::string& failure) {
  std::deque<std::string> tail;
  Simulation again(seed, [&](const std::string& line) {
    tail.push_back(line.substr(0, 400));
    if (tail.size() > kTailLines) tail.pop_front();
  });
  const std::string same = again.Run();
  for (const std::string& line : tail) std::printf("  %s\n", line.c_str());
  std::printf("FAILED seed %llu: %s\n", static_cast<unsigned long long>(seed), failure.c_str());
  if (same != failure) std::printf("(played again, it says: %s)\n", same.c_str());
  std::printf("replay: %s --seed %llu --trace\n", program, static_cast<unsigned long long>(seed));
}

struct Totals {
  uint64_t seeds = 0, events = 0, tasks = 0, hub_lives = 0;
};

bool Play(uint64_t seed, const Options& options, Totals* totals) {
  playing = seed;
  alarm(kSeedSecondsMax);
  Simulation::TraceSink trace;
  if (options.trace) trace = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
  Simulation simulation(seed, trace);
  const std::string failure = simulation.Run();
  ++totals->seeds;
  totals->events += simulation.events();
  totals->tasks += simulation.tasks();
  totals->hub_lives += simulation.hub_lives();
  if (!failure.empty()) {
    Explain(seed, failure);
    return false;
  }
  if (options.twice) {
    Simulation again(seed, nullptr);
    again.Run();
    if (again.Fingerprint() != simulation.Fingerprint()) {
      std::printf("FAILED seed %llu: it went otherwise the second time\n",
                  static_cast<unsigned long long>(seed));
      return false;
    }
  }
  if (options.one) {
    std::printf("seed %llu: fine, %llu events, %llu tasks, fingerprint %016llx\n",
                static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(simulation.events()),
                static_cast<unsigned long long>(simulation.tasks()),
                static_cast<unsigned long long>(simulation.Fingerprint()));
  }
  return true;
}

class Progress {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }
  void Show(const Totals& totals, bool last) {
    if (!last && seconds() < next_) return;
    next_ = seconds() + 10;
    std::printf("%llu seeds, %.0f seeds/s, %llu tasks, %llu lives of the hub, %llu events\n",
                static_cast<unsigned long long>(totals.seeds),
                static_cast<double>(totals.seeds) / std::max(seconds(), 1e-9),
                static_cast<unsigned long long>(totals.tasks),
                static_cast<unsigned long long>(totals.hub_lives),
                static_cast<unsigned long long>(totals.events));
    std::fflush(stdout);
  }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  double next_ = 10;
};

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: %s [--seeds COUNT|FROM-TO|FROM-] [--minutes M] [--seed N] [--trace] "
                 "[--twice] [--file FILE]\n",
                 argv[0]);
    return 2;
  }
  program = argv[0];
  spdlog::set_level(spdlog::level::off);
  std::signal(SIGABRT, OnDeath);
  std::signal(SIGSEGV, OnDeath);
  std::signal(SIGALRM, OnDeath);
  Totals totals;
  Progress progress;
  if (!options.file.empty()) {
    for (const uint64_t seed : SeedsOf(options.file)) {
      if (!Play(seed, options, &totals)) return 1;
    }
    progress.Show(totals, /*last=*/true);
    return 0;
  }
  for (uint64_t seed = options.from; seed <= options.to; ++seed) {
    if (options.minutes > 0 && progress.seconds() > options.minutes * 60) break;
    if (!Play(seed, options, &totals)) return 1;
    if (!options.one) progress.Show(totals, /*last=*/false);
    if (seed == UINT64_MAX) break;
  }
  if (!options.one) progress.Show(totals, /*last=*/true);
  return 0;
}

}  // namespace
}  // namespace bue::sim

int main(int argc, char** argv) { return bue::sim::Main(argc, argv); }
