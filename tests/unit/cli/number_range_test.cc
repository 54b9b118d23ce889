#include "cli/number_range.h"

#include <gtest/gtest.h>

#include <string>

namespace bue::cli {
namespace {

TEST(NumberRange, TakesWhatLiesWithin) {
  for (const std::string text : {"1", "17", "100"}) EXPECT_EQ(WholeNumber(1, 100)(text), "");
  for (const std::string text : {"0", "0.5", "30", "2592000"}) {
    EXPECT_EQ(NumberBetween(0, 2'592'000)(text), "");
  }
}

TEST(NumberRange, SaysWhatIsAllowed) {
  for (const std::string text : {"0", "101", "-1", "1.5", "x", "", "99999999999999999999"}) {
    EXPECT_EQ(WholeNumber(1, 100)(text), "'" + text + "' is not a whole number from 1 to 100");
  }
  for (const std::string text : {"-1", "2592001", "x", "", "nan", "inf", "1e300"}) {
    EXPECT_EQ(NumberBetween(0.5, 2'592'000)(text),
              "'" + text + "' is not a number from 0.5 to 2592000");
  }
}

}  // namespace
}  // namespace bue::cli
