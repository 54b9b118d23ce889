#include "hub/service/statistics_log.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

RunStatus Running() {
  RunStatus status{.run = 17};
  status.tasks = {.total = 369, .done = 56, .failed = 1, .running = 12, .waiting = 300};
  status.timing = {.attempts = 57, .run_us = 57 * 101'234, .total_us = 57 * 103'334};
  status.tasks_per_s = 9.75;
  status.eta = absl::Milliseconds(32'000);
  status.steps.push_back({.name = "fetch", .counts = status.tasks, .queued = 30});
  status.steps[0].timing = status.timing;
  return status;
}

TEST(StatisticsLine, SaysHowTheRunAndItsStepsGetOn) {
  EXPECT_EQ(StatisticsLine(Running()),
            "run statistics run=r17 state=running active=12 waiting=300 completed=57 "
            "success_rate=98.25% total=369 rate=9.8/s eta=32s mean=101ms overhead=2.1ms "
            "steps=[fetch running=12 queued=30 completed=57 success_rate=98.25% mean=101ms "
            "overhead=2.1ms]");
}

TEST(StatisticsLine, LeavesOutWhatIsNotKnown) {
  RunStatus status{.run = 1};
  status.tasks.total_unknown = true;
  status.steps.push_back({.name = "fetch"});
  EXPECT_EQ(StatisticsLine(status),
            "run statistics run=r1 state=running active=0 waiting=0 completed=0 "
            "steps=[fetch running=0 queued=0 completed=0]");
}

TEST(StatisticsLine, OfManyStepsTheBusiestInTheScriptsOrder) {
  RunStatus status{.run = 1};
  for (int i = 0; i < 100; ++i) {
    status.steps.push_back({.name = absl::StrCat("s", i)});
    if (i >= 90) status.steps.back().counts.running = 100 - i;
  }
  const std::string line = StatisticsLine(status);
  EXPECT_THAT(line, HasSubstr("steps=[s90 running=10 queued=0 completed=0, s91 running=9"));
  EXPECT_THAT(line, HasSubstr("] other_steps=90"));
}

TEST(StatisticsLine, NoNameEndsTheLineOrFillsTheLog) {
  RunStatus status{.run = 1};
  status.steps.push_back({.name = absl::StrCat("a\nb\x1b", std::string(100'000, 'x'))});
  const std::string line = StatisticsLine(status);
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  EXPECT_THAT(line, HasSubstr("a\\nb\\033xx"));
  EXPECT_LT(line.size(), 400);
}

TEST(StatisticsLines, TheOtherRunsAreCounted) {
  RunStatistics statistics{.others = 7};
  statistics.busiest.push_back(Running());
  EXPECT_THAT(StatisticsLines(statistics),
              ElementsAre(HasSubstr("run=r17"), "run statistics other_active_runs=7"));
}

TEST(StatisticsLog, AsksUntilItIsStoppedAlsoWhenThereIsNoAnswer) {
  absl::Notification asked_twice;
  int asked = 0;
  {
    StatisticsLog log(absl::Milliseconds(1), [&](QueryStatistics) -> absl::StatusOr<RunStatistics> {
      if (++asked == 2) asked_twice.Notify();
      return absl::UnavailableError("busy");
    });
    log.Start();
    asked_twice.WaitForNotification();
  }
  EXPECT_GE(asked, 2);
}

TEST(StatisticsLog, NeverWithAnIntervalOfZero) {
  StatisticsLog log(absl::ZeroDuration(), [](QueryStatistics) -> absl::StatusOr<RunStatistics> {
    ADD_FAILURE();
    return RunStatistics();
  });
  log.Start();
}

}  // namespace
}  // namespace bue::hub
