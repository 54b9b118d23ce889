// A run as JSON and as lines: the documented names, null for what is not known.
#include "cli/run_report.h"

#include "gtest/gtest.h"

namespace bue::cli {
namespace {

constexpr double kStarted = 1'700'000'000;

v1::RunStatus Running() {
  v1::RunStatus status;
  status.set_run(17);
  status.set_name("nightly.bue");
  status.set_state(v1::RUNNING);
  status.set_started_unix_s(kStarted);
  status.mutable_tasks()->set_total(100);
  status.mutable_tasks()->set_done(20);
  status.mutable_tasks()->set_failed(5);
  status.mutable_tasks()->set_waiting(75);
  status.mutable_items()->set_total_unknown(true);
  v1::StepStatus* const step = status.add_steps();
  step->set_name("download");
  step->mutable_counts()->set_done(3);
  step->set_left_out(2);
  status.set_eta_s(30);
  status.set_tasks_per_s(2.5);
  return status;
}

absl::Time After(double seconds) {
  return absl::UnixEpoch() + absl::Seconds(kStarted) + absl::Seconds(seconds);
}

TEST(StatusJson, HasTheDocumentedFields) {
  const Json json = StatusJson(Running(), After(10));
  EXPECT_EQ(json["run"], "r17");
  EXPECT_EQ(json["state"], "running");
  EXPECT_EQ(json["started"], "2023-11-14T22:13:20.000Z");
  EXPECT_TRUE(json["ended"].is_null());
  EXPECT_DOUBLE_EQ(json["elapsed_s"], 10);
  EXPECT_DOUBLE_EQ(json["eta_s"], 30);
  EXPECT_DOUBLE_EQ(json["progress_percent"], 25);
  EXPECT_DOUBLE_EQ(json["tasks_per_s"], 2.5);
  EXPECT_EQ(json["attempts"], 0);
  EXPECT_TRUE(json["run_s"].is_null());
  EXPECT_EQ(json["tasks"]["total"], 100);
  EXPECT_TRUE(json["items"]["total"].is_null());
  EXPECT_EQ(json["steps"][0]["name"], "download");
  EXPECT_EQ(json["steps"][0]["done"], 3);
  EXPECT_EQ(json["steps"][0]["left_out"], 2);
}

TEST(StatusJson, SuccessRateIsOfTheItemsThatEnded) {
  v1::RunStatus status = Running();
  EXPECT_TRUE(StatusJson(status, After(10))["success_rate"].is_null());
  status.mutable_items()->set_done(1);
  status.mutable_items()->set_failed(3);
  status.mutable_items()->set_running(5);
  EXPECT_DOUBLE_EQ(StatusJson(status, After(10))["success_rate"], 0.25);
}

TEST(StatusJson, EtaIsNullWhileTheTotalIsUnknown) {
  v1::RunStatus status = Running();
  status.mutable_tasks()->set_total_unknown(true);
  status.clear_eta_s();
  EXPECT_TRUE(StatusJson(status, After(10))["eta_s"].is_null());
  EXPECT_TRUE(StatusJson(status, After(10))["progress_percent"].is_null());
}

TEST(StatusJson, ElapsedStopsWhenTheRunEnds) {
  v1::RunStatus status = Running();
  status.set_state(v1::RUN_SUCCEEDED);
  status.set_ended_unix_s(kStarted + 4);
  EXPECT_DOUBLE_EQ(StatusJson(status, After(1000))["elapsed_s"], 4);
}

TEST(ToLine, ReplacesBytesThatAreNotText) {
  EXPECT_EQ(ToLine(Json{{"name", "a\xff"}}), "{\"name\":\"a\xef\xbf\xbd\"}");
}

TEST(EndLine, CountsWhatHappened) {
  v1::RunStatus status = Running();
  status.set_state(v1::RUN_FAILED);
  status.set_ended_unix_s(kStarted + 4);
  EXPECT_EQ(EndLine(status, After(9)), "r17 failed in 4.00 s: 20 tasks done, 5 failed");
}

TEST(ProgressLine, ShowsPaceAndRest) {
  EXPECT_EQ(ProgressLine(Running()),
            "r17 running  25%  done 20/100  failed 5  running 0  waiting 75  2.5/s  eta 30.0 s");
}

TEST(WhatIsMissing, NamesFailedItemsAndARunThatGoesOn) {
  v1::RunStatus status = Running();
  status.set_state(v1::RUN_SUCCEEDED);
  status.mutable_tasks()->set_failed(0);
  EXPECT_EQ(WhatIsMissing(status), "");
  status.set_state(v1::RUN_FAILED);
  status.mutable_tasks()->set_failed(2);
  EXPECT_EQ(WhatIsMissing(status),
            "2 tasks of r17 failed, and what needs them has no value; why: bue errors r17");
  status.mutable_items()->set_total_unknown(false);
  status.mutable_items()->set_total(10);
  status.mutable_items()->set_failed(2);
  EXPECT_EQ(WhatIsMissing(status),
            "2 of 10 items of r17 failed and are left out; why: bue errors r17");
  status.set_state(v1::PAUSED);
  EXPECT_EQ(WhatIsMissing(status),
            "2 of 10 items of r17 failed and are left out; why: bue errors r17; r17 is paused, so "
            "there may be more");
}

TEST(RunTable, ErrorsOfTasksThatDidNotFailInTheEndAreHistory) {
  v1::RunStatus status = Running();
  status.set_errors(1);
  EXPECT_NE(RunTable(status, After(1)).find(", 1 error (bue errors r17)"), std::string::npos);
  status.mutable_tasks()->set_failed(0);
  EXPECT_NE(RunTable(status, After(1)).find(", 1 earlier error (bue errors r17)"),
            std::string::npos);
}

TEST(HasEnded, IsFalseForPausedRuns) {
  v1::RunStatus status = Running();
  EXPECT_FALSE(HasEnded(status));
  status.set_state(v1::PAUSED);
  EXPECT_FALSE(HasEnded(status));
  status.set_state(v1::CANCELLED);
  EXPECT_TRUE(HasEnded(status));
}

}  // namespace
}  // namespace bue::cli
