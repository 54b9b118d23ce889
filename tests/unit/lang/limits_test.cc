// Each limit of CompileLimits is hit, and named in its error; large scripts compile in linear time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/patience.h"
#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<std::string> RejectWith(const CompileLimits& limits, const std::string& text,
                                    FileSource* files = nullptr) {
  const CompileResult result = Compile(text, "test.bue", files, {.limits = limits});
  EXPECT_FALSE(result.program.has_value());
  return Errors(result);
}

TEST(Limits, ScriptBytes) {
  EXPECT_THAT(RejectWith({.script_bytes = 10}, "# 3456789 1"),
              ElementsAre(HasSubstr("the script has 11 bytes: at most 10")));
}

TEST(Limits, NestingDepth) {
  std::string text = kSteps;
  std::string indent;
  for (int i = 0; i < 65; ++i, indent += ' ') absl::StrAppend(&text, indent, "for x in pa():\n");
  absl::StrAppend(&text, indent, "pb(x)\n");
  EXPECT_THAT(Reject(text), ElementsAre("72:65 loops are nested more than 64 deep"));
}

TEST(Limits, NameCharacters) {
  const std::string name(201, 'n');
  EXPECT_THAT(Reject(name + ":\n  python\n  f\n  s.py\n"),
              ElementsAre("1:1 the step's name is longer than 200 characters"));
  EXPECT_THAT(Reject("!scope " + name + "\n"),
              ElementsAre(HasSubstr("longer than 200 characters")));
  std::string umlauts;
  for (int i = 0; i < 200; ++i) umlauts += "ü";
  Accept(umlauts + ":\n  python\n  f\n  s.py\n");
}

TEST(Limits, PathBytes) {
  EXPECT_THAT(Reject("a:\n  python\n  f\n  " + std::string(5000, 'x') + "\n"),
              ElementsAre(HasSubstr("4:3 'xxxx")));
}

TEST(Limits, PipeSteps) {
  EXPECT_THAT(RejectWith({.pipe_steps = 3}, std::string(kSteps) + "p = a|a|a|a\np()\n"),
              ElementsAre("8:1 the pipe has 4 steps: at most 3 are allowed"));
}

TEST(Limits, CallArguments) {
  EXPECT_THAT(RejectWith({.call_arguments = 2}, std::string(kSteps) + "v = pa()\npa(v, v, v)\n"),
              ElementsAre("9:1 the call has more than 2 arguments"));
}

TEST(Limits, Nodes) {
  EXPECT_THAT(RejectWith({.nodes = 5}, std::string(kSteps) + "p = a|b|c\np()\np()\n"),
              ElementsAre(HasSubstr("the calls make 6 tasks: at most 5")));
}

TEST(Limits, Files) {
  FakeFiles files({{"s.py", "import t, u"}, {"t.py", ""}, {"u.py", ""}});
  EXPECT_THAT(RejectWith({.files = 2}, kSteps, &files),
              ElementsAre(HasSubstr("more than 2 files would travel")));
  EXPECT_THAT(RejectWith({.files_bytes = 10}, kSteps, &files),
              ElementsAre(HasSubstr("'s.py', are larger than 10 bytes")));
}

TEST(Limits, InlineCodeBytes) {
  // Each entry of an import list gets the code.
  EXPECT_THAT(RejectWith({.inline_code_bytes = 10}, "import python (f, g, h) `1234`\n"),
              ElementsAre(HasSubstr("more than 10 bytes of code")));
}

TEST(Limits, RangeElements) {
  EXPECT_THAT(
      RejectWith({.range_elements = 5}, std::string(kSteps) + "for i in range(6):\n  pa(i)\n"),
      ElementsAre(HasSubstr("`range` takes one whole number")));
}

TEST(Limits, DiagnosticsAreCountedBeyondTheirNumber) {
  std::string text;
  for (int i = 0; i < 150; ++i) absl::StrAppend(&text, "garbage ", i, "\n");
  const CompileResult result = CompileText(text);
  ASSERT_THAT(result.diagnostics, SizeIs(101));
  EXPECT_EQ(result.diagnostics[99].message, "this line is not understood: 'garbage 99'");
  EXPECT_EQ(result.diagnostics[100].message, "and 50 more errors");
  EXPECT_EQ(result.diagnostics[100].line, 0u);
}

TEST(Limits, MessagesQuoteTheBeginningOfLongLines) {
  const std::vector<std::string> errors =
      Reject(std::string(kSteps) + "pa('" + std::string(1 << 20, 'x') + "')\n");
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_LT(errors[0].size(), 500u);
}

// Generous: a tenth of it is usual. Quadratic work would take minutes.
const absl::Duration kPatience = Patience(absl::Seconds(30));

TEST(Scale, ManyCallsInBothDirectionsCompileInLinearTime) {
  std::string text = kSteps;
  const int count = 300'000;
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, "v", i, " = pa(v", i + 1, ")\n");
  absl::StrAppend(&text, "v", count, " = pa()\n");
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, "w", i + 1, " = pb(v", i, ")\n");
  const absl::Time start = absl::Now();
  EXPECT_THAT(Accept(text).nodes, SizeIs(2 * count + 1));
  EXPECT_LT(absl::Now() - start, kPatience);
}

TEST(Scale, ManyUnknownNamesAreReportedInLinearTime) {
  std::string text = kSteps;
  for (int i = 0; i < 200'000; ++i) absl::StrAppend(&text, "v", i, " = pq", i, "(z", i, ")\n");
  const absl::Time start = absl::Now();
  EXPECT_THAT(Reject(text), SizeIs(101));
  EXPECT_LT(absl::Now() - start, kPatience);
}

TEST(Scale, ManyDefinitionsAndLoopsCompileInLinearTime) {
  std::string text = kSteps;
  for (int i = 0; i < 50'000; ++i) {
    absl::StrAppend(&text, "s", i, ":\n python\n f\n s.py\np", i, " = s", i, " | a\nfor x in p", i,
                    "():\n y", i, " = pb(x)\npc(y", i, ")\n");
  }
  const absl::Time start = absl::Now();
  EXPECT_THAT(Accept(text).regions, SizeIs(50'001));
  EXPECT_LT(absl::Now() - start, kPatience);
}

}  // namespace
}  // namespace bue::lang
