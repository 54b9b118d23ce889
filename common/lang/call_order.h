// The order in which calls and loops can run: each behind what it needs. That is the order of the
// text, unless a value is used above where it is bound.
//
// What needs what: a call needs its arguments and, in a loop's body, that the loop has begun; a
// loop's beginning needs its source; its end needs all of its body; a fan-in needs the loop's end.
// Pure.
#ifndef BUE_COMMON_LANG_CALL_ORDER_H_
#define BUE_COMMON_LANG_CALL_ORDER_H_

#include <cstdint>
#include <vector>

#include "common/lang/definitions.h"
#include "common/lang/report.h"
#include "common/lang/resolver.h"
#include "common/lang/syntax.h"

namespace bue::lang {

struct Begin {
  bool is_loop = false;
  uint32_t index = 0;  // Of a call, also a loop's source, or of a loop whose source is known here.
};

// Every call that is not broken and every loop, in an order in which they can run; as in the text
// where nothing speaks against it. Values that need each other are reported.
std::vector<Begin> OrderCalls(const SyntaxTree& tree, const Resolution& resolution,
                              const Definitions& definitions, Report* report);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_CALL_ORDER_H_
