// Which Python interpreter runs the steps.
#ifndef BUE_WORKER_PYTHON_FIND_PYTHON_H_
#define BUE_WORKER_PYTHON_FIND_PYTHON_H_

#include <string>

#include "absl/status/statusor.h"

namespace bue::worker {

// The interpreter's own path (never a launcher script's): `option` if it is not empty (--python),
// else that of the active virtual environment, else the first of `python3` on PATH and
// /usr/bin/python3 that is Python 3.10 or later and can import msgpack. FailedPrecondition says
// what was tried and how to mend it. Runs the candidates: blocks for some 100 ms.
absl::StatusOr<std::string> FindPython(const std::string& option);

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_FIND_PYTHON_H_
