// What the language's tests share: files that are none, compiling in one line, and looking at the
// result.
#ifndef BUE_TESTS_UNIT_LANG_COMPILE_FOR_TEST_H_
#define BUE_TESTS_UNIT_LANG_COMPILE_FOR_TEST_H_

#include <map>
#include <string>
#include <vector>

#include "common/lang/compiler.h"

namespace bue::lang {

class FakeFiles final : public FileSource {
 public:
  FakeFiles() = default;
  explicit FakeFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  absl::StatusOr<std::string> Read(absl::string_view path) override;

 private:
  std::map<std::string, std::string> files_;
};

// Steps a, b and c, and pipes `pa`, `pb`, `pc` of one of each; seven lines.
extern const char kSteps[];

// Compiles without looking at files.
CompileResult CompileText(const std::string& text, const CompileOptions& options = {});

// The program of a script that must be right; the test fails with the diagnostics if it is not.
Program Accept(const std::string& text);

// `line:column message` of each error, or of each warning.
std::vector<std::string> Errors(const CompileResult& result);
std::vector<std::string> Warnings(const CompileResult& result);

// The errors of a script that must be wrong.
std::vector<std::string> Reject(const std::string& text);

// The step named so; the test fails if there is none.
Step StepNamed(const Program& program, const std::string& name);

// The nodes as `name(inputs)@region`, where an input is the node's number or `e` and the region.
std::vector<std::string> Nodes(const Program& program);

}  // namespace bue::lang

#endif  // BUE_TESTS_UNIT_LANG_COMPILE_FOR_TEST_H_
