// What numbers an option takes, for CLI11's check(): help and message say it in people's words.
// Stateless.
#ifndef BUE_CLI_NUMBER_RANGE_H_
#define BUE_CLI_NUMBER_RANGE_H_

#include <CLI/CLI.hpp>
#include <cstdint>

namespace bue::cli {

CLI::Validator WholeNumber(int64_t least, int64_t most);
CLI::Validator NumberBetween(double least, double most);

}  // namespace bue::cli

#endif  // BUE_CLI_NUMBER_RANGE_H_
