// `bue hub --verify`: looks at a hub's data directory without starting a hub or changing anything,
// also while a hub has it open.
//
//   ASSIGN_OR_RETURN(const VerifyReport report, VerifyHub(dir));
#ifndef BUE_HUB_VERIFY_H_
#define BUE_HUB_VERIFY_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/verify_report.h"

namespace bue::hub {

// Checks the directory's format, every checksum, the write-ahead log, that every row decodes, and
// that a scheduler can take it all over and its tables agree. NotFound: there is no such directory.
// Forks, to survive what it looks at: other threads of the caller must hold no locks.
absl::StatusOr<VerifyReport> VerifyHub(const std::string& dir);

}  // namespace bue::hub

#endif  // BUE_HUB_VERIFY_H_
