// What to say of steps and items that a run does not have: which there are, and what comes near.
// Thread-safe.
#ifndef BUE_CLI_UNKNOWN_NAMES_H_
#define BUE_CLI_UNKNOWN_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "bue/v1/hub.pb.h"
#include "common/hub_client/hub_client.h"

namespace bue::cli {

// NotFound, naming the run's steps, if it has none of that name.
absl::Status CheckStep(const v1::RunStatus& run, const std::string& step);

// InvalidArgument if a step that the run has has no such item; OkStatus if that cannot be said.
absl::Status CheckItem(HubClient* hub, uint64_t run, const std::string& step,
                       const std::string& item);

// A hub refused what was asked of `step` and `item` (empty: none was named): says so by the two
// above if they know more, else as the hub did.
absl::Status SayMore(absl::Status refused, HubClient* hub, uint64_t run, const std::string& step,
                     const std::string& item = "");

}  // namespace bue::cli

#endif  // BUE_CLI_UNKNOWN_NAMES_H_
