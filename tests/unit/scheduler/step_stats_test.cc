#include "hub/scheduler/step_stats.h"

#include <cstdint>
#include <string>

#include "common/varint.h"
#include "gtest/gtest.h"

namespace bue::hub {
namespace {

constexpr int64_t kSecond_us = 1'000'000;

TEST(StepStatsTest, RunAndOverheadAreTheTotal) {
  StepStats stats;
  stats.Add(/*run_us=*/100, /*total_us=*/130, /*now_us=*/5);
  stats.Add(300, 350, 9);
  const Timing timing = stats.ToTiming();
  EXPECT_EQ(timing.attempts, 2);
  EXPECT_EQ(timing.run_us, 400);
  EXPECT_EQ(timing.total_us, 480);
  EXPECT_EQ(timing.run_min_us, 100);
  EXPECT_EQ(timing.run_max_us, 300);
  EXPECT_EQ(timing.last_result, absl::FromUnixMicros(9));
}

TEST(StepStatsTest, ATotalShorterThanTheRunIsTheClocks) {
  StepStats stats;
  stats.Add(100, 90, 1);
  EXPECT_EQ(stats.ToTiming().total_us, 100);
}

TEST(StepStatsTest, QuantilesOfOneValueAreThatValue) {
  StepStats stats;
  for (int i = 0; i < 3; ++i) stats.Add(104'729, 104'729, 1);
  EXPECT_EQ(stats.ToTiming().run_p50_us, 104'729);
  EXPECT_EQ(stats.ToTiming().run_p95_us, 104'729);
}

TEST(StepStatsTest, QuantilesAreWithinATenth) {
  for (const uint64_t scale : {1, 7, 100, 12'345, 3'000'000}) {
    StepStats stats;
    // Backwards, so that buckets are added in front.
    for (uint64_t i = 1000; i > 0; --i) stats.Add(i * scale, i * scale, 1);
    const Timing timing = stats.ToTiming();
    EXPECT_NEAR(static_cast<double>(timing.run_p50_us), 500.0 * scale, 50.0 * scale);
    EXPECT_NEAR(static_cast<double>(timing.run_p95_us), 950.0 * scale, 95.0 * scale);
  }
}

TEST(StepStatsTest, WhateverIsAddedIsCountedSomewhere) {
  StepStats stats;
  for (int bit = 0; bit < 64; ++bit) stats.Add(uint64_t{1} << bit, 0, 1);
  stats.Add(0, 0, 1);
  stats.Add(UINT64_MAX, 0, 1);
  EXPECT_EQ(stats.ToTiming().run_min_us, 0);
  EXPECT_EQ(stats.ToTiming().run_max_us, UINT64_MAX);
  EXPECT_LE(stats.ToTiming().run_p50_us, stats.ToTiming().run_p95_us);
}

TEST(StepStatsTest, MergedIsAsIfAddedToOne) {
  StepStats one, other, both;
  for (uint64_t i = 1; i < 200; ++i) {
    (i % 3 == 0 ? one : other).Add(i * i * i, i * i * i + i, static_cast<int64_t>(i));
    both.Add(i * i * i, i * i * i + i, static_cast<int64_t>(i));
  }
  one.Merge(other);
  std::string merged, added;
  one.Put(&merged);
  both.Put(&added);
  EXPECT_EQ(merged, added);
}

TEST(StepStatsTest, WhatIsPutIsTaken) {
  StepStats stats;
  for (uint64_t us = 1; us < 1'000'000; us *= 3) stats.Add(us, 2 * us, 1'700'000'000 * kSecond_us);
  std::string bytes;
  stats.Put(&bytes);
  StepStats taken;
  VarintReader in(bytes);
  ASSERT_TRUE(taken.Take(&in));
  EXPECT_TRUE(in.AtEnd());
  std::string again;
  taken.Put(&again);
  EXPECT_EQ(again, bytes);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    StepStats cut_off;
    VarintReader rest(absl::string_view(bytes).substr(0, cut));
    EXPECT_FALSE(cut_off.Take(&rest));
  }
}

TEST(HeadwayTest, NothingOverIsNoPace) {
  Headway headway;
  EXPECT_EQ(headway.RateAt(10, 0).tasks, 0);
  headway.Note(0, 0);
  EXPECT_EQ(headway.RateAt(10 * kSecond_us, 0).tasks, 0);
  EXPECT_FALSE(TimeFor(7, headway.RateAt(10 * kSecond_us, 0)).has_value());
}

TEST(HeadwayTest, SinceTheFirstGrantWhileTheRunIsYoung) {
  Headway headway;
  headway.Note(0, 0);
  EXPECT_EQ(TimeFor(50, headway.RateAt(5 * kSecond_us, 50)), absl::Seconds(5));
}

TEST(HeadwayTest, OnlyTheLastMinuteCounts) {
  Headway headway;
  uint64_t finished = 0;
  int64_t now = 0;
  const auto go_on = [&](int64_t until, uint64_t tasks_per_s) {
    for (; now < until; now += kSecond_us, finished += tasks_per_s) {
      if (now >= headway.due_us()) headway.Note(now, finished);
    }
  };
  go_on(600 * kSecond_us, 1000);
  go_on(720 * kSecond_us, 10);
  const Headway::Rate rate = headway.RateAt(now, finished);
  EXPECT_EQ(rate.tasks * kSecond_us, rate.us * 10);
  EXPECT_LE(rate.us, 66 * kSecond_us);
}

TEST(HeadwayTest, RareTasksAreSeenOverLonger) {
  Headway headway;
  uint64_t finished = 0;
  int64_t now = 0;
  // Eight at once, every five minutes.
  for (; now < 3600 * kSecond_us; now += 300 * kSecond_us, finished += 8) headway.Note(now, finished);
  const Headway::Rate rate = headway.RateAt(now - kSecond_us, finished);
  const double per_hour = static_cast<double>(rate.tasks) * 3600e6 / static_cast<double>(rate.us);
  EXPECT_NEAR(per_hour, 96, 24);
}

TEST(HeadwayTest, ARetryBeginsAnew) {
  Headway headway;
  headway.Note(0, 100);
  headway.Note(10 * kSecond_us, 40);
  const Headway::Rate rate = headway.RateAt(20 * kSecond_us, 60);
  EXPECT_EQ(rate.tasks, 20);
  EXPECT_EQ(rate.us, 10 * kSecond_us);
  EXPECT_EQ(headway.RateAt(20 * kSecond_us, 30).tasks, 0);  // Fewer than at the last look.
}

}  // namespace
}  // namespace bue::hub
