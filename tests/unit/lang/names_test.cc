// What a name means: values, steps, pipes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> NodesOf(const std::string& script) {
  return Nodes(Accept(kSteps + script));
}

TEST(ValueNames, MeanTheNearestBindingAbove) {
  EXPECT_THAT(NodesOf("v = pa()\nv = pb(v)\nv = pb(v)\npc(v)\n"),
              ElementsAre("a()@0", "b(0)@0", "b(1)@0", "c(2)@0"));
  EXPECT_THAT(NodesOf("v = pa()\npb(v)\nv = pc()\n"), ElementsAre("a()@0", "b(0)@0", "c()@0"));
}

TEST(ValueNames, ElseMeanTheFirstBindingBelow) {
  EXPECT_THAT(NodesOf("pc(v)\nv = pb(u)\nu = pa()\nv = pa()\n"),
              ElementsAre("a()@0", "b(0)@0", "c(1)@0", "a()@0"));
  // A call does not bind what it needs itself.
  EXPECT_THAT(NodesOf("v = pb(v)\nv = pa()\n"), ElementsAre("a()@0", "b(0)@0"));
}

TEST(ValueNames, InABodyMeanThatOfTheBodyFirst) {
  EXPECT_THAT(NodesOf("v = pa()\nfor x in pa():\n  pb(v)\n  v = pc(v)\n  pb(v)\n"),
              ElementsAre("a()@0", "a()@0", "b(0)@1", "c(0)@1", "b(3)@1"));
  // Below in the body comes before below in the level around.
  EXPECT_THAT(NodesOf("for x in pa():\n  pb(v)\n  v = pc()\nv = pa()\n"),
              ElementsAre("a()@0", "c()@1", "b(1)@1", "a()@0"));
  EXPECT_THAT(NodesOf("for x in pa():\n  pb(v)\nv = pc()\n"),
              ElementsAre("a()@0", "c()@0", "b(1)@1"));
}

TEST(ValueNames, LoopVariableMayBeReboundInTheBody) {
  EXPECT_THAT(NodesOf("for x in pa():\n  x = pb(x)\n  pc(x)\n"),
              ElementsAre("a()@0", "b(e1)@1", "c(1)@1"));
  EXPECT_THAT(NodesOf("x = pa()\nfor x in pa():\n  pb(x)\npc(x)\n"),
              ElementsAre("a()@0", "a()@0", "b(e1)@1", "c(0)@0"));
}

TEST(ValueNames, InALoopsHeaderMeanThoseAroundIt) {
  EXPECT_THAT(NodesOf("x = pa()\nfor x in pb(x):\n  pc(x)\n"),
              ElementsAre("a()@0", "b(0)@0", "c(e1)@1"));
}

TEST(ValueNames, LoopVariableEndsWithItsLoop) {
  EXPECT_THAT(
      Reject(std::string(kSteps) + "for x in pa():\n  pb(x)\npc(x)\nfor y in pa():\n  pc(x)\n"),
      ElementsAre(HasSubstr("10:4 'x' is the variable of the loop in line 8"),
                  HasSubstr("12:6 'x' is the variable of the loop in line 8")));
}

TEST(ValueNames, UnknownOnesGetASuggestion) {
  const CompileResult result =
      CompileText(std::string(kSteps) +
                  "account = pa()\nfor item in pa():\n  pb(acount)\n  pb(itm)\n  pb(zzz)\n");
  ASSERT_EQ(result.diagnostics.size(), 3u);
  EXPECT_EQ(result.diagnostics[0].hint, "did you mean `account`?");
  EXPECT_EQ(result.diagnostics[1].hint, "did you mean `item`?");
  EXPECT_THAT(result.diagnostics[2].hint, HasSubstr("values are bound by calls"));
}

TEST(ValueNames, ThatNeedEachOtherAreAnError) {
  EXPECT_THAT(
      Reject(std::string(kSteps) + "v = pa(u)\nu = pb(v)\n"),
      ElementsAre("8:5 values need each other: 'v' (line 8) needs 'u' (line 9), which needs "
                  "'v' (line 8)"));
  EXPECT_THAT(Reject(std::string(kSteps) + "a = pa(b)\nb = pb(c)\nc = pc(a)\n"),
              ElementsAre(HasSubstr("values need each other")));
}

TEST(ValueNames, ThatALoopNeedsFromItsOwnListAreAnError) {
  // Through the loop's source, and through a value that the body reads.
  EXPECT_THAT(Reject(std::string(kSteps) + "for x in pa(v):\n  y = pb(x)\nv = pc(y)\n"),
              ElementsAre(HasSubstr("values need each other: the loop in line 8")));
  EXPECT_THAT(Reject(std::string(kSteps) + "for x in pa():\n  y = pb(x)\n  pb(z)\nz = pc(y)\n"),
              ElementsAre(HasSubstr("values need each other: the loop in line 8")));
}

TEST(FanIn, IsAValueOfABodyUsedBehindTheLoop) {
  EXPECT_THAT(NodesOf("for x in pa():\n  y = pb(x)\npc(y)\n"),
              ElementsAre("a()@0", "b(e1)@1", "c(1)@0"));
  // In the next loop as well, and of the innermost of two.
  EXPECT_THAT(NodesOf("for x in pa():\n  for z in pa():\n    y = pb(z, x)\n  w = pc(y)\n"
                      "for q in pa():\n  pc(w, y)\n"),
              ElementsAre("a()@0", "a()@1", "b(e2,e1)@2", "c(2)@1", "a()@0", "c(3,2)@3"));
}

TEST(FanIn, IsTheLastBindingOfTheBody) {
  EXPECT_THAT(NodesOf("for x in pa():\n  y = pb(x)\n  y = pc(y)\npa(y)\n"),
              ElementsAre("a()@0", "b(e1)@1", "c(1)@1", "a(2)@0"));
}

TEST(FanIn, OfTwoLoopsIsThatOfTheNearest) {
  EXPECT_THAT(NodesOf("for x in pa():\n  y = pb(x)\nfor x in pa():\n  y = pc(x)\npa(y)\n"),
              ElementsAre("a()@0", "b(e1)@1", "a()@0", "c(e2)@2", "a(3)@0"));
}

TEST(FanIn, ComesBeforeABindingBelow) {
  EXPECT_THAT(NodesOf("for x in pa():\n  y = pb(x)\npc(y)\ny = pa()\n"),
              ElementsAre("a()@0", "b(e1)@1", "c(1)@0", "a()@0"));
}

TEST(FanIn, IsHiddenByABindingAboveWithAWarning) {
  const CompileResult result =
      CompileText(std::string(kSteps) + "v = pa()\nfor x in pa():\n  v = pb(x, v)\npc(v)\n");
  ASSERT_TRUE(result.program);
  EXPECT_THAT(Nodes(*result.program), ElementsAre("a()@0", "a()@0", "b(e1,0)@1", "c(0)@0"));
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("11:4 'v' means what line 8 binds")));
}

TEST(FanIn, IsNotKnownAboveItsLoop) {
  EXPECT_THAT(Reject(std::string(kSteps) + "pc(y)\nfor x in pa():\n  y = pb(x)\n"),
              ElementsAre("8:4 'y' is bound inside the loop in line 9, which is below"));
}

TEST(Order, PutsANodeBehindWhatItNeeds) {
  EXPECT_THAT(NodesOf("for x in pa():\n  pb(x, later)\nlater = pc(early)\nearly = pa()\n"),
              ElementsAre("a()@0", "a()@0", "c(1)@0", "b(e1,2)@1"));
  EXPECT_THAT(NodesOf("for x in v:\n  for y in x:\n    pb(y, z)\nv = pa()\nz = pc()\n"),
              ElementsAre("a()@0", "items of x(e1)@1", "c()@0", "b(e2,2)@2"));
  // A list made below of a loop below.
  EXPECT_THAT(NodesOf("for x in w:\n  pc(x)\nw = pc(u)\nu = pa()\n"),
              ElementsAre("a()@0", "c(0)@0", "c(e1)@1"));
}

TEST(Order, IsTheTextsWhereNothingSpeaksAgainstIt) {
  EXPECT_THAT(NodesOf("pa()\npb()\npc(v)\npa()\nv = pb()\npc()\n"),
              ElementsAre("a()@0", "b()@0", "b()@0", "c(2)@0", "a()@0", "c()@0"));
}

TEST(DefinitionNames, OfABodyComeBeforeThoseAround) {
  const Program program = Accept(std::string(kSteps) +
                                 "for x in pa():\n"
                                 "  import python (g as b) t.py\n"
                                 "  pa = a | b\n"
                                 "  pa(x)\n"
                                 "  pb(x)\n"
                                 "pb()\n");
  ASSERT_EQ(Nodes(program).size(), 5u);
  // The pipe of the top finds the body's step when it is called there.
  EXPECT_EQ(program.steps[program.nodes[2].step].relation, "g");
  EXPECT_EQ(program.steps[program.nodes[3].step].relation, "g");
  EXPECT_EQ(program.steps[program.nodes[4].step].relation, "f");
}

TEST(DefinitionNames, OfABodyAreUnknownOutside) {
  EXPECT_THAT(Reject(std::string(kSteps) +
                     "for x in pa():\n  import python (g as d) t.py\n  pd = | d\n  pd(x)\npd()\n"),
              ElementsAre("12:1 no pipe named 'pd'"));
}

TEST(DefinitionNames, MayStandBelowTheirUse) {
  EXPECT_THAT(Nodes(Accept("p()\np = | a\na:\n  python\n  f\n  s.py\n")), ElementsAre("a()@0"));
}

TEST(DefinitionNames, LiveApartFromThoseOfValues) {
  EXPECT_THAT(NodesOf("pa = pa()\npb(pa)\nfor pb in pa():\n  pb(pb)\na = pc()\npb(a)\n"),
              ElementsAre("a()@0", "b(0)@0", "a()@0", "b(e1)@1", "c()@0", "b(4)@0"));
}

TEST(DefinitionNames, UnknownOnesGetASuggestion) {
  const CompileResult result = CompileText(
      "import python (f as load) s.py\nload_pipe = load | loda\nlaod_pipe()\nload_pipe()\n");
  ASSERT_EQ(result.diagnostics.size(), 2u);
  EXPECT_EQ(result.diagnostics[0].hint, "did you mean `load`?");
  EXPECT_EQ(result.diagnostics[1].hint, "did you mean `load_pipe`?");
}

TEST(Bindings, NameTheLastNodeOfEachRegionsValues) {
  const Program program =
      Accept(std::string(kSteps) + "p = a | b\nv = p()\nv = p(v)\nfor x in pa():\n  v = pc(x)\n");
  ASSERT_EQ(program.bindings.size(), 2u);
  EXPECT_EQ(program.bindings[0].name, "v");
  EXPECT_EQ(program.bindings[0].region, 0u);
  EXPECT_EQ(program.bindings[0].node, 3u);
  EXPECT_EQ(program.bindings[1].region, 1u);
  EXPECT_EQ(program.bindings[1].node, 5u);
}

}  // namespace
}  // namespace bue::lang
