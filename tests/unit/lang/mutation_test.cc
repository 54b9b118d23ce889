// Scripts damaged at random are rejected or accepted, but never crash the compiler, and whatever is
// accepted passes the hub's own check.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/program/program_codec.h"
#include "tests/unit/lang/compile_for_test.h"

namespace bue::lang {
namespace {

const char kScript[] =
    "{\"a\": 1}\n"
    "!scope s\n$ old\n!3\nTAB = '  '\n"
    "a:\n  python\n  !timeout 60 * (1 + 2)\n  f\n  `def f(x):\n    return x\n`\n"
    "import python (\n  g as b !retries 2,\n  h !rate 5/s by v) s.py\n"
    "p = a | b\nq = (\n  | h\n  | a\n)\n"
    "v = p()\nw = q(later, v)\nlater = p()\n"
    "for x in q(v) by 3:\n"
    "  !poll 1\n"
    "  c:\n    sqlite3\n    t\n    `select 1`\n"
    "  pc = a | c\n"
    "  y = pc(x, v)\n"
    "  for z in x:\n    u = p(z, y)\n"
    "  for i in range(4):\n    p(i, u)\n"
    "p(y, u)\n"
    "for k in y:\n  p(k)\n";

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string Mutate(std::string text) {
    for (int edits = 1 + Below(4); edits > 0 && !text.empty(); --edits) Edit(&text);
    return text;
  }

 private:
  int Below(size_t end) { return static_cast<int>(random_() % end); }

  // Bytes and pieces that mean something.
  std::string Piece() {
    static const char* const kPieces[] = {"(",
                                          ")",
                                          "|",
                                          "=",
                                          ":",
                                          ",",
                                          "`",
                                          "\"",
                                          "#",
                                          "!",
                                          "$",
                                          "@",
                                          " ",
                                          "  ",
                                          "\t",
                                          "\n",
                                          "\r",
                                          "\r\n",
                                          "for",
                                          " in ",
                                          " by ",
                                          "import",
                                          "as",
                                          "{",
                                          "}",
                                          "[",
                                          "a",
                                          "p",
                                          "v",
                                          "x",
                                          "y",
                                          "range",
                                          "!scope",
                                          "!timeout 9**9**9",
                                          "\"a\"",
                                          "é",
                                          "\xFF",
                                          "\x01",
                                          "-1",
                                          "if x:",
                                          "\n  ",
                                          "\n\n",
                                          "for x in v:\n  "};
    return kPieces[Below(std::size(kPieces))];
  }

  void Edit(std::string* text) {
    const size_t at = Below(text->size());
    const size_t length = 1 + Below(20);
    switch (Below(5)) {
      case 0:
        text->insert(at, Piece());
        break;
      case 1:
        text->erase(at, length);
        break;
      case 2:
        text->replace(at, 1, Piece());
        break;
      case 3:
        text->insert(Below(text->size()), text->substr(at, length));
        break;
      case 4:
        text->resize(at);
        break;
    }
  }

  std::mt19937 random_;
};

TEST(Mutation, NeverCrashesTheCompiler) {
  int accepted = 0;
  for (uint32_t seed = 0; seed < 20'000; ++seed) {
    const std::string text = Mutator(seed).Mutate(kScript);
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    const CompileResult result = CompileText(text);
    EXPECT_EQ(result.program.has_value(), !HasErrors(result.diagnostics));
    FormatDiagnostics(result.diagnostics, "test.bue", text);
    if (!result.program) continue;
    ++accepted;
    v1::Program proto;
    ToProto(*result.program, &proto);
    EXPECT_TRUE(FromProto(proto).ok()) << FromProto(proto).status() << "\n" << text;
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace bue::lang
