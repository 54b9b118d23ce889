// Limits that go by a value (`!max_running 2 by account`): what names it. ARG is a value that the
// call passes, or the variable of a loop around the call; so all steps of the call's pipe can go by
// it, also those that do not take it.
// Pure.
#ifndef BUE_COMMON_PROGRAM_LIMITS_BY_H_
#define BUE_COMMON_PROGRAM_LIMITS_BY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/program/program.h"

namespace bue {

// The names that the step's limits go by, in the order of Program::by.
std::vector<std::string> NamesOfBy(const Step& step);

struct LimitByMisuse {
  uint32_t node = 0;
  std::string why;  // Goes on from "a limit by a value …".
};

// Nodes whose values to go by do not fit their step's limits: one value for each name, and one that
// an item has, itself or around it, not a list of what a loop's items made.
// REQUIRES: numbers in the program are those of regions, nodes and steps that it has.
std::vector<LimitByMisuse> FindLimitByMisuses(const Program& program);

}  // namespace bue

#endif  // BUE_COMMON_PROGRAM_LIMITS_BY_H_
