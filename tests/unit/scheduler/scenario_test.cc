// Runs tests/scenarios/*.txt: blocks of commands, `----`, the expected transcript.
//
//   run [weight=N]             the following indented lines are the program (program_text.h)
//   join W [threads=N] [async=N] [sql=N] [ahead=N] [scopes=a,b] [priority_first] [reverse]
//     [values=N]               limits by a value see so many; 0: it says them only when told to
//   break W | return W | stop W | say W
//   answer W N                 it says of the values it was asked for which of N each is
//   ok W TASK [list=N] [id=ID] [total=N]  the task succeeded
//   none W TASK                           with None
//   fail|pending|reset|cancel|back W TASK [message]
//   fail-unheard W TASK        the worker never hears that its failure was taken in
//   progress W TASK N          a streaming source has N elements
//   learn W RUN STEP async     a step turned out to be async
//   gone W TASK [N]            the task's input number N is gone from the bucket
//   store-gone W TASK [N]      and with it every value there is
//   started W TASK SECONDS     the task has run for so long
//   cancel-run|pause|resume|delete N
//   stop-run N SECONDS         with that grace
//   retry N [STEP]
//   limit N STEP [max_running=N] [queue=N] [rate=N] (each second; 0: none)
//   why N [STEP [ITEM]]        what keeps it from running; without STEP: all that waits
//   advance SECONDS
//   restart | checkpoint       checkpoint: the same, after a snapshot
//   restart-return W           the same as restart, and W is back before anything else happens
//   status N                   prints the run's counts
//   place N NAME [ITEM]        where a value lies
//   results N
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "tests/support/scheduler_driver.h"

namespace bue::hub {
namespace {

class Scenario {
 public:
  // Runs one command with the indented lines below it.
  void Do(const std::string& line, const std::string& body) {
    words_ = absl::StrSplit(line, ' ', absl::SkipEmpty());
    const std::string& verb = words_[0];
    if (verb == "run") {
      driver_.Run(body, static_cast<uint32_t>(Option("weight", 1)));
    } else if (verb == "join") {
      Join();
    } else if (verb == "break") {
      driver_.Break(words_.at(1));
    } else if (verb == "return") {
      driver_.Return(words_.at(1));
    } else if (verb == "stop") {
      driver_.Stop(words_.at(1));
    } else if (verb == "say") {
      driver_.Say(words_.at(1));
    } else if (verb == "answer") {
      driver_.Answer(words_.at(1), Number(words_.at(2)));
    } else if (verb == "none") {
      driver_.SucceedWithNone(words_.at(1), words_.at(2));
    } else if (verb == "ok") {
      driver_.Succeed(words_.at(1), words_.at(2), Option("list", -1),
                      {.id = Word("id"), .total = static_cast<uint64_t>(Option("total", -1) + 1)});
    } else if (verb == "progress") {
      driver_.Progress(words_.at(1), words_.at(2), Number(words_.at(3)));
    } else if (verb == "learn") {
      driver_.Learn(words_.at(1), Number(words_.at(2)), words_.at(3), Pool::kAsync);
    } else if (verb == "fail-unheard") {
      driver_.ReportUnheard(words_.at(1), words_.at(2), Outcome::Kind::kFailed);
    } else if (verb == "restart-return") {
      driver_.Restart(/*checkpoint_first=*/false, words_.at(1));
    } else if (verb == "gone" || verb == "store-gone") {
      EXPECT_TRUE(driver_.Gone(words_.at(1), words_.at(2),
                               words_.size() > 3 ? Number(words_[3]) : 0,
                               /*store=*/verb == "store-gone"));
    } else if (verb == "started") {
      driver_.Started(words_.at(1), words_.at(2), absl::Seconds(Number(words_.at(3))));
    } else if (verb == "starting") {
      driver_.Starting(words_.at(1), words_.at(2));
    } else if (verb == "stop-run") {
      driver_.Control(Number(words_.at(1)), ControlRun::Action::kStop,
                      absl::Seconds(Number(words_.at(2))));
    } else if (verb == "retry") {
      driver_.Control(Number(words_.at(1)), ControlRun::Action::kRetry, {},
                      words_.size() > 2 ? words_[2] : "");
    } else if (verb == "limit") {
      SetLimits();
    } else if (verb == "why") {
      Why();
    } else if (verb == "advance") {
      double seconds = 0;
      ASSERT_TRUE(absl::SimpleAtod(words_.at(1), &seconds));
      driver_.Advance(absl::Seconds(seconds));
    } else if (verb == "restart" || verb == "checkpoint") {
      driver_.Restart(verb == "checkpoint");
    } else if (verb == "status") {
      Status(Number(words_.at(1)));
    } else if (verb == "place") {
      Place();
    } else if (verb == "results") {
      Results(Number(words_.at(1)));
    } else {
      DoByTable(verb);
    }
  }

  std::string TakeTranscript() {
    std::vector<std::string> lines = driver_.TakeLines();
    lines.insert(lines.end(), printed_.begin(), printed_.end());
    printed_.clear();
    return absl::StrJoin(lines, "\n");
  }

 private:
  void DoByTable(const std::string& verb) {
    static const std::map<std::string, Outcome::Kind>* const kOutcomes =
        new std::map<std::string, Outcome::Kind>{{"fail", Outcome::Kind::kFailed},
                                                 {"pending", Outcome::Kind::kPending},
                                                 {"reset", Outcome::Kind::kReset},
                                                 {"cancel", Outcome::Kind::kCancel},
                                                 {"back", Outcome::Kind::kGivenBack}};
    static const std::map<std::string, ControlRun::Action>* const kActions =
        new std::map<std::string, ControlRun::Action>{{"cancel-run", ControlRun::Action::kCancel},
                                                      {"pause", ControlRun::Action::kPause},
                                                      {"resume", ControlRun::Action::kResume},
                                                      {"delete", ControlRun::Action::kDelete}};
    if (const auto outcome = kOutcomes->find(verb); outcome != kOutcomes->end()) {
      const std::vector<std::string> message(words_.begin() + 3, words_.end());
      driver_.Report(words_.at(1), words_.at(2), outcome->second, absl::StrJoin(message, " "));
    } else if (const auto action = kActions->find(verb); action != kActions->end()) {
      driver_.Control(Number(words_.at(1)), action->second);
    } else {
      FAIL() << "unknown command " << verb;
    }
  }

  uint64_t Number(const std::string& text) {
    uint64_t n = 0;
    EXPECT_TRUE(absl::SimpleAtoi(text, &n)) << text;
    return n;
  }

  std::string Word(const std::string& name) {
    for (const std::string& word : words_) {
      if (absl::StartsWith(word, name + "=")) return word.substr(name.size() + 1);
    }
    return "";
  }

  int64_t Option(const std::string& name, int64_t otherwise) {
    for (const std::string& word : words_) {
      absl::string_view text = word;
      int64_t n;
      if (absl::ConsumePrefix(&text, name + "=") && absl::SimpleAtoi(text, &n)) return n;
    }
    return otherwise;
  }

  void Join() {
    SchedulerDriver::WorkerSpec spec{.threads = static_cast<uint32_t>(Option("threads", 0)),
                                     .async = static_cast<uint32_t>(Option("async", 0)),
                                     .sql = static_cast<uint32_t>(Option("sql", 0)),
                                     .ahead = static_cast<uint32_t>(Option("ahead", 0)),
                                     .values = static_cast<uint64_t>(Option("values", 2))};
    for (const std::string& word : words_) {
      if (absl::StartsWith(word, "scopes=")) {
        spec.scopes = absl::StrSplit(word.substr(7), ',');
      }
      spec.priority_first = spec.priority_first || word == "priority_first";
      spec.reverse = spec.reverse || word == "reverse";
    }
    driver_.Join(words_.at(1), spec);
  }

  static std::string Text(const Counts& counts) {
    return absl::StrCat(counts.total_unknown ? "?" : absl::StrCat(counts.total),
                        " done=", counts.done, " failed=", counts.failed,
                        " filtered=", counts.filtered, " skipped=", counts.skipped,
                        " running=", counts.running, " waiting=", counts.waiting);
  }

  void Status(uint64_t run) {
    const RunStatus status = driver_.Status(run);
    printed_.push_back(absl::StrCat("tasks ", Text(status.tasks)));
    printed_.push_back(absl::StrCat("items ", Text(status.items)));
    for (const StepStatus& step : status.steps) {
      const StepLimits& limits = step.limits;
      if (limits.max_running + limits.queue + limits.rate == 0) continue;
      printed_.push_back(absl::StrCat(step.name, " running=", step.counts.running,
                                      " peak=", step.peak_running, " queued=", step.queued,
                                      " peak=", step.peak_queued));
    }
  }

  void SetLimits() {
    bue::hub::SetLimits command{.run = Number(words_.at(1)), .step = words_.at(2)};
    if (const int64_t n = Option("max_running", -1); n >= 0) command.max_running = n;
    if (const int64_t n = Option("queue", -1); n >= 0) command.queue = n;
    if (const int64_t n = Option("rate", -1); n >= 0) {
      command.rate = {.count = static_cast<uint64_t>(n), .per = absl::Seconds(1)};
    }
    driver_.Control(command);
  }

  void Why() {
    const ReplyBody body = driver_.Ask(QueryReasons{.run = Number(words_.at(1)),
                                                    .step = words_.size() > 2 ? words_[2] : "",
                                                    .item = words_.size() > 3 ? words_[3] : ""});
    const auto* reasons = std::get_if<Reasons>(&body);
    if (reasons == nullptr) return;
    for (const Reasons::Entry& entry : reasons->entries) {
      printed_.push_back(absl::StrCat(entry.step, "[", entry.item, "] ", entry.tasks, " ",
                                      entry.state, ": ", absl::StrJoin(entry.reasons, "; ")));
    }
  }

  void Place() {
    const ReplyBody body = driver_.Ask(QueryPlace{.run = Number(words_.at(1)),
                                                  .name = words_.at(2),
                                                  .item = words_.size() > 3 ? words_[3] : ""});
    if (const auto* place = std::get_if<ValuePlace>(&body)) {
      printed_.push_back(place->fan_in ? "a list" : absl::StrCat("v", place->address));
    }
  }

  void Results(uint64_t run) {
    const ReplyBody body = driver_.Ask(QueryResults{.run = run});
    for (const ResultEntry& entry : std::get<ResultPage>(body).results) {
      printed_.push_back(absl::StrCat(entry.step, "[", entry.item, "] v", entry.address));
    }
  }

  SchedulerDriver driver_;
  std::vector<std::string> words_;
  std::vector<std::string> printed_;
};

std::vector<std::string> ReadLines(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// A file's text with every block's transcript as it is now.
std::string Replay(const std::vector<std::string>& lines) {
  Scenario scenario;
  std::string out;
  for (size_t i = 0; i < lines.size();) {
    if (lines[i].empty() || lines[i][0] == '#') {
      absl::StrAppend(&out, lines[i++], "\n");
      continue;
    }
    while (i < lines.size() && lines[i] != "----") {
      const std::string command = lines[i];
      absl::StrAppend(&out, lines[i++], "\n");
      std::string body;
      while (i < lines.size() && absl::StartsWith(lines[i], "  ")) {
        absl::StrAppend(&out, lines[i], "\n");
        absl::StrAppend(&body, lines[i++].substr(2), "\n");
      }
      scenario.Do(command, body);
    }
    absl::StrAppend(&out, "----\n");
    const std::string transcript = scenario.TakeTranscript();
    if (!transcript.empty()) absl::StrAppend(&out, transcript, "\n");
    for (++i; i < lines.size() && !lines[i].empty();) ++i;
  }
  return out;
}

class ScenarioTest : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioTest, HappensAsWritten) {
  const std::filesystem::path path =
      std::filesystem::path(BUE_SCENARIOS_DIR) / (GetParam() + ".txt");
  const std::vector<std::string> lines = ReadLines(path);
  ASSERT_FALSE(lines.empty());
  const std::string now = Replay(lines);
  const std::string written = absl::StrJoin(lines, "\n") + "\n";
  if (std::getenv("BUE_REWRITE_SCENARIOS") != nullptr) {
    std::ofstream(path) << now;
    return;
  }
  EXPECT_EQ(written, now);
}

std::vector<std::string> AllScenarios() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(BUE_SCENARIOS_DIR)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, ScenarioTest, testing::ValuesIn(AllScenarios()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace bue::hub
