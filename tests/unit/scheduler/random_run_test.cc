// Random programs, random outcomes, workers that come and go, restarts at any moment: whatever
// happens, every run ends, its counts add up, no task is granted while somebody holds it, and a
// restart changes nothing, and no value that may still be read is disowned. A failure names its
// seed and its program. BUE_SEEDS_FROM=N in the environment tries other seeds than the first
// 20,000, BUE_TRACE=1 prints all that happens.
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/program/refill.h"
#include "gtest/gtest.h"
#include "tests/support/program_text.h"
#include "tests/support/scheduler_driver.h"

namespace bue::hub {
namespace {

class RandomRun {
 public:
  explicit RandomRun(uint32_t seed)
      : random_(seed),
        driver_(SchedulerOptions{
            .seed = seed, .idle_values = seed % 3, .reserve_block = 2 + seed % 7}) {}

  void Play() {
    driver_.Join("w0", {.threads = 3, .ahead = 2});
    const std::string program = MakeProgram();
    SCOPED_TRACE(program);
    if (driver_.Run(program) == 0) return;  // Calls in a circle.
    Continue();
    if (testing::Test::HasFatalFailure()) return;
    CheckEnd();
    // What failed runs again until nothing does; from the third time on without bad luck.
    for (int round = 0; driver_.Status(1).state != RunState::kSucceeded; ++round) {
      ASSERT_LT(round, 8) << absl::StrJoin(last_, "\n");
      lucky_ = round >= 2;
      ended_ = false;
      Note("-- retry");
      driver_.Control(1, ControlRun::Action::kRetry);
      Continue();
      if (testing::Test::HasFatalFailure()) return;
      CheckEnd();
    }
    CheckResults();
  }

 private:
  void Continue() {
    for (const int end = step_ + 5000; step_ < end && !ended_; ++step_) {
      Act();
      Read();
      if (step_ % 7 == 0) AskOwnership();
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  // Whatever the results name is there, and nothing twice.
  void CheckResults() {
    std::set<uint64_t> seen;
    std::string start;
    do {
      const ReplyBody body = driver_.Ask(QueryResults{.run = 1, .start = start});
      const ResultPage& page = std::get<ResultPage>(body);
      for (const ResultEntry& result : page.results) {
        EXPECT_FALSE(driver_.deleted(result.address)) << result.step << " " << result.item;
        EXPECT_FALSE(disowned_.contains(result.address)) << result.step << " " << result.item;
        EXPECT_TRUE(seen.insert(result.address).second) << result.step << " " << result.item;
      }
      start = page.next;
    } while (!start.empty());
  }

  void CheckEnd() {
    const RunStatus status = driver_.Status(1);
    ASSERT_TRUE(ended_) << "done " << status.tasks.done << " running " << status.tasks.running
                        << " waiting " << status.tasks.waiting
                        << "; the run did not end; its last lines:\n"
                        << absl::StrJoin(last_, "\n");
    EXPECT_EQ(status.tasks.running, 0u);
    EXPECT_EQ(status.tasks.waiting, 0u);
    EXPECT_FALSE(status.tasks.total_unknown);
    EXPECT_EQ(status.tasks.total, status.tasks.done + status.tasks.failed + status.tasks.filtered +
                                      status.tasks.skipped);
    // A failure that a reset took back leaves only its error record.
    if (status.state == RunState::kFailed) {
      EXPECT_GT(status.errors, 0u);
    }
  }

  void Note(const std::string& line) {
    if (getenv("BUE_TRACE") != nullptr) fprintf(stderr, "%s\n", line.c_str());
    last_.push_back(line);
    if (last_.size() > 60) last_.pop_front();
  }

  uint32_t Draw(uint32_t below) { return random_() % below; }
  bool Chance(uint32_t percent) { return Draw(100) < percent; }

  std::string MakeProgram() {
    std::string text;
    std::vector<uint32_t> region_of_node;
    std::vector<uint32_t> parent{0};
    const auto encloses = [&](uint32_t outer, uint32_t inner) {
      while (inner > outer) inner = parent[inner];
      return inner == outer;
    };
    const uint32_t parts = 3 + Draw(8);
    for (uint32_t i = 0; i < parts; ++i) {
      const uint32_t region = Draw(static_cast<uint32_t>(parent.size()));
      if (Chance(35) && parent.size() < 4) {
        std::vector<uint32_t> sources;
        for (uint32_t n = 0; n < region_of_node.size(); ++n) {
          if (encloses(region_of_node[n], region)) sources.push_back(n);
        }
        const std::string source = sources.empty() || Chance(30)
                                       ? absl::StrCat("range:", Draw(4))
                                       : absl::StrCat(sources[Draw(sources.size())]);
        absl::StrAppend(&text, "loop in ", region, " over ", source, Chance(25) ? " by=2" : "",
                        "\n");
        parent.push_back(region);
        continue;
      }
      std::string inputs;
      std::vector<std::string> values;  // That a limit may go by.
      for (uint32_t n = 0; n < region_of_node.size(); ++n) {
        if (!Chance(30)) continue;
        absl::StrAppend(&inputs, " ", n);
        if (encloses(region_of_node[n], region)) values.push_back(absl::StrCat(n));
      }
      for (uint32_t r = region; r != 0; r = parent[r]) values.push_back(absl::StrCat("e", r));
      if (region != 0 && Chance(70)) absl::StrAppend(&inputs, " e", region);
      absl::StrAppend(&text, "step s", i, " retries=", Draw(2), " backoff=1 poll=1 handbacks=2");
      std::string by;
      for (const char* limit : {" max_running=1%", " rate=2/3%"}) {
        if (values.empty() || !Chance(20)) continue;
        absl::StrAppend(&text, limit);
        absl::StrAppend(&by, by.empty() ? " by " : " ", values[Draw(values.size())]);
      }
      absl::StrAppend(&text, "\nnode s", i, " in ", region, inputs, by, "\n");
      region_of_node.push_back(region);
    }
    // Some sources are asked again and again, where the language has it.
    for (uint32_t n = 0; n < region_of_node.size(); ++n) {
      const std::string name = NameOfNode(text, n);
      const std::string with = absl::StrCat(text, "step ", name, " refill\n");
      if (!Chance(40) || !FindRefillMisuses(*ParseProgramText(with)).empty()) continue;
      text = with;
      refills_.insert(name);
    }
    return text;
  }

  static std::string NameOfNode(const std::string& text, uint32_t node) {
    const auto program = ParseProgramText(text);
    return program->steps[program->nodes[node].step].name;
  }

  void Act() {
    std::vector<std::pair<std::string, std::string>> held;
    for (const std::string& worker : workers_) {
      for (const auto& [task, lease] : driver_.granted(worker)) held.emplace_back(worker, task);
    }
    if (Chance(2)) return SteerTheRun();
    if (Chance(4)) {
      Note("-- restart");
      return Restart();
    }
    if (Chance(4)) return LoseAWorker();
    if (Chance(10) || held.empty()) return driver_.Advance(absl::Seconds(Chance(20) ? 6 : 1));
    const auto [worker, task] = held[Draw(held.size())];
    const uint32_t fate = lucky_ ? 20 + Draw(80) : Draw(100);
    Note(absl::StrCat("-- ", task, " ", fate));
    if (fate < 6) {
      driver_.Report(worker, task, Outcome::Kind::kFailed, "no luck");
    } else if (fate < 10) {
      driver_.Report(worker, task, Outcome::Kind::kPending);
    } else if (fate < 13) {
      driver_.Report(worker, task, Outcome::Kind::kReset);
    } else if (fate < 15) {
      driver_.Report(worker, task, Outcome::Kind::kCancel);
    } else if (fate < 20) {
      driver_.Report(worker, task, Outcome::Kind::kGivenBack);
    } else if (fate < 23 && !lucky_ && driver_.Gone(worker, task, Draw(8), Draw(3) == 0)) {
      // One of its inputs is lost.
    } else if (refills_.contains(task.substr(0, task.find('[')))) {
      driver_.Succeed(worker, task, 1 + (Chance(40) ? 0 : Draw(4)));  // Items, and a cursor.
    } else if (const auto made = driver_.Made(worker, task)) {
      // A source makes the same elements each time, a few at once.
      const uint64_t all = std::hash<std::string>()(task) % 5;
      if (*made < all && Chance(70)) {
        driver_.Progress(worker, task, *made + 1 + Draw(all - *made));
      } else {
        driver_.Succeed(worker, task, all);
      }
    } else {
      driver_.Succeed(worker, task, Draw(4));
    }
  }

  // Pauses it, retries what has failed so far, or cancels and then goes on after all.
  void SteerTheRun() {
    const auto control = [&](ControlRun::Action action) {
      Note(absl::StrCat("-- control ", static_cast<int>(action)));
      driver_.Control(1, action, absl::Seconds(3));
    };
    if (Chance(40)) return control(ControlRun::Action::kRetry);
    const bool pause = Chance(50);
    control(pause        ? ControlRun::Action::kPause
            : Chance(50) ? ControlRun::Action::kCancel
                         : ControlRun::Action::kStop);
    if (Chance(50)) Restart();
    if (Chance(50)) driver_.Advance(absl::Seconds(1 + Draw(8)));
    if (driver_.Status(1).state == RunState::kStopping) driver_.Advance(absl::Seconds(9));
    if (pause || Chance(50)) Restart();
    Read();
    if (!ended_) control(pause ? ControlRun::Action::kResume : ControlRun::Action::kRetry);
  }

  // What the store gives back is what was there.
  void Restart() {
    const RunStatus before = driver_.Status(1);
    SCOPED_TRACE(absl::StrJoin(last_, "\n"));
    driver_.Restart(Chance(50));
    const RunStatus after = driver_.Status(1);
    EXPECT_EQ(before.state, after.state);
    EXPECT_EQ(before.errors, after.errors);
    // Items that may be running are begun at once, so more may be known.
    EXPECT_LE(before.tasks.total, after.tasks.total);
    EXPECT_EQ(before.tasks.done, after.tasks.done);
    EXPECT_EQ(before.tasks.failed, after.tasks.failed);
    EXPECT_EQ(before.tasks.filtered, after.tasks.filtered);
    EXPECT_EQ(before.tasks.skipped, after.tasks.skipped);
    EXPECT_LE(before.items.total, after.items.total);
  }

  // A sweep takes what the hub disowns: it must never be read again.
  void AskOwnership() {
    const std::vector<QueryOwnership::Object> values = driver_.Values();
    const std::vector<Ownership> verdicts = driver_.AskOwnership(values);
    for (size_t i = 0; i < values.size(); ++i) {
      if (verdicts[i] == Ownership::kWanted || verdicts[i] == Ownership::kAskAgain) continue;
      disowned_.insert(values[i].address);
    }
  }

  // Values are "v12" in the inputs of a grant.
  void CheckInputs(const std::string& grant) {
    for (size_t at = grant.find('('); at < grant.size(); ++at) {
      if (grant[at] != 'v') continue;
      const uint64_t address = std::strtoull(grant.c_str() + at + 1, nullptr, 10);
      ASSERT_FALSE(disowned_.contains(address)) << grant << "\n" << absl::StrJoin(last_, "\n");
    }
  }

  // Breaks a stream; the worker is back at once, later, or never (another one comes).
  void LoseAWorker() {
    const std::string worker = *std::next(workers_.begin(), Draw(workers_.size()));
    driver_.Break(worker);
    Note(absl::StrCat("-- break ", worker));
    if (Chance(50)) {
      if (Chance(50)) driver_.Advance(absl::Seconds(1));
      driver_.Return(worker);
      return;
    }
    workers_.erase(worker);
    const std::string other = absl::StrCat("w", step_ + 1);
    workers_.insert(other);
    driver_.Join(other, {.threads = 1 + Draw(4), .ahead = Draw(3)});
  }

  void Read() {
    for (const std::string& line : driver_.TakeLines()) {
      Note(line);
      ASSERT_FALSE(absl::StrContains(line, "(granted twice")) << absl::StrJoin(last_, "\n") << "\n";
      ASSERT_FALSE(absl::StrContains(line, "(its record")) << absl::StrJoin(last_, "\n") << "\n";
      if (absl::StartsWith(line, "grant ")) CheckInputs(line);
      ASSERT_FALSE(absl::StrContains(line, "deleted")) << absl::StrJoin(last_, "\n") << "\n";
      ended_ = ended_ || line == "run r1 succeeded" || line == "run r1 failed";
    }
    // After a restart every stream is new.
    if (Chance(30)) {
      const std::string worker = *std::next(workers_.begin(), Draw(workers_.size()));
      driver_.Return(worker);
    }
  }

  std::mt19937 random_;
  SchedulerDriver driver_;
  std::set<std::string> workers_{"w0"};
  int step_ = 0;
  std::deque<std::string> last_;
  std::set<uint64_t> disowned_;  // Addresses that a sweep would have taken.
  bool ended_ = false;
  std::set<std::string> refills_;  // Steps.
  bool lucky_ = false;             // Tasks succeed, or are given back.
};

class RandomRunTest : public testing::TestWithParam<uint32_t> {};

TEST_P(RandomRunTest, Ends) {
  const char* const from = getenv("BUE_SEEDS_FROM");
  const uint32_t first = GetParam() + (from == nullptr ? 0 : atoi(from));
  for (uint32_t seed = first; seed < first + 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomRun(seed).Play();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomRunTest, testing::Range(0u, 20000u, 100u));

}  // namespace
}  // namespace bue::hub
