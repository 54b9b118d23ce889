// The resolver looks up every name of a script: which pipe a call runs, which call or loop an
// argument's value comes from. What it cannot find it reports.
//
// A value's name means the nearest binding above in its level or one around it; else what a loop
// above bound in its body (the fan-in); else the first binding below in its level or one around it.
// Pure.
#ifndef BUE_COMMON_LANG_RESOLVER_H_
#define BUE_COMMON_LANG_RESOLVER_H_

#include <cstdint>
#include <vector>

#include "common/lang/compiler.h"
#include "common/lang/definitions.h"
#include "common/lang/report.h"
#include "common/lang/syntax.h"
#include "common/lang/value_names.h"

namespace bue::lang {

struct LoopSource {
  bool is_range = false;  // Of `range` elements; else over `value`.
  uint64_t range = 0;
  ValueRef value;
};

struct Resolution {
  std::vector<uint32_t> call_pipes;  // Per call: see Definitions::at; kNone if broken.
  std::vector<ValueRef> arguments;   // Per argument.
  std::vector<LoopSource> loops;     // Per loop.
  bool in_text_order = true;         // No value is used above where it is bound.
  uint64_t node_count = 0;
};

Resolution ResolveNames(const SyntaxTree& tree, const CompileLimits& limits,
                        Definitions* definitions, Report* report);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_RESOLVER_H_
