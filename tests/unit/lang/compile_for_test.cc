#include "tests/unit/lang/compile_for_test.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/program/program_codec.h"

namespace bue::lang {
namespace {

std::vector<std::string> OfSeverity(const CompileResult& result, Severity severity) {
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : result.diagnostics) {
    if (diagnostic.severity != severity) continue;
    lines.push_back(absl::StrCat(diagnostic.line, ":", diagnostic.column, " ", diagnostic.message));
  }
  return lines;
}

}  // namespace

const char kSteps[] =
    "import python (f as a) s.py\n"
    "import python (f as b) s.py\n"
    "import python (f as c) s.py\n"
    "\n"
    "pa = | a\n"
    "pb = | b\n"
    "pc = | c\n";

absl::StatusOr<std::string> FakeFiles::Read(absl::string_view path) {
  const auto found = files_.find(std::string(path));
  if (found == files_.end()) return absl::NotFoundError("there is no such file");
  return found->second;
}

CompileResult CompileText(const std::string& text, const CompileOptions& options) {
  return Compile(text, "test.bue", nullptr, options);
}

Program Accept(const std::string& text) {
  const CompileResult result = CompileText(text);
  EXPECT_TRUE(result.program.has_value())
      << FormatDiagnostics(result.diagnostics, "test.bue", text);
  if (!result.program) return {};
  v1::Program proto;
  ToProto(*result.program, &proto);
  const absl::StatusOr<Program> again = FromProto(proto);
  EXPECT_TRUE(again.ok()) << again.status();
  return *result.program;
}

std::vector<std::string> Errors(const CompileResult& result) {
  return OfSeverity(result, Severity::kError);
}

std::vector<std::string> Warnings(const CompileResult& result) {
  return OfSeverity(result, Severity::kWarning);
}

std::vector<std::string> Reject(const std::string& text) {
  const CompileResult result = CompileText(text);
  EXPECT_FALSE(result.program.has_value()) << "was accepted:\n" << text;
  EXPECT_TRUE(result.contents.empty());
  return Errors(result);
}

Step StepNamed(const Program& program, const std::string& name) {
  for (const Step& step : program.steps) {
    if (step.name == name) return step;
  }
  ADD_FAILURE() << "no step " << name;
  return {};
}

std::vector<std::string> Nodes(const Program& program) {
  std::vector<std::string> nodes;
  for (const Node& node : program.nodes) {
    std::string text = absl::StrCat(program.steps[node.step].name, "(");
    absl::string_view separator;
    for (const Input& input : node.inputs) {
      absl::StrAppend(&text, separator, input.kind == Input::Kind::kElement ? "e" : "",
                      input.index);
      separator = ",";
    }
    nodes.push_back(absl::StrCat(text, ")@", node.region));
  }
  return nodes;
}

}  // namespace bue::lang
