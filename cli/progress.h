// Progress shows on standard error how far a run is: a line that is rewritten on a terminal, a line
// each ten seconds elsewhere.
// Not thread-safe.
#ifndef BUE_CLI_PROGRESS_H_
#define BUE_CLI_PROGRESS_H_

#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"

namespace bue::cli {

class Progress {
 public:
  explicit Progress(absl::Time now);

  void Show(const v1::RunStatus& status, absl::Time now);

  // Takes the rewritten line away.
  void Clear();

 private:
  const bool terminal_;
  absl::Time next_;
  bool shown_ = false;
};

}  // namespace bue::cli

#endif  // BUE_CLI_PROGRESS_H_
