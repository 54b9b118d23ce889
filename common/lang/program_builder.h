// The program builder makes the Program of a script without errors: steps from definitions and the
// directives around them, nodes from calls, regions from loops.
// Pure.
#ifndef BUE_COMMON_LANG_PROGRAM_BUILDER_H_
#define BUE_COMMON_LANG_PROGRAM_BUILDER_H_

#include <vector>

#include "absl/types/span.h"
#include "common/lang/call_order.h"
#include "common/lang/definitions.h"
#include "common/lang/resolver.h"
#include "common/lang/syntax.h"
#include "common/program/program.h"

namespace bue::lang {

// Fills steps, nodes, regions and bindings. `source_files` says for each of the tree's sources that
// is a path which of the program's files it is.
void BuildProgram(const SyntaxTree& tree, const Definitions& definitions,
                  const Resolution& resolution, absl::Span<const Begin> order,
                  absl::Span<const uint32_t> source_files, Program* program);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_PROGRAM_BUILDER_H_
