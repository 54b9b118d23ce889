// StopSignal turns SIGINT and SIGTERM into something a main thread can wait for. The first one asks
// for a clean stop; a second one ends the process at once, and so does a first one while a role
// still starts: it has promised nothing yet, and what it left half done the next start deals with.
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
  // output that goes away does not end a role. `exit_code`: when a signal ends the process at once.
  // Before any thread starts; once.
  static void Install(int exit_code);

  // The start is over: from here on the first signal asks for a clean stop. One that came earlier
  // has ended the process.
  static void Started();

  // Waits until a signal came or `timeout` passed; true: a signal came, now or before.
  static bool Wait(absl::Duration timeout);

  static bool Received();
};

}  // namespace bue::cli

#endif  // BUE_CLI_STOP_SIGNAL_H_
