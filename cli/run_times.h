// How a run's times are shown: what its attempts took, what of that was overhead, when the last
// result came; as JSON (the field names are documented in cli/README.md) and as a table.
#ifndef BUE_CLI_RUN_TIMES_H_
#define BUE_CLI_RUN_TIMES_H_

#include <string>

#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"
#include "nlohmann/json.hpp"

namespace bue::cli {

using Json = nlohmann::ordered_json;

// Null for 0.
Json TimeJson(double unix_s);

// "340 us", "1.2 ms", "102 ms", "3.40 s", "12.3 s", then as HumanDuration.
std::string ShortTime(absl::Duration duration);

// {"attempts", "run_s": {…}, "overhead_ms", "overhead_percent", "last_result"}: means of an
// attempt; without any, all but the first are null.
Json TimingJson(const v1::Timing& timing);

// A row for all steps, if there are several, and one for each that has run. Empty: none has.
std::string TimesTable(const v1::RunStatus& status, absl::Time now);

}  // namespace bue::cli

#endif  // BUE_CLI_RUN_TIMES_H_
