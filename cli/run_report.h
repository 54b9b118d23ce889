// How a run is shown: as JSON (the field names are documented in cli/README.md), as one line of
// progress, as the summary at its end.
#ifndef BUE_CLI_RUN_REPORT_H_
#define BUE_CLI_RUN_REPORT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"
#include "cli/run_times.h"

namespace bue::cli {

bool HasEnded(const v1::RunStatus& status);

// running, paused, succeeded, failed, cancelled
absl::string_view StateName(v1::RunState state);

// Seconds since the run started, until now or until it ended.
absl::Duration Elapsed(const v1::RunStatus& status, absl::Time now);

// What is left, as the hub reckons; nothing while the total or the pace is unknown.
std::optional<absl::Duration> Remaining(const v1::RunStatus& status);
// How much of the tasks is over; nothing while the total is unknown.
std::optional<double> Percent(const v1::RunStatus& status);

Json StatusJson(const v1::RunStatus& status, absl::Time now);
// {max_running, max_running_key, max_running_by, queue, rate, rate_key, rate_by}: numbers, "90/m",
// names; null: none.
Json LimitsJson(const v1::StepStatus& step);
Json ErrorJson(const v1::ErrorRecord& error);
Json WorkerJson(const v1::WorkerStatus& worker, absl::Time now);

// One line, without a line end; bytes that are not UTF-8 become U+FFFD.
std::string ToLine(const Json& json);

// "r1 running  12%  done 12/100  failed 0  running 4  waiting 84  8.1/s  eta 12.0 s"
std::string ProgressLine(const v1::RunStatus& status);

// "r1 succeeded in 0.42 s: 5 tasks done"
std::string EndLine(const v1::RunStatus& status, absl::Time now);

// "5 of 10 items of r1 failed and are left out; why: bue errors r1", for who reads its values;
// empty when nothing is missing.
std::string WhatIsMissing(const v1::RunStatus& status);

// Tables for `bue status`.
std::string RunTable(const v1::RunStatus& status, absl::Time now);

}  // namespace bue::cli

#endif  // BUE_CLI_RUN_REPORT_H_
