// Definitions, imports, pipes, calls, lines, indentation, code between backticks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Lines, EndWithLfCrlfOrCrAndMayBeginWithAByteOrderMark) {
  const std::string script = "a:|  python|  f|  s.py|p = a ||p()|";
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    std::string text = "\xEF\xBB\xBF";
    for (size_t i = 0; i < script.size(); ++i) {
      const bool bar = script.compare(i, 3, " ||") == 0;
      if (bar) {
        text += " |" + end;
        i += 2;
      } else if (script[i] == '|') {
        text += end;
      } else {
        text += script[i];
      }
    }
    EXPECT_THAT(Nodes(Accept(text)), ElementsAre("a()@0")) << end.size();
  }
}

TEST(Lines, CommentsAndBlankLinesAreFreeEverywhere) {
  const Program program = Accept(
      "\n# first ` backtick\na: # name\n\n  # language\n  python # py\n\n  f # f\n # x\n  s.py # "
      "s\n"
      "import python ( # list\n\n  # comment\n  g # g\n  as b, # b\n) t.py # t\n"
      "p = ( # pipe\n  a # a\n\n  # more\n  | b\n) # end\n"
      "for x in p(): # loop\n\n# at the margin\n  # body\n  p(x) # call\n\n  p(x)\n");
  EXPECT_THAT(Nodes(program),
              ElementsAre("a()@0", "b(0)@0", "a(e1)@1", "b(2)@1", "a(e1)@1", "b(4)@1"));
  EXPECT_EQ(program.files[0].path, "s.py");
  EXPECT_EQ(program.files[1].path, "t.py");
}

TEST(Lines, TheEmptyScriptIsAProgram) {
  for (const char* text : {"", "\n\n", "# only this", "\xEF\xBB\xBF", "  \n\t\n"}) {
    const Program program = Accept(text);
    EXPECT_THAT(program.nodes, IsEmpty());
    EXPECT_THAT(program.regions, SizeIs(1));
  }
}

TEST(Lines, WhatIsNoTextIsOneError) {
  EXPECT_THAT(Reject(std::string("a:\n  py\0thon\n", 12)),
              ElementsAre("2:5 not a text file: it holds a NUL byte (byte 7)"));
  EXPECT_THAT(Reject("a:\n  \xFFpy\n"),
              ElementsAre("2:3 not a text file: it is not UTF-8 (byte 5)"));
  EXPECT_THAT(Reject("\xFF\xFE"
                     "a"),
              ElementsAre(HasSubstr("1:1 not a text file")));
  EXPECT_THAT(Reject("\xC0\x80"), SizeIs(1));          // Overlong.
  EXPECT_THAT(Reject("\xED\xA0\x80"), SizeIs(1));      // A surrogate.
  EXPECT_THAT(Reject("\xF4\x90\x80\x80"), SizeIs(1));  // Above U+10FFFF.
  EXPECT_THAT(Reject("caf\xC3"), SizeIs(1));           // Cut off.
}

TEST(Lines, GarbageIsReportedLineByLine) {
  EXPECT_THAT(
      Reject("hello world\n# fine\nmore garbage!\n)\n| x\n`code\nmore`\n"),
      ElementsAre("1:1 this line is not understood: 'hello world'",
                  "3:1 this line is not understood: 'more garbage!'",
                  "4:1 this line is not understood: ')'", "5:1 this line is not understood: '| x'",
                  "6:1 this line is not understood: '`code'"));
}

TEST(Lines, ColumnsCountCharacters) {
  EXPECT_THAT(Reject(std::string(kSteps) + "größe = pa(ü)\n"),
              ElementsAre("8:12 no value named 'ü'"));
}

TEST(Definitions, TakeEveryNameOfALanguage) {
  struct Case {
    const char* name;
    Language language;
  };
  for (const Case& c :
       {Case{"python", Language::kPython}, Case{"python3", Language::kPython},
        Case{"py", Language::kPython}, Case{"sqlite", Language::kSqlite},
        Case{"sqlite3", Language::kSqlite}, Case{"pg", Language::kPostgres},
        Case{"postgres", Language::kPostgres}, Case{"postgresql", Language::kPostgres}}) {
    const std::string name = c.name;
    EXPECT_EQ(Accept("a:\n  " + name + "\n  f\n  x\n").steps[0].language, c.language);
    EXPECT_EQ(Accept("import " + name + " (a) x\n").steps[0].language, c.language);
  }
  EXPECT_THAT(Reject("a:\n  javascript\n  f\n  s.js\nimport Python (b) s.py\n"),
              ElementsAre("2:3 unknown language 'javascript'", "5:8 unknown language 'Python'"));
}

TEST(Definitions, NamesMayHaveBlanksDashesDigitsAndOtherCharacters) {
  const Program program = Accept(
      "my job-1:\n  python\n  f\n  s.py\n2nd:\n  python\n  f\n  s.py\nmy.job/x+y:\n  python\n  "
      "m.f\n"
      "  s.py\ngröße:\n  python\n  f g\n  s.py\n\"odd: (name) # !\":\n  python\n  f\n  s.py\n"
      "format:\n  python\n  f\n  s.py\nfor each:\n  python\n  f\n  s.py\nloop:\n  python\n  f\n  "
      "s.py\n"
      "for use in reports:\n  python\n  f\n  s.py\nif:\n  python\n  f\n  s.py\n"
      "the pipe = my job-1 | 2nd | my.job/x+y | größe | \"odd: (name) # !\" | format | for each |"
      " loop | for use in reports | if\n"
      "my value = the pipe()\n\"the pipe\" ( \"my value\" )\n");
  EXPECT_THAT(program.nodes, SizeIs(20));
  EXPECT_EQ(program.bindings[0].name, "my value");
  EXPECT_EQ(program.steps[4].name, "odd: (name) # !");
  EXPECT_EQ(program.steps[2].relation, "m.f");
}

TEST(Definitions, NamesThatMeanSomethingElseAreErrors) {
  EXPECT_THAT(Reject("a|b:\n  python\n  f\n  s.py\n"),
              ElementsAre("1:1 the step's name 'a|b' cannot hold |"));
  EXPECT_THAT(Reject("a:b:\n  python\n  f\n  s.py\n"),
              ElementsAre("1:1 the step's name 'a:b' cannot hold :"));
  EXPECT_THAT(Reject(":\n  python\n  f\n  s.py\n"), ElementsAre("1:1 the step's name is missing"));
  EXPECT_THAT(Reject("\"\":\n  python\n  f\n  s.py\n"),
              ElementsAre("1:1 the step's name is empty"));
  EXPECT_THAT(Reject("a\x01:\n  python\n  f\n  s.py\n"),
              ElementsAre("1:1 the step's name holds a control character"));
}

TEST(Definitions, MissingPartsAreNamed) {
  EXPECT_THAT(Reject("a:\nb:\n  python\nc:\n  python\n  f\nd:\n  !retries 1\n"),
              ElementsAre(HasSubstr("1:1 the definition of 'a' ends too early: its language"),
                          HasSubstr("2:1 the definition of 'b' ends too early: its function"),
                          HasSubstr("4:1 the definition of 'c' ends too early: its file or code"),
                          HasSubstr("7:1 the definition of 'd' ends too early: its language")));
}

TEST(Definitions, TextBehindTheSourceIsAnError) {
  EXPECT_THAT(Reject("a:\n  python\n  f\n  s.py\n  extra\n"),
              ElementsAre("5:3 'extra' stands behind the source of 'a'"));
}

TEST(Definitions, OfOneNameTheFirstCountsWithAWarning) {
  const CompileResult result = CompileText(
      "a:\n  python\n  f\n  s.py\nimport python (g as a) s.py\np = a | a\np = | a\np()\n");
  ASSERT_TRUE(result.program);
  EXPECT_THAT(result.program->steps, SizeIs(1));
  EXPECT_EQ(result.program->steps[0].relation, "f");
  EXPECT_THAT(result.program->nodes, SizeIs(2));
  EXPECT_THAT(Warnings(result), ElementsAre("5:16 the step 'a' is defined again",
                                            "7:1 the pipe 'p' is defined again"));
}

TEST(Definitions, ABrokenOneIsReportedOnceAndItsNameStays) {
  EXPECT_THAT(Reject("a:\n  pyton\n  f\n  s.py\np = | a\nv = p()\np(v)\n"), SizeIs(1));
}

TEST(Indentation, AnyDeeperOneOpensABlock) {
  Accept("a:\n python\n    f\n  s.py\nb:\n\tpython\n\tf\n\ts.py\n");
  Accept("  a:\n    python\n    f\n    s.py\n  p = | a\n  p()\n");
}

TEST(Indentation, TabsAndBlanksDoNotMixInABody) {
  EXPECT_THAT(Reject("a:\n\tpython\n    f\n\ts.py\n"),
              ElementsAre(HasSubstr("3:5 this line mixes")));
  EXPECT_THAT(Reject("a:\n \tpython\n \tf\n \ts.py\n"),
              ElementsAre(HasSubstr("2:3 this line mixes")));
  const std::string loop = std::string(kSteps) + "for x in pa():\n\tpb(x)\n        pb(x)\n";
  EXPECT_THAT(Reject(loop), ElementsAre(HasSubstr("10:9 this line mixes")));
}

TEST(Indentation, WithoutAReasonItIsAnErrorOnceARun) {
  EXPECT_THAT(
      Reject(std::string(kSteps) + "  pa()\n  pb()\npa()\n pa()\n"),
      ElementsAre(HasSubstr("8:3 this line is indented"), HasSubstr("11:2 this line is indented")));
  EXPECT_THAT(Reject(std::string(kSteps) + "for x in pa():\n    pb(x)\n  pb(x)\n"),
              ElementsAre(HasSubstr("10:3 this indentation matches no level")));
}

TEST(Indentation, TabIsAcceptedAndOnlyChecks) {
  EXPECT_THAT(Warnings(CompileText("TAB = '  '\na:\n  python\n  f\n  s.py\n")), IsEmpty());
  EXPECT_THAT(Warnings(CompileText("TAB = '\\t'\na:\n\tpython\n\tf\n\ts.py\n")), IsEmpty());
  EXPECT_THAT(Warnings(CompileText("a:\n    python\n    f\n    s.py\nTAB = \"  \"\n")),
              ElementsAre("2:5 this is not indented by what TAB says"));
  EXPECT_THAT(Reject("TAB = 'x'\nTAB = ''\nTAB = '\n"), SizeIs(3));
  EXPECT_THAT(Nodes(Accept("import python (f as a) s.py\nTAB = a |\nTAB()\n")),
              ElementsAre("a()@0"));
}

TEST(Code, IsTheTextBetweenTheBackticks) {
  EXPECT_EQ(Accept("a:\n  python\n  f\n  `def f(): return '#|='`  # c\n").steps[0].code,
            "def f(): return '#|='");
  EXPECT_EQ(Accept("a:\n  python\n  f\n  `\ndef f():\n    # why\n\n    !x\n`\n").steps[0].code,
            "\ndef f():\n    # why\n\n    !x\n");
  EXPECT_EQ(Accept("a:\r\n  python\r\n  f\r\n  `x\r\n  y\r\n  `\r\n").steps[0].code, "x\n  y\n  ");
  EXPECT_EQ(Accept("a:\n  sqlite3\n  t\n  ``\n").steps[0].code, "");
  EXPECT_EQ(Accept("a:\n  python\n  f\n  `x`\n").steps[0].file, kNoFile);
}

TEST(Code, MayHoldWhatLooksLikeStatements) {
  const Program program = Accept(
      "a:\n  sqlite3\n  t\n  `\nSELECT\n!scope inside\nb:\nTAB = 'x'\np = | a\nfor x in y():\n"
      "1 AS one\n`\np = | a\np()\n");
  EXPECT_EQ(program.steps[0].scope, "default");
  EXPECT_THAT(program.steps, SizeIs(1));
  EXPECT_THAT(program.nodes, SizeIs(1));
}

TEST(Code, LosesABodysIndentationAndNoMore) {
  const auto code = [](const std::string& block) {
    const Program program =
        Accept(std::string(kSteps) + "for x in pa():\n    k:\n        python\n        f\n" + block);
    return StepNamed(program, "k").code;
  };
  EXPECT_EQ(code("        `\n    def f(x):\n        return x\n    `\n"),
            "\ndef f(x):\n    return x\n");
  // At the margin, the body's indentation is none of it.
  EXPECT_EQ(code("        `\ndef f(x):\n    return x\n`\n"), "\ndef f(x):\n    return x\n");
  EXPECT_EQ(code("        `\n  def f(x):\n      return x\n`\n"), "\ndef f(x):\n    return x\n");
  // A string in it may lie further left.
  EXPECT_EQ(code("        `\n    s = '''\nx'''\n    `\n"), "\ns = '''\nx'''\n");
  EXPECT_EQ(code("        `def f(x):\n        return x`\n"), "def f(x):\n    return x");
  EXPECT_EQ(code("        `def f(x):\n    return x`\n"), "def f(x):\n    return x");
  EXPECT_EQ(code("        `x`\n"), "x");
}

TEST(Code, NeverClosedIsOneError) {
  EXPECT_THAT(Reject("a:\n  python\n  f\n  `\ndef f():\n  pass\np = | a\np()\nq(zzz)\n"),
              ElementsAre(HasSubstr("4:3 the code that begins with ` is never closed")));
}

TEST(Code, CannotHoldABacktick) {
  EXPECT_THAT(Reject("a:\n  python\n  f\n  `\ndef f():\n  return 'a ` tick'\n`\np = | a\np()\n"),
              ElementsAre("6:14 'tick'' behind the code's closing backtick"));
}

TEST(Code, InTheWrongPlaceIsSkipped) {
  EXPECT_THAT(Reject("a:\n  python\n  `\ngarbage\n`\nb:\n  `x\ny`\np = one ` a\nb `\n"),
              ElementsAre("3:3 the code comes too early", "7:3 the code comes too early",
                          "9:1 this line is not understood: 'p = one ` a'"));
}

TEST(Imports, NameSeveralStepsOfOneSource) {
  const Program program = Accept(
      "import   py   (two as zwei, inc   as   plus,) lib/s.py\n"
      "import python(f,g\n  as h) `\ndef f(): pass\n` # c\n"
      "import sqlite3 (some_table as q) `select (1)`\n");
  ASSERT_THAT(program.steps, SizeIs(5));
  EXPECT_EQ(program.steps[0].name, "zwei");
  EXPECT_EQ(program.steps[0].relation, "two");
  EXPECT_EQ(program.steps[1].name, "plus");
  EXPECT_EQ(program.files[0].path, "lib/s.py");
  EXPECT_EQ(program.steps[2].code, "\ndef f(): pass\n");
  EXPECT_EQ(program.steps[3].name, "h");
  EXPECT_EQ(program.steps[3].code, "\ndef f(): pass\n");
  EXPECT_EQ(program.steps[4].relation, "some_table");
  EXPECT_EQ(program.steps[4].code, "select (1)");
}

TEST(Imports, WrongEntriesAreNamed) {
  EXPECT_THAT(
      Reject("import python (f as, as x, a as b as c, !9, \"\" as y) s.py\n"),
      ElementsAre("1:16 'f as' is no entry of an import list",
                  "1:22 'as x' is no entry of an import list",
                  "1:28 'a as b as c' is no entry of an import list",
                  "1:41 the step's name is missing", "1:45 the function or table's name is empty"));
}

TEST(Imports, ThatAreNeverClosedAreReportedAtTheirParenthesis) {
  EXPECT_THAT(Reject("import python (f,\n  g\np = f | g\np()\n"),
              ElementsAre("1:15 the import list's '(' is never closed"));
  EXPECT_THAT(Reject("import python (f,\n  g"),
              ElementsAre("1:15 the import list's '(' is never closed"));
  EXPECT_THAT(Reject("import python (f `\nx:\n`\np = | f\n"),
              ElementsAre("1:15 the import list's '(' is never closed"));
}

TEST(Imports, NeedASourceOnTheLineOfTheirEnd) {
  EXPECT_THAT(Reject("import python (f)\n"), ElementsAre(HasSubstr("1:18 the file or the code")));
}

TEST(Imports, ThatAreNoneGetAHint) {
  const CompileResult result = CompileText("import steps\nfrom x import y\nimport python f s.py\n");
  ASSERT_THAT(result.diagnostics, SizeIs(3));
  for (const Diagnostic& diagnostic : result.diagnostics) {
    EXPECT_EQ(diagnostic.hint, "write `import python (FUNCTION) FILE.py`");
  }
}

TEST(Pipes, TakeEveryForm) {
  for (const std::string pipe :
       {"p = a | b", "p = | a | b", "p = a | b |", "p = a | | b", "p = (a | b)",
        "p = ( | a | b | )", "p = (\n  a\n  | b\n)", "p = (a |\nb)", "p = (\n\n  a | # c\n\n  b)",
        "p=a|b", "p = (\na\n|\nb\n)"}) {
    EXPECT_THAT(Nodes(Accept(std::string(kSteps) + pipe + "\np()\n")),
                ElementsAre("a()@0", "b(0)@0"))
        << pipe;
  }
  for (const std::string pipe : {"p = a", "p = (a)", "p = (\n  a\n)", "p = a |"}) {
    EXPECT_THAT(Nodes(Accept(std::string(kSteps) + pipe + "\np()\n")), ElementsAre("a()@0"))
        << pipe;
  }
  EXPECT_THAT(Nodes(Accept(std::string(kSteps) + "p = a | b | a\np()\n")),
              ElementsAre("a()@0", "b(0)@0", "a(1)@0"));
}

TEST(Pipes, WithoutStepsDoNothingWithAWarning) {
  for (const std::string pipe : {"p = |", "p = ()", "p = (\n)", "p = | |"}) {
    const CompileResult result = CompileText(std::string(kSteps) + pipe + "\np()\n");
    ASSERT_TRUE(result.program) << pipe;
    EXPECT_THAT(result.program->nodes, IsEmpty());
    EXPECT_THAT(Warnings(result), ElementsAre(HasSubstr("the pipe 'p' has no steps")));
  }
  EXPECT_THAT(Reject(std::string(kSteps) + "p = |\nv = p()\npa(v)\n"),
              ElementsAre("10:4 'v' has no value: the pipe 'p' called in line 9 has no steps"));
  // The earlier value stays.
  EXPECT_THAT(Nodes(Accept(std::string(kSteps) + "p = |\nv = pa()\nv = p()\npb(v)\n")),
              ElementsAre("a()@0", "b(0)@0"));
}

TEST(Pipes, WrongOnesAreErrors) {
  const std::string steps = kSteps;
  EXPECT_THAT(Reject(steps + "p = (\n  a\n  b\n)\n"),
              ElementsAre(HasSubstr("10:3 a '|' is missing")));
  EXPECT_THAT(Reject(steps + "p = (a | b\npa()\n"),
              ElementsAre("8:5 the pipe's '(' is never closed"));
  EXPECT_THAT(Reject(steps + "p = (a | b) c\n"), ElementsAre("8:13 'c' behind the pipe's ')'"));
  EXPECT_THAT(Reject(steps + "p = a | b()\n"), ElementsAre(HasSubstr("8:10 a pipe names steps")));
  EXPECT_THAT(Reject(steps + "p = a\n  | b\n"), ElementsAre(HasSubstr("9:3 this line is indented"),
                                                            HasSubstr("9:3 this line is not")));
  EXPECT_THAT(Reject(steps + "p =\n"), ElementsAre("8:3 nothing stands right of 'p ='"));
  EXPECT_THAT(Reject(steps + "p = 5\n"), ElementsAre("8:5 no step named '5', in the pipe 'p'"));
  EXPECT_THAT(Reject(steps + "p = pa\n"), ElementsAre("8:5 no step named 'pa', in the pipe 'p'"));
  EXPECT_THAT(Reject(steps + "p = a | bb\np()\np()\n"),
              ElementsAre("8:9 no step named 'bb', in the pipe 'p'"));
}

TEST(Pipes, ThatNobodyCallsOnlyWarnOfUnknownSteps) {
  const CompileResult result = CompileText(std::string(kSteps) + "p = a | nobody\n");
  EXPECT_TRUE(result.program);
  EXPECT_THAT(Warnings(result), ElementsAre("8:9 no step named 'nobody', in the pipe 'p'"));
}

TEST(Calls, PassValuesInTheirOrderAndDropEmptyArguments) {
  EXPECT_THAT(
      Nodes(Accept(std::string(kSteps) + "x   =   pa  (  )\ny = pb()\npc  ( y ,, x , y )\n")),
      ElementsAre("a()@0", "b()@0", "c(1,0,1)@0"));
}

TEST(Calls, WrongOnesAreErrorsWithAHint) {
  struct Case {
    const char* call;
    const char* error;
  };
  const Case cases[] = {
      {"pa(pb())", "8:6 a call cannot be an argument"},
      {"x = pa(pb())", "8:10 a call cannot be an argument"},
      {"pa()()", "8:5 '()' behind the call"},
      {"pa() pb()", "8:6 'pb()' behind the call"},
      {"pa():", "8:5 ':' behind the call"},
      {"pa() | pb()", "8:6 '| pb()' behind the call"},
      {"pa(", "8:3 a call ends on the line it begins on"},
      {"pa(\n  v\n)", "8:3 a call ends on the line it begins on"},
      {"pa(5)", "8:4 literals cannot be arguments: 5"},
      {"pa(-1.5)", "8:4 literals cannot be arguments: -1.5"},
      {"pa(\"text\")", "8:4 literals cannot be arguments: \"text\""},
      {"pa('text')", "8:4 literals cannot be arguments: 'text'"},
      {"pa([1, 2])", "8:4 literals cannot be arguments: [1, 2]"},
      {"pa({\"a\": 1})", "8:4 literals cannot be arguments: {\"a\": 1}"},
      {"pa(x=1)", "8:4 'x=1' cannot be an argument"},
      {"pa(a | b)", "8:4 'a | b' cannot be an argument"},
      {"pa(pb)", "8:4 'pb' is a pipe, not a value"},
      {"pa(b)", "8:4 'b' is a step, not a value"},
      {"pa(nothing)", "8:4 no value named 'nothing'"},
      {"(x)", "8:1 the pipe's name is missing"},
      {"= pa()", "8:1 the value's name is missing"},
      {"x, y = pa()", "8:6 a call has one value"},
      {"x += pa()", "8:4 '+=' is not in the language"},
      {"x = y = pa()", "8:3 there is a second '=' in this line"},
      {"a()", "8:1 'a' is a step; only pipes are called"},
      {"pd()", "8:1 no pipe named 'pd'"},
      {"x = pa(x)", "8:8 'x' is bound by the very call that needs it"},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(Reject(std::string(kSteps) + c.call + "\n"), ElementsAre(c.error)) << c.call;
  }
}

TEST(Calls, PythonStatementsAreNotInTheLanguage) {
  EXPECT_THAT(
      Reject(std::string(kSteps) +
             "v = pa()\nif v:\n  w = pb(v)\nelse:\n  pb(v)\npc(w)\nwhile v > 3: pa(v)\n"
             "def f(x):\n  return x\nbreak\nreturn v\n"),
      ElementsAre("9:1 conditions are not in the language: 'if v:'",
                  "11:1 conditions are not in the language: 'else:'",
                  "14:1 conditions are not in the language: 'while v > 3: pa(v)'",
                  "15:1 'def' is not in the language", "17:1 'break' is not in the language",
                  "18:1 'return' is not in the language"));
}

TEST(Calls, BoundByABrokenLineAreNotReportedAgain) {
  EXPECT_THAT(Reject(std::string(kSteps) + "v = pa(pb())\nw = pz()\npa(v, w)\n"),
              ElementsAre(HasSubstr("8:10"), HasSubstr("9:5")));
}

TEST(JsonHeader, IsIgnoredWithAWarning) {
  const CompileResult result =
      CompileText("# first\n{\"a\": \"}\\\"\", # not a comment in G1\n \"b\": {\"c\": 1}} # end\n" +
                  std::string(kSteps));
  EXPECT_TRUE(result.program);
  EXPECT_THAT(Warnings(result), ElementsAre("2:1 the JSON header is ignored"));
  EXPECT_THAT(Reject("{\"a\": 1\nx()\n"), ElementsAre("1:1 the JSON header is never closed"));
  EXPECT_THAT(Reject("{} x\n{}\n"), ElementsAre("1:3 'x' behind the JSON header",
                                                "2:1 this line is not understood: '{}'"));
}

}  // namespace
}  // namespace bue::lang
