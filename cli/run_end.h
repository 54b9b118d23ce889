// How a run ended, as who waited for it is told.
#ifndef BUE_CLI_RUN_END_H_
#define BUE_CLI_RUN_END_H_

#include "bue/v1/hub.pb.h"

namespace bue::cli {

// Prints its last status as a line and, on standard error, where to look if it failed. The exit
// code.
int ShowEnd(const v1::RunStatus& last);

}  // namespace bue::cli

#endif  // BUE_CLI_RUN_END_H_
