#include "common/lang/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bue::lang {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* expression;
  const char* text;  // As Python prints it.
};

TEST(Expression, MeansWhatPythonMeans) {
  const Case cases[] = {
      {"20 * 60", "1200"},
      {"60**2 * 5 / (1 % 2) // (1 + 1 - 1)", "18000.0"},
      {".5", "0.5"},
      {"5.", "5.0"},
      {"-(3 - 5) * 1.5", "3.0"},
      {"7 // 2", "3"},
      {"-7 // 2", "-4"},
      {"7 % -3", "-2"},
      {"-7 % 3", "2"},
      {"-7.5 // 2", "-4.0"},
      {"-7.5 % 2", "0.5"},
      {"7.5 % -2", "-0.5"},
      {"-2**2", "-4"},
      {"2**-1", "0.5"},
      {"2**3**2", "512"},
      {"(-2)**2", "4"},
      {"(-8) ** 3", "-512"},
      {"4 / 2", "2.0"},
      {"1 / 3", "0.3333333333333333"},
      {"10 - 2 - 3", "5"},
      {"2 + 3 * 4", "14"},
      {"100 / 10 / 2", "5.0"},
      {"--5", "5"},
      {"-+-5", "5"},
      {"2 ** 0.5", "1.4142135623730951"},
      {"2**100 // 2**95", "32"},
      {"2**126 + 2**126 - 1 + 1 - 2**126", nullptr},  // Over 2^127 on the way.
      {"1 / 3600000", "2.7777777777777776e-07"},
      {"00", "0"},
      {"0123.5", "123.5"},
      {"1**1000000000000", "1"},
      {"0**0", "1"},
      {"\t 3 *\t4 ", "12"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<Number> number = Evaluate(c.expression);
    if (c.text == nullptr) {
      EXPECT_FALSE(number.ok()) << c.expression;
      continue;
    }
    ASSERT_TRUE(number.ok()) << c.expression << ": " << number.status();
    EXPECT_EQ(number->text, c.text) << c.expression;
  }
}

TEST(Expression, SaysWhatIsWrong) {
  const Case cases[] = {
      {"", "missing"},
      {"1 +", "missing"},
      {"1 / 0", "division by zero"},
      {"1 // 0", "division by zero"},
      {"1 % 0", "division by zero"},
      {"1.5 % 0.0", "division by zero"},
      {"0 ** -1", "division by zero"},
      {"9**9**9", "too large"},
      {"2.0 ** 5000", "too large"},
      {"10.0**300 * 10.0**300", "too large"},
      {"99999999999999999999999999999999999999999", "too large"},
      {"(-8) ** 0.5", "no such power"},
      {"20 minutes", "unexpected 'minutes'"},
      {"1 2", "unexpected '2'"},
      {"1e3", "unexpected 'e3'"},
      {"1_0", "unexpected '_0'"},
      {"0123", "begins with a zero"},
      {"1.2.3", "'1.2.3' is not a number"},
      {".", "not a number"},
      {"()", "unexpected ')'"},
      {"(1", "')' is missing"},
      {"1)", "unexpected ')'"},
      {"* 2", "unexpected"},
      {"1 *** 2", "unexpected"},
      {"__import__('os')", "unexpected"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<Number> number = Evaluate(c.expression);
    ASSERT_FALSE(number.ok()) << c.expression << " is " << number->text;
    EXPECT_THAT(std::string(number.status().message()), HasSubstr(c.text)) << c.expression;
  }
}

TEST(Expression, DeepOrLongOnesAreErrorsAndNoCrash) {
  EXPECT_FALSE(Evaluate(std::string(400, '(') + "1" + std::string(400, ')')).ok());
  EXPECT_FALSE(Evaluate(std::string(900, '-') + "1").ok());
  EXPECT_FALSE(Evaluate(std::string(2000, '1')).ok());
  EXPECT_TRUE(Evaluate(std::string(50, '(') + "1" + std::string(50, ')')).ok());
}

TEST(Expression, FloatsPrintAsInPython) {
  EXPECT_EQ(PythonFloat(0.1), "0.1");
  EXPECT_EQ(PythonFloat(18000), "18000.0");
  EXPECT_EQ(PythonFloat(1e15), "1000000000000000.0");
  EXPECT_EQ(PythonFloat(1e16), "1e+16");
  EXPECT_EQ(PythonFloat(0.0001), "0.0001");
  EXPECT_EQ(PythonFloat(0.00001), "1e-05");
  EXPECT_EQ(PythonFloat(1.5e-7), "1.5e-07");
}

TEST(WholeNumber, HasDigitsAndSingleUnderscoresBetweenThem) {
  EXPECT_EQ(ParseWholeNumber("1_000"), 1000);
  EXPECT_EQ(ParseWholeNumber("007"), 7);
  EXPECT_EQ(ParseWholeNumber("9223372036854775807"), 9223372036854775807u);
  for (const char* wrong :
       {"", "-1", "+1", "_1", "1_", "1__0", "1.0", "x", "9223372036854775808"}) {
    EXPECT_EQ(ParseWholeNumber(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace bue::lang
