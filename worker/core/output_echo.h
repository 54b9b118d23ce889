// OutputEcho writes what steps print to standard error while they run, a whole line at a time, each
// with its step and item: for `bue run`, whose person sits in front of it.
//
// Not thread-safe: used by the role's loop.
#ifndef BUE_WORKER_CORE_OUTPUT_ECHO_H_
#define BUE_WORKER_CORE_OUTPUT_ECHO_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "worker/executor.h"

namespace bue::worker {

class OutputEcho {
 public:
  using Write = std::function<void(absl::string_view text)>;
  explicit OutputEcho(Write write) : write_(std::move(write)) {}

  void Started(const std::vector<Call>& calls);

  // Every now and then: writes the lines that running calls have printed since. `output` is asked
  // for all that a call has printed so far.
  void Look(const std::function<std::string(uint64_t lease)>& output);

  // The rest of it.
  void Ended(const CallResult& result);

 private:
  struct Printed {
    std::string label;  // "step[item]: "
    size_t bytes = 0;   // Written already.
  };

  void WriteLines(const std::string& label, absl::string_view text) const;

  const Write write_;
  absl::flat_hash_map<uint64_t, Printed> running_;  // By lease.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_OUTPUT_ECHO_H_
