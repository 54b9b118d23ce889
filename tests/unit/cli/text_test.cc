// Tables, durations and run names as people see them.
#include "cli/text.h"

#include "gtest/gtest.h"

namespace bue::cli {
namespace {

TEST(ParseRun, TakesWithAndWithoutTheLetter) {
  EXPECT_EQ(*ParseRun("r17"), 17u);
  EXPECT_EQ(*ParseRun("17"), 17u);
  EXPECT_EQ(RunName(17), "r17");
}

TEST(ParseRun, RefusesTheRestWithAnExample) {
  for (const char* text :
       {"", "r", "r0", "0", "-1", "r-1", "x17", "17x", "r99999999999999999999", " 7"}) {
    const absl::StatusOr<uint64_t> run = ParseRun(text);
    ASSERT_FALSE(run.ok()) << text;
    EXPECT_NE(run.status().message().find("r17"), absl::string_view::npos);
  }
}

TEST(HumanDuration, GrowsCoarserWithLength) {
  EXPECT_EQ(HumanDuration(absl::Milliseconds(1234)), "1.23 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(12.34)), "12.3 s");
  EXPECT_EQ(HumanDuration(absl::Seconds(185)), "3 min 5 s");
  EXPECT_EQ(HumanDuration(absl::Minutes(130)), "2 h 10 min");
  EXPECT_EQ(HumanDuration(absl::Hours(99)), "4 d 3 h");
  EXPECT_EQ(HumanDuration(absl::Seconds(-1)), "0.00 s");
  EXPECT_FALSE(HumanDuration(absl::InfiniteDuration()).empty());
}

TEST(HumanBytes, UsesBinaryUnits) {
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(1ull << 30), "1.0 GiB");
}

TEST(Visible, ShowsControlCharactersInsteadOfSendingThem) {
  EXPECT_EQ(Visible("red \x1b[31m\r\x7f, \xc2\x9b, a line\n\tand caf\xc3\xa9"),
            "red \\x1b[31m\\x0d\\x7f, \\x9b, a line\n\tand caf\xc3\xa9");
}

TEST(OneLine, CutsByCharactersAndLetsNoControlThrough) {
  EXPECT_EQ(OneLine("a\nb\x1b[31m", 20), "a b [31m");
  EXPECT_EQ(OneLine("äöüß", 2), "äö…");
  EXPECT_EQ(OneLine("äöüß", 4), "äöüß");
}

TEST(Table, AlignsTextLeftAndNumbersRight) {
  Table table({"NAME", "COUNT"});
  table.Add({"ä", "1"});
  table.Add({"long name", "1000"});
  EXPECT_EQ(table.ToString(),
            "NAME       COUNT\n"
            "ä              1\n"
            "long name   1000\n");
}

TEST(Table, FillsMissingCells) {
  Table table({"A", "B"});
  table.Add({"x"});
  EXPECT_EQ(table.ToString(), "A  B\nx\n");
}

}  // namespace
}  // namespace bue::cli
