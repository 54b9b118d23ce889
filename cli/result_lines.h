// The lines of `bue results`: what a run's items ended in, as the hub has it now or as it comes.
#ifndef BUE_CLI_RESULT_LINES_H_
#define BUE_CLI_RESULT_LINES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/bucket_client/bucket_client.h"
#include "common/hub_client/hub_client.h"

namespace bue::cli {

struct ResultsWanted {
  uint64_t run = 0;
  bool json = false;         // With times; and failed items, too.
  bool failed_only = false;  // Nothing but failed items.
  bool all = false;          // Those, too.
};

// Both: `bucket` may be null: only what there is, without values. The text says how many values
// could not be read, and why; empty: all were. An error: the hub or the bucket is away.

// Values loop by loop in item order, then items that failed.
absl::StatusOr<std::string> PrintResults(HubClient* hub, BucketClient* bucket,
                                         const ResultsWanted& wanted);

// A line for each item when it ends, until the run has ended. `any`: whether the hub told of any.
absl::StatusOr<std::string> FollowResults(HubClient* hub, BucketClient* bucket,
                                          const ResultsWanted& wanted, bool* any);

}  // namespace bue::cli

#endif  // BUE_CLI_RESULT_LINES_H_
