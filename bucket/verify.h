// `bue bucket --verify`: looks at a bucket's data directory without starting a bucket or changing
// anything, also while a bucket has it open.
//
//   ASSIGN_OR_RETURN(const VerifyReport report, VerifyBucket(dir));
#ifndef BUE_BUCKET_VERIFY_H_
#define BUE_BUCKET_VERIFY_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/verify_report.h"

namespace bue {

// Checks the directory's format, every checksum, the write-ahead log, and that each object's head,
// chunks and index agree. NotFound: there is no such directory.
absl::StatusOr<VerifyReport> VerifyBucket(const std::string& dir);

}  // namespace bue

#endif  // BUE_BUCKET_VERIFY_H_
