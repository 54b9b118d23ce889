// Every failed step is named in a summary that stays short.
#include "cli/failures.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bue::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::ErrorRecord Error(const std::string& step, const std::string& item, bool final = true) {
  v1::ErrorRecord error;
  error.set_step(step);
  error.set_item(item);
  error.set_type("ValueError");
  error.set_error("no\nreport");
  error.set_traceback("Traceback of " + step);
  error.set_final(final);
  return error;
}

TEST(Failures, NamesStepItemAndError) {
  Failures failures;
  failures.Add(Error("download", "4"));
  EXPECT_EQ(failures.Summary(), "failed: download item 4: ValueError: no report\n");
  EXPECT_THAT(failures.Tracebacks(), HasSubstr("Traceback of download"));
}

TEST(Failures, LeavesOutAttemptsThatWereTriedAgain) {
  Failures failures;
  failures.Add(Error("download", "4", /*final=*/false));
  EXPECT_EQ(failures.Summary(), "");
}

TEST(Failures, CountsWhatItDoesNotList) {
  Failures failures;
  for (int item = 0; item < 1000; ++item) failures.Add(Error("download", std::to_string(item)));
  failures.Add(Error("upload", "1"));
  EXPECT_THAT(failures.Summary(), HasSubstr("failed: download: 990 more\n"));
  EXPECT_THAT(failures.Summary(), HasSubstr("failed: upload item 1:"));
}

TEST(Failures, NamesStepsWhoseErrorsAreGone) {
  v1::RunStatus status;
  v1::StepStatus* step = status.add_steps();
  step->set_name("lost");
  step->mutable_counts()->set_failed(3);
  step = status.add_steps();
  step->set_name("fine");
  Failures failures;
  failures.Add(status);
  EXPECT_THAT(failures.Summary(), HasSubstr("failed: lost: 3\n"));
  EXPECT_THAT(failures.Summary(), Not(HasSubstr("fine")));
}

}  // namespace
}  // namespace bue::cli
