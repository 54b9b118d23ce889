// A script and, after the first 0 byte, what lies in the Python files that it names.
#include <dirent.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/lang/compiler.h"
#include "common/lang/shape.h"
#include "common/program/program_codec.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/target.h"

namespace bue::fuzz {
namespace {

// Every Python file has the same text.
class OneText final : public lang::FileSource {
 public:
  explicit OneText(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::string> Read(absl::string_view path) override {
    if (absl::EndsWith(path, ".py")) return text_;
    if (absl::EndsWith(path, ".sql")) return std::string("select 1");
    return absl::NotFoundError("there is no such file");
  }

 private:
  const std::string text_;
};

// Small enough that a limit is within an input's reach, and none takes long.
constexpr lang::CompileLimits kLimits = {
    .script_bytes = 1 << 16, .nodes = 20'000, .files = 100, .files_bytes = 1 << 20};

void Run(absl::string_view bytes) {
  const size_t end = bytes.find('\0');
  const absl::string_view script = bytes.substr(0, end);
  OneText files(end == absl::string_view::npos ? "def f(): pass\nimport helpers\n"
                                               : bytes.substr(end + 1));
  const lang::CompileResult result = lang::Compile(script, "fuzz.bue", &files, {.limits = kLimits});
  CHECK(result.program.has_value() != lang::HasErrors(result.diagnostics));
  lang::FormatDiagnostics(result.diagnostics, "fuzz.bue", script);
  if (!result.program) return;
  lang::Shape(*result.program);
  lang::ShapeJson(*result.program);
  v1::Program proto;
  ToProto(*result.program, &proto);
  CHECK(FromProto(proto).ok());
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const char* folder : {"good", "broken"}) {
    const std::string path = absl::StrCat(BUE_TEST_SCRIPTS, "/", folder);
    DIR* opened = opendir(path.c_str());
    CHECK(opened != nullptr);
    while (const dirent* entry = readdir(opened)) {
      if (!absl::EndsWith(entry->d_name, ".bue")) continue;
      std::ifstream file(absl::StrCat(path, "/", entry->d_name), std::ios::binary);
      seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    closedir(opened);
  }
  seeds.push_back(absl::StrCat(
      "a:\n  python\n  f\n  a.py\np = | a\np()\n", std::string(1, '\0'),
      "import x, y as z\nfrom . import (a,\n  b)\nfrom .c import d\nif 1:\n  import e.f\n"));
  return seeds;
}

}  // namespace

const Target kScript = {.name = "script", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
