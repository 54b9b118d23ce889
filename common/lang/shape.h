// Shape shows a compiled script: its files, its steps with the directives that differ from the
// defaults, and its calls and loops. `bue check` prints it.
// Pure functions.
#ifndef BUE_COMMON_LANG_SHAPE_H_
#define BUE_COMMON_LANG_SHAPE_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "common/program/program.h"

namespace bue::lang {

// For people, indented by loop. A call is one line, `y = request(x) | status | download`; of a very
// long script only the first calls of each region are shown, and how many there are more.
std::string Shape(const Program& program);

// For programs. Absent values are null.
//   script   the script's file name
//   files    [{path, sha256 (64 hex digits), bytes}]
//   steps    [{name, line, language (python|sqlite3|postgres|list), relation, file (path or null),
//              code (or null), scope, priority, timeout_s, retries, backoff_s, poll_s,
//              max_handbacks, mode (auto|async|thread|process), max_running, queue, rate, on_error,
//              refill}]
//            max_running: {count, key, by} or null; rate: the same with per_seconds; queue: or null
//   regions  [{id, parent (null for the top level), variable, line, by, range, source}]
//            range: the count of `range(N)` or null; source: id of the node whose value is the list
//   nodes    [{id, step (name), region, line, inputs: [{node: id} or {element: region}]}]
//   values   [{name, region, node}]
nlohmann::json ShapeJson(const Program& program);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_SHAPE_H_
