// What a failed task was called with: each input has a key, a word that `bue errors` shows and
// `bue get --input` takes.
//
//   None
//   1000000000abc            the object at that address (hexadecimal)
//   1000000000abc:4          element 4 of that list
//   1000000000abc:400-499    the list of its elements 400 to 499
//   number:4  number:0-99    that number, or the list of these
//   loop:3:7                 the list of all values that task 7 of the program made in loop 3
//
// Pure functions.
#ifndef BUE_CLI_TASK_INPUTS_H_
#define BUE_CLI_TASK_INPUTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bue/v1/hub.pb.h"
#include "cli/run_report.h"

namespace bue::cli {

std::string KeyOf(const v1::TaskInput& input);

// The reverse; who made it is not in the key. InvalidArgument tells what keys look like.
absl::StatusOr<v1::TaskInput> ParseInputKey(absl::string_view key);

// The first of them as one line, with a command that prints one; empty if they are not known.
std::string InputsLine(const v1::ErrorRecord& error);

// [{key, kind, from}], null if they are not known.
Json InputsJson(const v1::ErrorRecord& error);

}  // namespace bue::cli

#endif  // BUE_CLI_TASK_INPUTS_H_
