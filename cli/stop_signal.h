// StopSignal turns SIGINT and SIGTERM into something a main thread can wait for. The first one asks
// for a clean stop; a second one ends the process at once.
//
// A pipe, not a blocked signal mask: children of the process (runners, the demo's roles) would
// inherit a mask and never hear a signal themselves.
#ifndef BUE_CLI_STOP_SIGNAL_H_
#define BUE_CLI_STOP_SIGNAL_H_

#include "absl/time/time.h"

namespace bue::cli {

class StopSignal {
 public:
  // Installs the handlers, for the process's life; also ignores SIGPIPE, so that a reader of our
  // output that goes away does not end a role. Before any thread starts; once.
  static void Install();

  // Waits until a signal came or `timeout` passed; true: a signal came, now or before.
  static bool Wait(absl::Duration timeout);

  static bool Received();
};

}  // namespace bue::cli

#endif  // BUE_CLI_STOP_SIGNAL_H_
