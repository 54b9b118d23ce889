#include "hub/service/upload_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class UploadBudgetTest : public testing::Test {
 protected:
  // Names stand for uploads; their turns are noted in order.
  bool Acquire(const char* who, size_t bytes) {
    return budget_.Acquire(who, bytes, [this, who] { turns_.push_back(who); });
  }

  UploadBudget budget_{{.small_bytes = 10, .small_bytes_max = 20, .large_bytes_max = 100}};
  std::vector<std::string> turns_;
  const char* const a_ = "a";
  const char* const b_ = "b";
  const char* const c_ = "c";
};

TEST_F(UploadBudgetTest, WhatFitsGoesOnAtOnce) {
  EXPECT_TRUE(Acquire(a_, 60));
  EXPECT_TRUE(Acquire(b_, 40));
  EXPECT_THAT(turns_, IsEmpty());
}

TEST_F(UploadBudgetTest, LargeOneIsNotPassedByThoseBehindIt) {
  EXPECT_TRUE(Acquire(a_, 60));
  EXPECT_FALSE(Acquire(b_, 90));
  EXPECT_FALSE(Acquire(c_, 20));  // Would fit, but came later.
  budget_.Release(60);
  EXPECT_THAT(turns_, ElementsAre("b"));
  budget_.Release(90);
  EXPECT_THAT(turns_, ElementsAre("b", "c"));
}

TEST_F(UploadBudgetTest, SmallOneDoesNotWaitForLargeOnes) {
  EXPECT_TRUE(Acquire(a_, 100));
  EXPECT_FALSE(Acquire(b_, 11));
  EXPECT_TRUE(Acquire(c_, 10));
}

TEST_F(UploadBudgetTest, OneThatIsLargerThanAllHasItToItself) {
  EXPECT_TRUE(Acquire(a_, 500));
  EXPECT_FALSE(Acquire(b_, 11));
  EXPECT_FALSE(Acquire(c_, 500));
  budget_.Release(500);
  EXPECT_THAT(turns_, ElementsAre("b"));
  budget_.Release(11);
  EXPECT_THAT(turns_, ElementsAre("b", "c"));
}

TEST_F(UploadBudgetTest, WhoWithdrawsGetsNoTurnAndIsNotInTheWay) {
  EXPECT_TRUE(Acquire(a_, 60));
  EXPECT_FALSE(Acquire(b_, 90));
  EXPECT_FALSE(Acquire(c_, 20));
  EXPECT_TRUE(budget_.Withdraw(b_));
  EXPECT_THAT(turns_, ElementsAre("c"));
  EXPECT_FALSE(budget_.Withdraw(b_));
  EXPECT_FALSE(budget_.Withdraw(c_));
  budget_.Release(60);
  EXPECT_THAT(turns_, ElementsAre("c"));
}

}  // namespace
}  // namespace bue::hub
