#include "common/lang/shape.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

Program Compiled(const std::string& text) {
  FakeFiles files(std::map<std::string, std::string>{{"s.py", "x"}});
  CompileResult result = Compile(text, "r.bue", &files);
  EXPECT_TRUE(result.program) << FormatDiagnostics(result.diagnostics, "r.bue", text);
  return result.program.value_or(Program());
}

const char kReport[] =
    "!scope prod\n"
    "import python (f as load, g as send !9 !timeout 60 * 2 !rate 5/m key api) s.py\n"
    "acos:\n  sqlite3\n  t\n  `select 1`\n"
    "accounts = | load\n"
    "report = load | acos | send\n"
    "for account in accounts() by 10:\n"
    "  y = report(account)\n"
    "for i in range(3):\n"
    "  accounts(i)\n"
    "total = accounts(y)\n";

TEST(Shape, ShowsFilesStepsCallsAndLoops) {
  EXPECT_EQ(Shape(Compiled(kReport)),
            "r.bue: 3 steps, 4 calls, 2 loops, 1 file\n"
            "files\n"
            "  s.py  1 byte  2d711642b726\n"
            "steps\n"
            "  load  python f in s.py  !scope prod\n"
            "  send  python g in s.py  !scope prod  !priority 9  !timeout 120  !rate 5/m key api\n"
            "  acos  sqlite3 t in the script  !scope prod\n"
            "calls\n"
            "  #0 = load()\n"
            "  for account in #0 by 10:\n"
            "    y = load(account) | acos | send\n"
            "  for i in range(3):\n"
            "    #4 = load(i)\n"
            "  total = load(y)\n");
}

TEST(Shape, OfLongScriptsShowsTheBeginning) {
  std::string text = "import python (f) s.py\np = | f\n";
  for (int i = 0; i < 300; ++i) absl::StrAppend(&text, "p()\n");
  EXPECT_NE(Shape(Compiled(text)).find("  … and 100 more\n"), std::string::npos);
}

TEST(Shape, OfNothingIsShort) {
  EXPECT_EQ(Shape(Compiled("")), "r.bue: 0 steps, 0 calls, 0 loops, 0 files\ncalls\n");
}

TEST(ShapeJson, HasEveryDocumentedField) {
  const nlohmann::json json = ShapeJson(Compiled(kReport));
  EXPECT_EQ(json["script"], "r.bue");
  EXPECT_EQ(json["files"][0]["path"], "s.py");
  EXPECT_EQ(json["files"][0]["bytes"], 1);
  EXPECT_EQ(json["files"][0]["sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(json["steps"][1],
            nlohmann::json::parse(R"({"name": "send", "line": 2, "language": "python",
              "relation": "g", "file": "s.py", "code": null, "scope": "prod", "priority": 9,
              "timeout_s": 120.0, "retries": 0, "backoff_s": 1.0, "poll_s": 5.0,
              "max_handbacks": 0, "mode": "auto", "max_running": null, "queue": null,
              "rate": {"count": 5, "per_seconds": 60.0, "key": "api", "by": null},
              "on_error": "continue", "refill": false})"));
  EXPECT_EQ(json["steps"][2]["code"], "select 1");
  EXPECT_EQ(json["regions"], nlohmann::json::parse(R"([
              {"id": 0, "parent": null, "variable": null, "line": null, "by": null,
               "range": null, "source": null},
              {"id": 1, "parent": 0, "variable": "account", "line": 9, "by": 10,
               "range": null, "source": 0},
              {"id": 2, "parent": 0, "variable": "i", "line": 11, "by": null,
               "range": 3, "source": null}])"));
  EXPECT_EQ(json["nodes"][1], nlohmann::json::parse(R"({"id": 1, "step": "load", "region": 1,
              "line": 10, "inputs": [{"element": 1}], "by": []})"));
  EXPECT_EQ(json["nodes"][5]["inputs"], nlohmann::json::parse(R"([{"node": 3}])"));
  EXPECT_EQ(json["values"], nlohmann::json::parse(R"([{"name": "y", "region": 1, "node": 3},
              {"name": "total", "region": 0, "node": 5}])"));
}

}  // namespace
}  // namespace bue::lang
