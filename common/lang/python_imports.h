// Finds the import statements of Python source without running it: strings and comments are
// skipped, statements behind `;` and `:` and in parentheses over several lines are seen. Imports by
// function calls are not. Pure.
#ifndef BUE_COMMON_LANG_PYTHON_IMPORTS_H_
#define BUE_COMMON_LANG_PYTHON_IMPORTS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace bue::lang {

// `import a.b` is {0, [a, b], []}; `from ..a import x, y` is {2, [a], [x, y]}.
struct PythonImport {
  size_t dots = 0;
  std::vector<std::string> module;
  std::vector<std::string> names;

  friend bool operator==(const PythonImport&, const PythonImport&) = default;
};

std::vector<PythonImport> FindPythonImports(absl::string_view code);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_PYTHON_IMPORTS_H_
