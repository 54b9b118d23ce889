#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The regions but the top, as `variable<parent source`, with the source as `n` and a node or `r`
// and a number.
std::vector<std::string> Regions(const Program& program) {
  std::vector<std::string> regions;
  for (size_t i = 1; i < program.regions.size(); ++i) {
    const Region& region = program.regions[i];
    std::string text = absl::StrCat(region.variable, "<", region.parent, " ");
    absl::StrAppend(&text, region.source_node == kNoNode ? "r" : "n",
                    region.source_node == kNoNode ? region.range : region.source_node);
    if (region.by != 0) absl::StrAppend(&text, " by ", region.by);
    regions.push_back(text);
  }
  return regions;
}

Program Loops(const std::string& script) { return Accept(kSteps + script); }

TEST(Loops, GoOverTheLastStepOfACall) {
  const Program program = Loops("p = a | b\nv = pa()\nfor x in p(v, v):\n  pc(x, v)\n");
  EXPECT_THAT(Nodes(program), ElementsAre("a()@0", "a(0,0)@0", "b(1)@0", "c(e1,0)@1"));
  EXPECT_THAT(Regions(program), ElementsAre("x<0 n2"));
  EXPECT_EQ(program.regions[1].line, 10u);
}

TEST(Loops, GoOverAValueOfThisLevelOrOneAround) {
  const Program program = Loops(
      "v = pa()\nfor x in v:\n  for y in v by 10:\n    pb(x, y)\n  w = pc(x)\n  for z in w:\n    "
      "pb(z)\n");
  EXPECT_THAT(Regions(program), ElementsAre("x<0 n0", "y<1 n0 by 10", "z<1 n2"));
  EXPECT_THAT(Nodes(program), ElementsAre("a()@0", "b(e1,e2)@2", "c(e1)@1", "b(e3)@3"));
}

TEST(Loops, GoOverAnElementThroughAListStep) {
  const Program program =
      Loops("!scope s\n!3\n!retries 5\nfor x in pa():\n  for y in x:\n    pb(y)\n");
  EXPECT_THAT(Nodes(program), ElementsAre("a()@0", "items of x(e1)@1", "b(e2)@2"));
  EXPECT_THAT(Regions(program), ElementsAre("x<0 n0", "y<1 n1"));
  const Step list = StepNamed(program, "items of x");
  EXPECT_EQ(list.language, Language::kList);
  EXPECT_EQ(list.scope, "s");
  EXPECT_EQ(list.priority, 3);
  EXPECT_EQ(list.retries, 0);
  EXPECT_EQ(list.file, kNoFile);
}

TEST(Loops, GoOverAFanInThroughAListStep) {
  const Program program = Loops("for x in pa():\n  y = pb(x)\nfor z in y:\n  pc(z)\n");
  EXPECT_THAT(Nodes(program), ElementsAre("a()@0", "b(e1)@1", "items of y(1)@0", "c(e2)@2"));
  EXPECT_THAT(Regions(program), ElementsAre("x<0 n0", "z<0 n2"));
}

TEST(Loops, GoOverNumbers) {
  const Program program = Loops(
      "for i in range(8):\n  pa(i)\nfor i in range ( 0 ):\n  pa(i)\n"
      "for i in range(1_000) by 30:\n  pa(i)\n");
  EXPECT_THAT(Regions(program), ElementsAre("i<0 r8", "i<0 r0", "i<0 r1000 by 30"));
}

TEST(Loops, OverRangeTakeOneWholeNumber) {
  for (const std::string range : {"range(-1)", "range(x)", "range()", "range(1, 2)", "range(1.5)",
                                  "range(2000000000000)", "range(\"3x\")"}) {
    EXPECT_THAT(Reject(kSteps + ("for i in " + range) + ":\n  pa(i)\n"),
                ElementsAre(HasSubstr("`range` takes one whole number")))
        << range;
  }
}

TEST(Loops, APipeCalledRangeIsAPipe) {
  const Program program = Loops("range = | a\nv = pa()\nfor i in range(v):\n  pb(i)\n");
  EXPECT_THAT(Regions(program), ElementsAre("i<0 n1"));
}

TEST(Loops, ByTakesAPositiveNumber) {
  for (const std::string by :
       {"pa() by 0", "pa() by", "pa() by x", "pa() by -1", "v by 1.5", "v by x"}) {
    EXPECT_THAT(Reject(kSteps + ("v = pa()\nfor i in " + by) + ":\n  pa(i)\n"),
                ElementsAre(HasSubstr("`by` takes a whole number above 0")))
        << by;
  }
  // A value's name may hold the word.
  EXPECT_THAT(Regions(Loops("stand by = pa()\nfor x in stand by:\n  pb(x)\n")),
              ElementsAre("x<0 n0"));
}

TEST(Loops, NestToAnyDepthAllowed) {
  const Program program = Loops(
      "for x in pa():\n  for y in pb(x):\n    for z in pc(x, y):\n      pa(x, y, z)\n  "
      "pb(x)\npa()\n");
  EXPECT_THAT(Regions(program), ElementsAre("x<0 n0", "y<1 n1", "z<2 n2"));
  EXPECT_THAT(Nodes(program),
              ElementsAre("a()@0", "b(e1)@1", "c(e1,e2)@2", "a(e1,e2,e3)@3", "b(e1)@1", "a()@0"));
}

TEST(Loops, MayBeSpacedFreely) {
  EXPECT_THAT(Regions(Loops("for\tx   in\tpa (  )  :\n\n  # c\n\n pb(x)\n\n pb(x)\n")),
              ElementsAre("x<0 n0"));
}

TEST(Loops, OverAPipeWithoutStepsNeverRun) {
  const CompileResult result =
      CompileText(std::string(kSteps) + "p = |\nfor x in p():\n  y = pa(x)\npb(y)\n");
  ASSERT_TRUE(result.program);
  EXPECT_THAT(Regions(*result.program), ElementsAre("x<0 r0"));
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("8:1 the pipe 'p' has no steps"),
                                            HasSubstr("9:10 the loop goes over 'p'")));
}

TEST(Loops, WrongOnesAreErrors) {
  struct Case {
    const char* loop;
    const char* error;
  };
  const Case cases[] = {
      {"for x in pa():\npb()\n", "8:1 the loop has no body"},
      {"for x in pa():\n", "8:1 the loop has no body"},
      {"for x in pa(): pb(x)\n", "8:16 a loop's body cannot stand in the loop's line"},
      {"for x in pa()\n  pb(x)\n", "8:13 a ':' is missing at the loop's end"},
      {"for x, y in pa():\n  pb(x, y)\n", "8:5 a loop has one variable, not 'x, y'"},
      {"for in pa():\n  pb()\n", "8:4 the loop variable's name is missing"},
      {"for x in :\n  pb(x)\n", "8:1 the loop has nothing to go over"},
      {"for x in pa:\n  pb(x)\n", "8:10 'pa' is a pipe, not a value"},
      {"for x in [1, 2]:\n  pb(x)\n", "8:10 a loop cannot go over the literal '[1, 2]'"},
      {"for x in 5:\n  pb(x)\n", "8:10 a loop cannot go over the literal '5'"},
      {"for x in pa() foo:\n  pb(x)\n", "8:15 'foo' behind the call"},
      {"for x in nothing:\n  pb(x)\n", "8:10 no value named 'nothing'"},
      {"for x in pd():\n  pb(x)\n", "8:10 no pipe named 'pd'"},
      {"for x in pa(pb()):\n  pb(x)\n", "8:15 a call cannot be an argument"},
      {"for x in x:\n  pb(x)\n",
       "8:10 'x' is the variable of the loop in line 8, and is known only "
       "in there"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(Reject(std::string(kSteps) + c.loop), ElementsAre(c.error)) << c.loop;
  }
}

TEST(Loops, APipesNameAsSourceGetsAHint) {
  const CompileResult result = CompileText(std::string(kSteps) + "for x in pa:\n  pb(x)\n");
  ASSERT_EQ(result.diagnostics.size(), 1u);
  EXPECT_EQ(result.diagnostics[0].hint, "call it: `for x in pa():`");
}

TEST(Loops, BodiesOfBrokenLoopsAreStillLookedAt) {
  EXPECT_THAT(Reject(std::string(kSteps) + "for x in pz():\n  y = pb(x)\n  pz2(y)\npa(y)\n"),
              ElementsAre("8:10 no pipe named 'pz'", "10:3 no pipe named 'pz2'"));
}

}  // namespace
}  // namespace bue::lang
