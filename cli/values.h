// Values of a run as JSON, from the bucket to standard output. What JSON lacks is written as
// common/value/json.h says.
//
// Memory stays bounded for lists and bytes of any size; one huge value that is neither is held
// whole.
#ifndef BUE_CLI_VALUES_H_
#define BUE_CLI_VALUES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/bucket_client/bucket_client.h"
#include "common/hub_client/hub_client.h"

namespace bue::cli {

// Takes text piece by piece.
using Sink = std::function<void(absl::string_view)>;

// The object as JSON text, complete.
absl::StatusOr<std::string> ToJson(const Fetched& object);

// Gets many objects at once, waiting for all; see BucketClient::Get.
std::vector<absl::StatusOr<Fetched>> FetchAll(BucketClient* bucket,
                                              const std::vector<uint64_t>& addresses,
                                              uint64_t bytes_max);

// Streams one object of any size.
absl::Status WriteObject(BucketClient* bucket, uint64_t address, const Sink& sink);

// Streams elements of a list from `first` on: a list of at most `count`, or with count 0 that one
// element itself (held whole; OutOfRange if there is none). InvalidArgument: it is no list.
absl::Status WriteElements(BucketClient* bucket, uint64_t address, uint64_t first, uint64_t count,
                           const Sink& sink);

// Streams the list of a loop's values: `node` in all items of `instance`, nested for deeper loops.
absl::Status WriteFanIn(HubClient* hub, BucketClient* bucket, const v1::ListValuesRequest& request,
                        const Sink& sink);

}  // namespace bue::cli

#endif  // BUE_CLI_VALUES_H_
