// Child is a role of the demo: this binary started once more, in a process group of its own, so
// that Ctrl-C on the terminal reaches the demo alone, which then stops its roles in order. It ends
// with the demo, however that ends. Not thread-safe; started from the main thread.
#ifndef BUE_CLI_CHILD_H_
#define BUE_CLI_CHILD_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bue::cli {

class Child {
 public:
  // Starts `bue ARGUMENTS` and waits for its first line of output. Unavailable, naming the command,
  // if it ends or says nothing within `timeout`; its standard error, which is ours, says why.
  static absl::StatusOr<std::unique_ptr<Child>> Start(const std::vector<std::string>& arguments,
                                                      absl::Duration timeout);
  // Kills it if it was not stopped.
  ~Child();

  const std::string& ready_line() const { return ready_line_; }

  bool Running();

  // SIGTERM; SIGKILL after `grace`.
  void Stop(absl::Duration grace);

 private:
  Child(pid_t pid, int output) : pid_(pid), output_(output) {}

  bool ReadReadyLine(absl::Time deadline);

  pid_t pid_;  // 0: it has ended and was waited for.
  const int output_;
  std::string ready_line_;
};

}  // namespace bue::cli

#endif  // BUE_CLI_CHILD_H_
