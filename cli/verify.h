// What `--verify` of a role prints.
#ifndef BUE_CLI_VERIFY_H_
#define BUE_CLI_VERIFY_H_

#include "absl/status/statusor.h"
#include "common/verify_report.h"

namespace bue::cli {

// Prints the report, as text or as one JSON object. The exit code: whether anything is wrong.
absl::StatusOr<int> PrintVerified(const absl::StatusOr<VerifyReport>& report, bool json);

}  // namespace bue::cli

#endif  // BUE_CLI_VERIFY_H_
