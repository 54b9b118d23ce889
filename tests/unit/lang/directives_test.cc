#include "common/lang/directives.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/program/program_codec.h"
#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The step of a definition with these directives.
Step With(const std::string& directives) {
  Directives parsed;
  const ParsedDirective result = ParseDirective(directives, CompileLimits(), &parsed);
  EXPECT_TRUE(result.ok) << directives << ": " << result.error;
  Step step;
  parsed.ApplyTo(&step);
  return step;
}

std::string ErrorOf(const std::string& directive) {
  Directives parsed;
  const ParsedDirective result = ParseDirective(directive, CompileLimits(), &parsed);
  EXPECT_FALSE(result.ok) << directive;
  return result.error;
}

TEST(Directives, ScopeInBothForms) {
  EXPECT_EQ(With("!scope testing-small").scope, "testing-small");
  EXPECT_EQ(With("$ production heavy").scope, "production heavy");
  EXPECT_EQ(With("$x").scope, "x");
  EXPECT_EQ(With("!scope \"a b\"").scope, "a b");
}

TEST(Directives, PriorityInBothForms) {
  EXPECT_EQ(With("!priority 9").priority, 9);
  EXPECT_EQ(With("!priority -2").priority, -2);
  EXPECT_EQ(With("!priority +3").priority, 3);
  EXPECT_EQ(With("!priority 1_000").priority, 1000);
  EXPECT_EQ(With("!9").priority, 9);
  EXPECT_EQ(With("! 9").priority, 9);
  EXPECT_EQ(With("!-5").priority, -5);
  EXPECT_EQ(With("!priority 2147483647").priority, 2147483647);
  EXPECT_EQ(With("!priority -2147483648").priority, -2147483647 - 1);
}

TEST(Directives, TimeoutIsArithmeticAndKeepsPythonsText) {
  EXPECT_EQ(With("!timeout 20 * 60").timeout_text, "1200");
  EXPECT_EQ(With("!timeout 60**2 * 5 / (1 % 2) // (1 + 1 - 1)").timeout_text, "18000.0");
  EXPECT_DOUBLE_EQ(With("!timeout .5").timeout_s, 0.5);
  EXPECT_DOUBLE_EQ(With("!timeout 30*24*3600").timeout_s, 2592000);
  EXPECT_DOUBLE_EQ(With("!timeout(1 + 2)").timeout_s, 3);
}

TEST(Directives, TheOthersTakeTheirValues) {
  EXPECT_EQ(With("!retries -1").retries, -1);
  EXPECT_EQ(With("!retries 3").retries, 3);
  EXPECT_DOUBLE_EQ(With("!backoff 1/2").backoff_s, 0.5);
  EXPECT_DOUBLE_EQ(With("!poll 0").poll_s, 0);
  EXPECT_EQ(With("!max_handbacks 7").max_handbacks, 7u);
  EXPECT_EQ(With("!mode async").mode, Mode::kAsync);
  EXPECT_EQ(With("!mode thread").mode, Mode::kThread);
  EXPECT_EQ(With("!mode process").mode, Mode::kProcess);
  EXPECT_EQ(With("!queue 10").queue, 10u);
  EXPECT_TRUE(With("!on_error stop").stop_on_error);
  EXPECT_FALSE(With("!on_error continue").stop_on_error);
  EXPECT_TRUE(With("!refill").refill);
}

TEST(Directives, LimitsMayBeSharedByKeyOrArgument) {
  const Limit running = With("!max_running 5 key api").max_running;
  EXPECT_EQ(running.count, 5u);
  EXPECT_EQ(running.key, "api");
  EXPECT_EQ(running.by, "");
  const Limit rate = With("!rate 90 / m by account").rate;
  EXPECT_EQ(rate.count, 90u);
  EXPECT_DOUBLE_EQ(rate.per_seconds, 60);
  EXPECT_EQ(rate.by, "account");
  EXPECT_DOUBLE_EQ(With("!rate 10/s").rate.per_seconds, 1);
  EXPECT_DOUBLE_EQ(With("!rate 10/h").rate.per_seconds, 3600);
}

TEST(Directives, WrongValuesNameTheDirectiveTheValueAndWhatIsAllowed) {
  struct Case {
    const char* directive;
    const char* mentions;
  };
  const Case cases[] = {
      {"!scope", "!scope needs a value"},
      {"$", "needs a value"},
      {"!scope \"\"", "needs a value"},
      {"!priority high", "'high'"},
      {"!priority", "!priority needs a value"},
      {"!priority 1.5", "'1.5'"},
      {"!priority 2147483648", "32 bits"},
      {"!priority 3 4", "'3 4'"},
      {"!", "priority"},
      {"!9x", "'9x'"},
      {"!timeout", "!timeout needs a value"},
      {"!timeout 0", "above 0"},
      {"!timeout 1 - 5", "is -4 seconds"},
      {"!timeout 30*24*3600 + 1", "30 days"},
      {"!timeout 9**9**9", "too large"},
      {"!timeout 20 minutes", "'20 minutes'"},
      {"!backoff 0 - 1", "from 0"},
      {"!poll -1", "from 0"},
      {"!max_running 2 key a by b", "not both"},
      {"!rate 2/s by b key a", "not both"},
      {"!poll soon", "'soon'"},
      {"!retries -2", "-1 (for ever)"},
      {"!retries 99999999999999999999", "up to 9223372036854775807"},
      {"!max_handbacks -1", "0 or more"},
      {"!mode", "async, thread or process"},
      {"!mode fork", "'fork'"},
      {"!max_running", "above 0"},
      {"!max_running 0", "above 0"},
      {"!max_running 9223372036854775808", "above 0, up to 9223372036854775807"},
      {"!max_running 5 api", "`key WORD`"},
      {"!max_running 5 key", "`key WORD`"},
      {"!queue 0", "above 0"},
      {"!queue 5 key k", "has 'key k' behind the number: a queue has no key"},
      {"!queue 5 by x", "'by x' behind the number"},
      {"!queue 5 6", "'5 6'"},
      {"!rate 10", "10/s"},
      {"!rate 10/day", "'day'"},
      {"!rate 0/s", "above 0"},
      {"!rate 1.5/s", "'1.5'"},
      {"!on_error", "continue or stop"},
      {"!on_error abort", "'abort'"},
      {"!refill 5", "no value"},
      {"!velocity 3", "unknown directive '!velocity'"},
      {"!Scope x", "unknown directive '!Scope'"},
      {"!scopes x", "unknown directive '!scopes'"},
      {"!priority9", "unknown directive '!priority9'"},
  };
  for (const Case& c : cases) EXPECT_THAT(ErrorOf(c.directive), HasSubstr(c.mentions));
}

TEST(Directives, UnknownOnesGetASuggestion) {
  Directives parsed;
  EXPECT_EQ(ParseDirective("!scopes x", {}, &parsed).hint, "did you mean `!scope`?");
  EXPECT_EQ(ParseDirective("!tiemout 5", {}, &parsed).hint, "did you mean `!timeout`?");
  EXPECT_THAT(ParseDirective("!priority9", {}, &parsed).hint, HasSubstr("blank is missing"));
  EXPECT_EQ(ParseDirective("!max-running 3", {}, &parsed).hint, "did you mean `!max_running`?");
  EXPECT_EQ(ParseDirective("!max-running 3", {}, &parsed).error,
            "unknown directive '!max-running'");
  EXPECT_EQ(ParseDirective("!on-error stop", {}, &parsed).hint, "did you mean `!on_error`?");
  EXPECT_THAT(ParseDirective("!velocity 3", {}, &parsed).hint, HasSubstr("!max_running"));
}

TEST(Directives, DefaultsAreTheDocumentedOnes) {
  const Step step = StepNamed(Accept("a:\n  python\n  f\n  s.py\n"), "a");
  EXPECT_EQ(step.scope, "default");
  EXPECT_EQ(step.priority, 0);
  EXPECT_EQ(step.timeout_text, "1200");
  EXPECT_EQ(step.retries, 0);
  EXPECT_EQ(step.backoff_s, 1);
  EXPECT_EQ(step.poll_s, 5);
  EXPECT_EQ(step.max_handbacks, 0u);
  EXPECT_EQ(step.mode, Mode::kAuto);
  EXPECT_EQ(step.max_running.count, 0u);
  EXPECT_EQ(step.queue, 0u);
  EXPECT_EQ(step.rate.count, 0u);
  EXPECT_FALSE(step.stop_on_error);
  EXPECT_FALSE(step.refill);
}

TEST(Directives, StandAnywhereInABlockBeforeTheSource) {
  const Program program = Accept(
      "a:\n  !scope s\n  !9\n  python\n  !timeout 2*3\n  f\n  !retries 4\n  $ t !poll 1\n  s.py\n");
  const Step step = StepNamed(program, "a");
  EXPECT_EQ(step.scope, "t");
  EXPECT_EQ(step.priority, 9);
  EXPECT_EQ(step.timeout_s, 6);
  EXPECT_EQ(step.retries, 4);
  EXPECT_EQ(step.poll_s, 1);
}

TEST(Directives, BehindTheSourceTheyAreErrors) {
  EXPECT_THAT(Reject("a:\n  python\n  f\n  s.py\n  !retries 4\n"),
              ElementsAre(HasSubstr("5:3 '!retries 4' stands behind the source of 'a'")));
}

TEST(Directives, StandInImportEntriesSeveralAtATime) {
  const Program program = Accept(
      "import python (\n"
      "  f as a\n    !scope s  # why\n    !timeout (60 * (1 + 1))\n    !retries 2,\n"
      "  g $ heavy x !4,\n"
      ") s.py\n");
  EXPECT_EQ(StepNamed(program, "a").scope, "s");
  EXPECT_EQ(StepNamed(program, "a").timeout_s, 120);
  EXPECT_EQ(StepNamed(program, "a").retries, 2);
  EXPECT_EQ(StepNamed(program, "g").scope, "heavy x");
  EXPECT_EQ(StepNamed(program, "g").priority, 4);
}

TEST(Directives, TheLastOfAKindHoldsForTheWholeFileWithAWarning) {
  const CompileResult result =
      CompileText("!priority 1\n!scope one\na:\n  python\n  f\n  s.py\n!scope two\n!0\n!7\n");
  ASSERT_TRUE(result.program);
  EXPECT_EQ(result.program->steps[0].scope, "two");
  EXPECT_EQ(result.program->steps[0].priority, 7);
  EXPECT_THAT(Warnings(result),
              ElementsAre(HasSubstr("7:1 '!scope'"), HasSubstr("8:1 '!'"), HasSubstr("9:1 '!'")));
}

TEST(Directives, OldScopesCountInOrder) {
  const CompileResult result = CompileText(
      "a:\n  python\n  f\n  s.py\n\n$ one\nb:\n  python\n  f\n  s.py\n\n$ two\n"
      "import python (f as c, f as d !scope own) s.py\n!scope file\n");
  ASSERT_TRUE(result.program);
  EXPECT_EQ(StepNamed(*result.program, "a").scope, "file");
  EXPECT_EQ(StepNamed(*result.program, "b").scope, "one");
  EXPECT_EQ(StepNamed(*result.program, "c").scope, "two");
  EXPECT_EQ(StepNamed(*result.program, "d").scope, "own");
  EXPECT_THAT(Warnings(result), IsEmpty());
}

TEST(Directives, AnOldScopeRightUnderABlockIsTheFilesWithAWarning) {
  const CompileResult result =
      CompileText("a:\n  python\n  f\n  s.py\n$ one\nb:\n  python\n  f\n  s.py\n");
  ASSERT_TRUE(result.program);
  EXPECT_EQ(StepNamed(*result.program, "a").scope, "default");
  EXPECT_EQ(StepNamed(*result.program, "b").scope, "one");
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("5:1 this scope is that of")));
}

TEST(Directives, OfALoopsBodyHoldForItAndTheBodiesInside) {
  const std::string text = std::string(kSteps) +
                           "!retries 1\n"
                           "for x in pa():\n"
                           "  !retries 2\n"
                           "  $ inner\n"
                           "  d:\n    python\n    f\n    s.py\n"
                           "  pd = | d\n"
                           "  for y in pd(x):\n"
                           "    !scope innermost\n"
                           "    e:\n      python\n      f\n      s.py\n"
                           "for z in pa():\n"
                           "  g:\n    python\n    f\n    s.py\n";
  // The innermost body is empty but for definitions, which is fine.
  const Program program = Accept(text);
  EXPECT_EQ(StepNamed(program, "a").retries, 1);
  EXPECT_EQ(StepNamed(program, "a").scope, "default");
  EXPECT_EQ(StepNamed(program, "d").retries, 2);
  EXPECT_EQ(StepNamed(program, "d").scope, "inner");
  EXPECT_EQ(StepNamed(program, "e").retries, 2);
  EXPECT_EQ(StepNamed(program, "e").scope, "innermost");
  EXPECT_EQ(StepNamed(program, "g").retries, 1);
  EXPECT_EQ(StepNamed(program, "g").scope, "default");
}

// What each node's limits go by, as Nodes() has inputs.
std::vector<std::string> By(const std::string& text) {
  Program program = Accept(text);
  for (Node& node : program.nodes) node.inputs = ByOf(program, node);
  return Nodes(program);
}

TEST(Directives, ALimitGoesByWhatTheCallPassesAndByVariablesOfLoopsAroundIt) {
  const std::string steps =
      "import python (f !max_running 2 by x, g !rate 3/s by x, h !max_running 2 key x,\n"
      "    i !max_running 1 by y !rate 2/s by x, s) s.py\n"
      "pf = | f\npg = s | g\nph = | h\npi = | i\nps = | s\n";
  EXPECT_THAT(By(steps + "x = ps()\npf(x)\n"), ElementsAre("s()@0", "f(0)@0"));
  // A variable that hides a value, and steps behind the one that takes it.
  EXPECT_THAT(By(steps + "x = ps()\nfor x in x:\n  pf(x)\n  pg(x)\n  ph(x)\n"),
              ElementsAre("s()@0", "f(e1)@1", "s()@1", "g(e1)@1", "h()@1"));
  EXPECT_THAT(By(steps + "for x in range(3):\n  for y in ps():\n    pi(y)\n"),
              ElementsAre("s()@1", "i(e2,e1)@2"));
}

TEST(Directives, TheHubRefusesLimitsByValuesThatItsNodesDoNotName) {
  const Program program = Accept(
      "import python (f !max_running 2 by x, s) s.py\npf = | f\nps = | s\n"
      "for x in ps():\n  pf(x)\n  pf(x)\n");
  const auto takes = [](const Program& changed) {
    v1::Program proto;
    ToProto(changed, &proto);
    return FromProto(proto).ok();
  };
  EXPECT_TRUE(takes(program));
  Program some = program;
  some.nodes[2].by = 0;
  EXPECT_FALSE(takes(some));
  Program none = some;  // Of a version that told no values apart.
  none.nodes[1].by = 0;
  EXPECT_TRUE(takes(none));
  Program far = program;
  SetBy({{Input::Kind::kElement, 7}}, &far, &far.nodes[1]);
  EXPECT_FALSE(takes(far));
  Program both = program;
  both.steps[0].max_running.key = "k";
  EXPECT_FALSE(takes(both));
}

TEST(Directives, ALimitByANameThatStandsForNothingIsRefused) {
  const std::string steps = "import python (f !max_running 2 by x, s) s.py\npf = | f\nps = | s\n";
  EXPECT_THAT(Reject(steps + "y = ps()\npf(y)\n"),
              ElementsAre(AllOf(HasSubstr("5:"), HasSubstr("the limit `by x` of the step 'f'"))));
  // All values of a loop are no value.
  EXPECT_THAT(Reject(steps + "for y in ps():\n  x = ps(y)\npf(x)\n"),
              ElementsAre(HasSubstr("goes by a list of what the items of a loop made")));
}

TEST(Directives, RefillAndModeAreAboutPython) {
  EXPECT_THAT(Reject("q:\n  sqlite3\n  !refill\n  t\n  `select 1`\n"),
              ElementsAre(HasSubstr("3:3 '!refill' is for Python steps only")));
  const CompileResult result = CompileText(
      "!mode thread\nq:\n  sqlite3\n  !mode process\n  t\n  `select 1`\n"
      "import python (f !refill) s.py\n");
  ASSERT_TRUE(result.program);
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("4:3 '!mode' has no effect")));
  EXPECT_THAT(Reject("!refill\nimport python (f) s.py\n"),
              ElementsAre(HasSubstr("1:1 `!refill` belongs to one step")));
  EXPECT_EQ(StepNamed(*result.program, "q").mode, Mode::kAuto);
  EXPECT_FALSE(StepNamed(*result.program, "q").refill);
  EXPECT_EQ(StepNamed(*result.program, "f").mode, Mode::kThread);
  EXPECT_TRUE(StepNamed(*result.program, "f").refill);
}

TEST(Directives, VelocityIsAcceptedWithAWarning) {
  const CompileResult result = CompileText("a:\n  @ 5 * 2\n  python\n  f\n  s.py\n@ tag\n");
  EXPECT_TRUE(result.program);
  EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("2:3 `@`"), HasSubstr("6:1 `@`")));
}

TEST(Directives, RatesThatAreNoWholeNumberSayWhichIsTheSame) {
  EXPECT_EQ(ErrorOf("!rate 0.5/s"),
            "!rate cannot be '0.5', allowed: a whole number above 0; 0.5/s is 30/m");
  EXPECT_THAT(ErrorOf("!rate 1.5/s key api"), HasSubstr("; 1.5/s is 90/m"));
  EXPECT_THAT(ErrorOf("!rate 0.1/m"), HasSubstr("; 0.1/m is 6/h"));
  EXPECT_THAT(ErrorOf("!rate 0.005/s"), HasSubstr("; 0.005/s is 18/h"));
  for (const char* rate :
       {"0.5/h", "0.0001/s", "0/s", "-0.5/s", "x/s", "0.5/y", "nan/s", "inf/s", "1e300/s", "/s"}) {
    EXPECT_THAT(ErrorOf(absl::StrCat("!rate ", rate)), Not(HasSubstr(" is "))) << rate;
  }
}

}  // namespace
}  // namespace bue::lang
