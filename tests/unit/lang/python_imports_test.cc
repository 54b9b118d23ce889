#include "common/lang/python_imports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// As `dots:module:names`.
std::vector<std::string> Found(const std::string& code) {
  std::vector<std::string> found;
  for (const PythonImport& import : FindPythonImports(code)) {
    found.push_back(absl::StrCat(import.dots, ":", absl::StrJoin(import.module, "."), ":",
                                 absl::StrJoin(import.names, ",")));
  }
  return found;
}

TEST(PythonImports, EveryForm) {
  EXPECT_THAT(Found("import a"), ElementsAre("0:a:"));
  EXPECT_THAT(Found("import a.b.c"), ElementsAre("0:a.b.c:"));
  EXPECT_THAT(Found("import a as b, c.d as e, f\n"), ElementsAre("0:a:", "0:c.d:", "0:f:"));
  EXPECT_THAT(Found("from a import b"), ElementsAre("0:a:b"));
  EXPECT_THAT(Found("from a.b import c as d, e"), ElementsAre("0:a.b:c,e"));
  EXPECT_THAT(Found("from a import *"), ElementsAre("0:a:"));
  EXPECT_THAT(Found("from . import a, b"), ElementsAre("1::a,b"));
  EXPECT_THAT(Found("from .a import b"), ElementsAre("1:a:b"));
  EXPECT_THAT(Found("from ...a.b import (c,\n  d as e, # why\n\n  f,)\nimport g"),
              ElementsAre("3:a.b:c,d,f", "0:g:"));
  EXPECT_THAT(Found("import a, \\\n  b\r\nimport c\r\n"), ElementsAre("0:a:", "0:b:", "0:c:"));
}

TEST(PythonImports, InsideOtherStatements) {
  EXPECT_THAT(Found("def f():\n    import a\ntry: import b\nexcept: from c import d; import e\n"),
              ElementsAre("0:a:", "0:b:", "0:c:d", "0:e:"));
  EXPECT_THAT(Found("x = 1; import a\n"), ElementsAre("0:a:"));
  EXPECT_THAT(Found("if x: y = {1: 2}\nimport größe\n"), ElementsAre("0:größe:"));
}

TEST(PythonImports, NotInStringsCommentsOrExpressions) {
  EXPECT_THAT(Found("# import a\n"), IsEmpty());
  EXPECT_THAT(Found("\"\"\"\nimport a\n\"\"\"\n'''\nimport b\n'''\n"), IsEmpty());
  EXPECT_THAT(Found("x = 'it\\'s\\\nimport a'\nimport b\n"), ElementsAre("0:b:"));
  EXPECT_THAT(Found("raise X from a\nyield from b\nimporter = 1\nx.import_ = 2\n"), IsEmpty());
  EXPECT_THAT(Found("x = (\nimport_a,\n)\nr'\\'\nimport b\n"), ElementsAre("0:b:"));
}

TEST(PythonImports, OfBrokenCodeEndWithIt) {
  for (const char* code : {"import", "from", "from a", "from a import", "from . import (",
                           "import a,", "'", "'''", "\\", "import a as", "from .", "(((", "\"\\"}) {
    Found(code);  // No crash, no hang.
  }
}

}  // namespace
}  // namespace bue::lang
