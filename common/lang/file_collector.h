// The file collector gathers what travels with a script: the files that its steps name, the Python
// modules beside them that they import, transitively, and the files included by hand.
//
// An absolute import is looked for in the importing file's folder, then in the folders around it up
// to the script's, and the first folder that has it wins. What lies nowhere there is the worker's
// business (the standard library, installed packages).
#ifndef BUE_COMMON_LANG_FILE_COLLECTOR_H_
#define BUE_COMMON_LANG_FILE_COLLECTOR_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/lang/compiler.h"
#include "common/lang/definitions.h"
#include "common/lang/report.h"
#include "common/lang/syntax.h"
#include "common/program/program.h"

namespace bue::lang {

// `./lib/../steps.py` is `steps.py`; `..` in front and a leading '/' stay.
std::string NormalizePath(absl::string_view path);

struct CollectedFiles {
  std::vector<File> files;                                 // Those that steps name first.
  absl::flat_hash_map<std::string, std::string> contents;  // By SHA-256.
  std::vector<uint32_t> of_source;  // Per SyntaxTree::sources; kNoFile for code.
};

// Reports files that are missing or no text, each at the first step that names it. With nullptr for
// `files` nothing is read and only the files that steps name are listed.
CollectedFiles CollectFiles(const SyntaxTree& tree, const Definitions& definitions,
                            FileSource* files, const CompileOptions& options, Report* report);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_FILE_COLLECTOR_H_
