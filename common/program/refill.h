// A `!refill` step gives the items of a loop, call by call. It makes sense nowhere else: its values
// are never whole, so nothing but that one loop can take them.
// Pure.
#ifndef BUE_COMMON_PROGRAM_REFILL_H_
#define BUE_COMMON_PROGRAM_REFILL_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/program/program.h"

namespace bue {

struct RefillMisuse {
  uint32_t node = 0;
  absl::string_view why;  // Of static storage. Goes on from "a !refill step …".
};

// The nodes of `!refill` steps that are not what one loop, right beside them, iterates over.
// REQUIRES: numbers in the program are those of regions, nodes and steps that it has.
std::vector<RefillMisuse> FindRefillMisuses(const Program& program);

}  // namespace bue

#endif  // BUE_COMMON_PROGRAM_REFILL_H_
