// Programs for tests, from a few words each:
//
//   step NAME [scope=S] [priority=N] [retries=N] [backoff=S] [timeout=S] [poll=S] [handbacks=N]
//     [mode=M] [sql] [max_running=N[@KEY|%]] [queue=N] [rate=N/S[@KEY|%]] [on_error=stop]
//     [refill]
//                                                S: seconds; KEY: shared by runs that name it;
//                                                %: by a value, which its nodes name
//   loop in REGION over NODE|range:N [by=N]     makes region 1, 2, …
//   node STEP [in REGION] [INPUT ...] [by INPUT ...]
//                                               INPUT: a node's number or name, or e1 for region
//                                               1's element; by: of each limit that goes by a value
//   by NODE INPUT ...                           the same, later
//
// A node of an unknown step makes the step. Names of nodes are their steps'; the first counts.
#ifndef BUE_TESTS_SUPPORT_PROGRAM_TEXT_H_
#define BUE_TESTS_SUPPORT_PROGRAM_TEXT_H_

#include <memory>
#include <string>

#include "common/program/program.h"

namespace bue {

// Dies, naming the line, on text that it does not know.
std::shared_ptr<const Program> ParseProgramText(const std::string& text);

}  // namespace bue

#endif  // BUE_TESTS_SUPPORT_PROGRAM_TEXT_H_
