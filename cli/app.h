// The command line as a whole: the app with all commands, and what is said about wrong words.
#ifndef BUE_CLI_APP_H_
#define BUE_CLI_APP_H_

#include "cli/command.h"

namespace bue::cli {

// Parses the line, runs the command, returns the process's exit code.
int Main(int argc, char** argv);

}  // namespace bue::cli

#endif  // BUE_CLI_APP_H_
