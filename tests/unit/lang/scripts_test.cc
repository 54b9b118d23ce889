// The scripts in tests/scripts: those in good/ are accepted without a warning, those in broken/ are
// rejected with errors at exactly these lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "common/lang/compiler.h"
#include "common/lang/script_files.h"

namespace bue::lang {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

struct Broken {
  std::vector<uint32_t> lines;  // Of the errors.
  const char* mentions;
};

const std::map<std::string, Broken>& BrokenScripts() {
  static const auto* const kScripts = new std::map<std::string, Broken>{
      {"bad_directives", {{1, 2, 3, 4, 5, 6, 7, 8, 9}, R"(the number gets too large)"}},
      {"calls_in_the_wrong_shape", {{4, 5, 8, 9, 10}, R"(a call ends on the line it begins on)"}},
      {"code_not_closed", {{4}, R"(never closed)"}},
      {"code_with_a_backtick", {{6}, R"(there is no escape)"}},
      {"conditions", {{5, 7, 9, 11}, R"(conditions are not in the language)"}},
      {"directives_after_the_source", {{5}, R"(directives stand before the file or the code)"}},
      {"empty_pipe_value", {{6}, R"('nothing' called in line 5 has no steps)"}},
      {"every_kind_of_error", {{5, 6, 7, 8, 9, 10, 13}, R"(did you mean `python`?)"}},
      {"half_definitions", {{1, 2, 4, 8, 13}, R"(its file or code is missing)"}},
      {"import_lists", {{1, 3, 4, 5, 6, 7}, R"(did you mean `!retries`?)"}},
      {"indentation", {{4, 7, 8, 9}, R"(mixes tabs and blanks)"}},
      {"literal_arguments", {{4, 5, 5, 6, 7, 8}, R"(literals cannot be arguments)"}},
      {"loop_headers", {{4, 6, 8, 9, 11, 13, 15}, R"(`range` takes one whole number)"}},
      {"loop_needs_its_own_list", {{4}, R"(the loop in line 4)"}},
      {"loop_variable_outside", {{6}, R"('x' is the variable of the loop in line 4)"}},
      {"missing_files", {{4, 5, 6}, R"(there is no file 'nowhere.py')"}},
      {"pipe_as_argument", {{4}, R"(call it first: `v = source()`)"}},
      {"pipes", {{2, 5, 7, 8, 9, 10}, R"(a '|' is missing)"}},
      {"refill_in_sql", {{4}, R"(Python steps only)"}},
      {"refill_misplaced", {{6, 7, 8, 10, 15}, R"(only one loop can iterate over it)"}},
      {"step_called", {{4}, R"(put it in a pipe)"}},
      {"unknown_pipe", {{4, 5}, R"(did you mean `get`?)"}},
      {"unknown_step", {{2, 5}, R"(no step named 'acounts', in the pipe 'p')"}},
      {"unknown_value", {{5}, R"(did you mean `rows`?)"}},
      {"values_in_a_circle", {{4}, R"(values need each other)"}},
  };
  return *kScripts;
}

std::set<std::string> ScriptsIn(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(BUE_TEST_SCRIPTS) + "/" + folder)) {
    if (entry.path().extension() == ".bue") names.insert(entry.path().stem());
  }
  return names;
}

struct Compiled {
  CompileResult result;
  std::string said;
};

Compiled CompileFile(const std::string& path) {
  ScriptFiles files(std::string(BUE_TEST_SCRIPTS) + "/" + path + ".bue");
  const absl::StatusOr<std::string> text = files.ReadScript();
  EXPECT_TRUE(text.ok()) << text.status();
  Compiled compiled{Compile(*text, files.script_name(), &files), ""};
  compiled.said = FormatDiagnostics(compiled.result.diagnostics, files.script_name(), *text);
  return compiled;
}

// But of what is not there yet.
TEST(Scripts, GoodOnesAreAcceptedWithoutAWarning) {
  const std::set<std::string> names = ScriptsIn("good");
  EXPECT_GE(names.size(), 15u);
  for (const std::string& name : names) {
    const Compiled compiled = CompileFile("good/" + name);
    EXPECT_TRUE(compiled.result.program.has_value()) << name;
    for (const Diagnostic& said : compiled.result.diagnostics) {
      EXPECT_TRUE(absl::EndsWith(said.message, " yet")) << name << ": " << compiled.said;
    }
  }
}

TEST(Scripts, BrokenOnesAreRejectedAtTheirLines) {
  EXPECT_GE(BrokenScripts().size(), 20u);
  for (const std::string& name : ScriptsIn("broken")) {
    ASSERT_TRUE(BrokenScripts().contains(name)) << name << " is not in expected.inc";
  }
  for (const auto& [name, want] : BrokenScripts()) {
    const Compiled compiled = CompileFile("broken/" + name);
    EXPECT_FALSE(compiled.result.program.has_value()) << name;
    std::vector<uint32_t> lines;
    for (const Diagnostic& diagnostic : compiled.result.diagnostics) {
      if (diagnostic.severity == Severity::kError) lines.push_back(diagnostic.line);
    }
    EXPECT_THAT(lines, ElementsAreArray(want.lines)) << compiled.said;
    EXPECT_THAT(compiled.said, HasSubstr(want.mentions));
  }
}

}  // namespace
}  // namespace bue::lang
