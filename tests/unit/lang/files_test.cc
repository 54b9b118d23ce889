// Which files travel with a script.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/lang/file_collector.h"
#include "common/sha256.h"
#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Paths(const CompileResult& result) {
  std::vector<std::string> paths;
  if (!result.program) return {"rejected"};
  for (const File& file : result.program->files) paths.push_back(file.path);
  return paths;
}

CompileResult CompileWith(std::map<std::string, std::string> files, const std::string& script,
                          std::vector<std::string> include = {}) {
  FakeFiles source(std::move(files));
  return Compile(script, "test.bue", &source, {.include = std::move(include)});
}

const char kScript[] = "import python (f) s.py\n";

TEST(Files, ArePathHashAndSizeWithTheirContentsByHash) {
  const CompileResult result = CompileWith({{"s.py", "def f(): pass\n"}}, kScript);
  ASSERT_TRUE(result.program);
  const File& file = result.program->files[0];
  EXPECT_EQ(file.path, "s.py");
  EXPECT_EQ(file.bytes, 14u);
  EXPECT_EQ(file.sha256, Sha256("def f(): pass\n"));
  EXPECT_EQ(result.contents.at(file.sha256), "def f(): pass\n");
  EXPECT_EQ(result.program->steps[0].file, 0u);
}

TEST(Files, OfOnePathAreOneHoweverItIsWritten) {
  const CompileResult result =
      CompileWith({{"s.py", ""}, {"lib/s.py", ""}},
                  "import python (a) s.py\nimport python (b) ./lib/../s.py\n"
                  "import python (c) lib//s.py\nimport python (d) \"s.py\"\n");
  EXPECT_THAT(Paths(result), ElementsAre("s.py", "lib/s.py"));
  EXPECT_EQ(result.program->steps[1].file, 0u);
  EXPECT_EQ(result.program->steps[2].file, 1u);
  EXPECT_EQ(result.program->steps[3].file, 0u);
  EXPECT_EQ(result.contents.size(), 1u);  // The same bytes.
}

TEST(Files, PathsAreNormalized) {
  EXPECT_EQ(NormalizePath("a.py"), "a.py");
  EXPECT_EQ(NormalizePath("./a//b/./c.py"), "a/b/c.py");
  EXPECT_EQ(NormalizePath("a/../../b.py"), "../b.py");
  EXPECT_EQ(NormalizePath("../../b.py"), "../../b.py");
  EXPECT_EQ(NormalizePath("/a/../b.py"), "/b.py");
  EXPECT_EQ(NormalizePath("/../b.py"), "/b.py");
  EXPECT_EQ(NormalizePath("a/.."), ".");
  EXPECT_EQ(NormalizePath("/"), "/");
}

TEST(Files, ThatAreMissingAreErrorsAtTheLineThatNamesThem) {
  const CompileResult result = CompileWith(
      {}, "a:\n  python\n  f\n  s.py\nimport python (b, c) s.py\nq:\n  pg\n  t\n  q.sql\n");
  EXPECT_THAT(Errors(result), ElementsAre("4:3 step 'a': there is no file 's.py'",
                                          "5:22 step 'b': there is no file 's.py'",
                                          "9:3 step 'q': there is no file 'q.sql'"));
}

TEST(Files, NamedByStepsMustBeText) {
  EXPECT_THAT(Errors(CompileWith({{"s.py", "\xFF"}}, kScript)),
              ElementsAre("1:19 step 'f': 's.py' is not a text file in UTF-8"));
  EXPECT_THAT(Errors(CompileWith({{"s.py", std::string("\0", 1)}}, kScript)),
              ElementsAre(HasSubstr("not a text file")));
}

TEST(Files, ImportedFromBesideTravelTransitively) {
  const CompileResult result = CompileWith({{"s.py", "import json, t\nfrom u import x\n"},
                                            {"t.py", "import v\nimport s\n"},
                                            {"u.py", ""},
                                            {"v.py", "import t"},
                                            {"w.py", ""}},
                                           kScript);
  EXPECT_THAT(Paths(result), ElementsAre("s.py", "t.py", "u.py", "v.py"));
}

TEST(Files, NamedByStepsComeFirst) {
  EXPECT_THAT(
      Paths(CompileWith({{"s.py", "import m"}, {"m.py", ""}, {"z.py", ""}, {"i.txt", ""}},
                        std::string(kScript) + "import python (g) z.py\n", {"i.txt", "m.py"})),
      ElementsAre("s.py", "z.py", "m.py", "i.txt"));
}

TEST(Files, PackagesTravelWithTheSubmodulesImported) {
  const CompileResult result =
      CompileWith({{"s.py", "import p.q.r\nfrom p2 import m, name\nfrom ns.sub import deep\n"},
                   {"p/__init__.py", ""},
                   {"p/q/__init__.py", "from . import z\nfrom ..y import f\nfrom .. import top\n"},
                   {"p/q/r.py", ""},
                   {"p/q/z.py", ""},
                   {"p/y.py", ""},
                   {"p/top/__init__.py", ""},
                   {"p/unused.py", ""},
                   {"p2/__init__.py", "from .n import *"},
                   {"p2/m.py", ""},
                   {"p2/n.py", ""},
                   {"ns/sub/deep.py", ""}},
                  kScript);
  EXPECT_THAT(Paths(result), ElementsAre("s.py", "p/__init__.py", "p/q/__init__.py", "p/q/r.py",
                                         "p2/__init__.py", "p2/m.py", "ns/sub/deep.py", "p/q/z.py",
                                         "p/y.py", "p/top/__init__.py", "p2/n.py"));
}

TEST(Files, AreLookedForBesideTheImporterThenInTheFoldersAround) {
  EXPECT_THAT(
      Paths(CompileWith(
          {{"lib/s.py", "import near, far"}, {"lib/near.py", ""}, {"near.py", ""}, {"far.py", ""}},
          "import python (f) lib/s.py\n")),
      ElementsAre("lib/s.py", "lib/near.py", "far.py"));
}

TEST(Files, OutsideTheScriptsFolderKeepTheirPath) {
  EXPECT_THAT(
      Paths(CompileWith({{"../shared/s.py", "import t"}, {"../shared/t.py", ""}, {"/x/a.py", ""}},
                        "import python (f) ../shared/s.py\nimport python (g) /x/a.py\n")),
      ElementsAre("../shared/s.py", "/x/a.py", "../shared/t.py"));
}

TEST(Files, ThatInlineCodeImportsTravelToo) {
  EXPECT_THAT(Paths(CompileWith({{"s.py", ""}, {"t.py", ""}},
                                "a:\n  python\n  f\n  `\ndef f():\n    from s import emit\n`\n"
                                "b:\n  sqlite3\n  t\n  `import t`\n")),
              ElementsAre("s.py"));
}

TEST(Files, OfSqlAreNotScanned) {
  EXPECT_THAT(Paths(CompileWith({{"q.sql", "import t"}, {"t.py", ""}}, "import pg (q) q.sql\n")),
              ElementsAre("q.sql"));
}

TEST(Files, OfDefinitionsThatANamesakeHidesDoNotCount) {
  const CompileResult result =
      CompileWith({{"s.py", ""}}, std::string(kScript) + "import python (f) missing.py\n");
  EXPECT_THAT(Paths(result), ElementsAre("s.py"));
}

TEST(Files, IncludedMayBeAnything) {
  const CompileResult result =
      CompileWith({{"s.py", ""}, {"data/x.bin", "\xFF"}}, kScript, {"data/x.bin", "s.py"});
  EXPECT_THAT(Paths(result), ElementsAre("s.py", "data/x.bin"));
  EXPECT_THAT(Errors(CompileWith({{"s.py", ""}}, kScript, {"nothing"})),
              ElementsAre("0:0 included file 'nothing': there is no such file"));
}

TEST(Files, AreOnlyListedWithoutASource) {
  const CompileResult result = CompileText(kScript);
  ASSERT_TRUE(result.program);
  EXPECT_EQ(result.program->files[0].sha256, std::string(32, '\0'));
  EXPECT_THAT(result.contents, IsEmpty());
}

}  // namespace
}  // namespace bue::lang
