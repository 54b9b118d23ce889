// A run's times as JSON and as a table.
#include "cli/run_times.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bue::cli {
namespace {

v1::Timing Four() {
  v1::Timing timing;
  timing.set_attempts(4);
  timing.set_run_us(408'000);
  timing.set_total_us(420'000);
  timing.set_run_min_us(100'123);
  timing.set_run_max_us(110'000);
  timing.set_run_p50_us(101'000);
  timing.set_run_p95_us(109'000);
  timing.set_last_result_unix_s(1'700'000'000.5);
  return timing;
}

TEST(ShortTime, FewDigits) {
  EXPECT_EQ(ShortTime(absl::Microseconds(0)), "0 us");
  EXPECT_EQ(ShortTime(absl::Microseconds(340)), "340 us");
  EXPECT_EQ(ShortTime(absl::Microseconds(1240)), "1.2 ms");
  EXPECT_EQ(ShortTime(absl::Microseconds(101'600)), "102 ms");
  EXPECT_EQ(ShortTime(absl::Milliseconds(3400)), "3.40 s");
  EXPECT_EQ(ShortTime(absl::Seconds(185)), "3 min 5 s");
}

TEST(TimingJson, RunAndOverheadAreTheTotal) {
  const Json json = TimingJson(Four());
  EXPECT_EQ(json["attempts"], 4);
  EXPECT_DOUBLE_EQ(json["run_s"]["mean"], 0.102);
  EXPECT_DOUBLE_EQ(json["run_s"]["min"], 0.100123);
  EXPECT_DOUBLE_EQ(json["run_s"]["p95"], 0.109);
  EXPECT_DOUBLE_EQ(json["overhead_ms"], 3);
  EXPECT_DOUBLE_EQ(json["overhead_percent"], 2.86);
  EXPECT_DOUBLE_EQ(json["total_s"], 0.105);
  EXPECT_EQ(json["last_result"], "2023-11-14T22:13:20.500Z");
}

TEST(TimingJson, NothingIsKnownBeforeTheFirstResult) {
  const Json json = TimingJson(v1::Timing());
  EXPECT_EQ(json["attempts"], 0);
  for (const char* name : {"run_s", "overhead_ms", "overhead_percent", "total_s", "last_result"}) {
    EXPECT_TRUE(json[name].is_null()) << name;
  }
}

TEST(TimesTable, HasARowForEachStepThatRan) {
  v1::RunStatus status;
  status.add_steps()->set_name("fetch");
  status.add_steps()->set_name("store");
  EXPECT_EQ(TimesTable(status, absl::UnixEpoch()), "");
  *status.mutable_timing() = *status.mutable_steps(0)->mutable_timing() = Four();
  EXPECT_EQ(TimesTable(status, absl::FromUnixSeconds(1'700'000'004)),
            "RUN TIME  MEAN    MIN     P50     P95     MAX     OVERHEAD   LAST RESULT\n"
            "tasks     102 ms  100 ms  101 ms  109 ms  110 ms  3.0 ms 3%  3.50 s ago\n"
            "  fetch   102 ms  100 ms  101 ms  109 ms  110 ms  3.0 ms 3%  3.50 s ago\n");
}

TEST(TimesTable, FitsIntoAHundredColumns) {
  v1::RunStatus status;
  status.add_steps();
  status.mutable_steps(0)->set_name(std::string(100, 'x'));
  v1::Timing& timing = *status.mutable_steps(0)->mutable_timing();
  timing = Four();
  for (const auto set : {&v1::Timing::set_run_min_us, &v1::Timing::set_run_max_us,
                         &v1::Timing::set_run_p50_us, &v1::Timing::set_run_p95_us}) {
    (timing.*set)(59'900'000);
  }
  *status.mutable_timing() = timing;
  const std::vector<std::string> lines =
      absl::StrSplit(TimesTable(status, absl::FromUnixSeconds(1'700'003'000)), '\n');
  for (const std::string& line : lines) EXPECT_LE(line.size(), 102) << line;  // One is an ellipsis.
}

}  // namespace
}  // namespace bue::cli
