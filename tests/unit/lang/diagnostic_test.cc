#include "common/lang/diagnostic.h"

#include <gtest/gtest.h>

#include "common/lang/suggestion.h"

namespace bue::lang {
namespace {

std::string Format(const Diagnostic& diagnostic, const std::string& text) {
  return FormatDiagnostics({diagnostic}, "r.bue", text);
}

TEST(Diagnostic, ShowsPlaceLineCaretAndHint) {
  EXPECT_EQ(Format({.line = 2, .column = 5, .message = "no such", .hint = "did you mean `x`?"},
                   "a\n  p(y)\n"),
            "r.bue:2:5: error: no such\n"
            "      p(y)\n"
            "        ^\n"
            "  hint: did you mean `x`?\n");
}

TEST(Diagnostic, CaretStandsBelowItsCharacter) {
  EXPECT_EQ(
      Format({.severity = Severity::kWarning, .line = 1, .column = 6, .message = "m"}, "\tgrö(ü)"),
      "r.bue:1:6: warning: m\n"
      "    \tgrö(ü)\n"
      "    \t    ^\n");
}

TEST(Diagnostic, WithoutALineShowsOnlyTheMessage) {
  EXPECT_EQ(Format({.message = "m"}, "a"), "r.bue: error: m\n");
}

TEST(Diagnostic, OfALongLineShowsThePartAroundItsColumn) {
  const std::string line = std::string(500, 'a') + "X" + std::string(500, 'b');
  const std::string text = Format({.line = 1, .column = 501, .message = "m"}, line);
  EXPECT_LT(text.size(), 400u);
  EXPECT_NE(text.find(std::string(80, 'a') + "X"), std::string::npos);
  EXPECT_NE(text.find("\n    " + std::string(80, ' ') + "^\n"), std::string::npos);
}

TEST(Diagnostic, KeepsControlCharactersAndBrokenTextFromTheTerminal) {
  EXPECT_EQ(Format({.line = 1, .column = 1, .message = "m\x1B"}, "\x1B[2J\xFF"),
            "r.bue:1:1: error: m?\n    ?[2J?\n    ^\n");
}

TEST(Diagnostic, OnlyErrorsAreErrors) {
  EXPECT_FALSE(HasErrors({}));
  EXPECT_FALSE(HasErrors({Diagnostic{.severity = Severity::kWarning}}));
  EXPECT_TRUE(HasErrors({Diagnostic{.severity = Severity::kWarning}, Diagnostic{}}));
}

TEST(Suggestion, CountsEditsUpToALimit) {
  EXPECT_EQ(EditDistance("report", "report", 3), 0u);
  EXPECT_EQ(EditDistance("report", "repotr", 3), 1u);
  EXPECT_EQ(EditDistance("report", "reprt", 3), 1u);
  EXPECT_EQ(EditDistance("report", "raporto", 3), 2u);
  EXPECT_EQ(EditDistance("report", "zzz", 3), 4u);
  EXPECT_EQ(EditDistance("", "ab", 3), 2u);
}

TEST(Suggestion, IsTheNearestIfItIsNear) {
  EXPECT_EQ(DidYouMean("report_pip", {"repair", "report_pipe", "report"}),
            "did you mean `report_pipe`?");
  EXPECT_EQ(DidYouMean("Report-Pipe", {"report_pipe"}), "did you mean `report_pipe`?");
  EXPECT_EQ(DidYouMean("q", {"p"}), "");
  EXPECT_EQ(DidYouMean("load", {"store", "sink"}, "otherwise"), "otherwise");
}

}  // namespace
}  // namespace bue::lang
