// Prints the values that a run ended in to standard output: for people, or as one JSON object a
// line (cli/README.md).
#ifndef BUE_CLI_RESULT_PRINTER_H_
#define BUE_CLI_RESULT_PRINTER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/bucket_client/bucket_client.h"
#include "common/hub_client/hub_client.h"

namespace bue::cli {

// `bucket` may be null: only what there is, without values. The text says how many values could not
// be read, and why; empty: all were. An error: the hub or the bucket is away.
absl::StatusOr<std::string> PrintResults(HubClient* hub, BucketClient* bucket, uint64_t run,
                                         bool json);

}  // namespace bue::cli

#endif  // BUE_CLI_RESULT_PRINTER_H_
