// VerifyRows looks at what a hub stored, row by row, so that everything that is damaged is named,
// where a hub that starts stops at the first.
#ifndef BUE_HUB_STORAGE_VERIFY_ROWS_H_
#define BUE_HUB_STORAGE_VERIFY_ROWS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/verify_report.h"
#include "hub/scheduler/snapshot.h"

namespace bue::hub {

// Looks at the data directory `dir` without changing it: the directory itself, the database's
// files, every row. NotFound: there is no such directory. Other things that are wrong are problems.
// `snapshot`: what a hub would load; nothing if it could not.
absl::StatusOr<VerifyReport> VerifyStorage(const std::string& dir,
                                           std::optional<HubSnapshot>* snapshot);

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_VERIFY_ROWS_H_
