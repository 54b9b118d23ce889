// Logging for the shell of every role: `event key=value`, one line an event, to standard error.
//
//   log::info("worker lost worker={} leases={} action=requeue", name, count);
//
// Pure code does not log. absl::string_view, Status, Time and Duration can be arguments.
#ifndef BUE_COMMON_LOGGING_H_
#define BUE_COMMON_LOGGING_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "spdlog/fmt/fmt.h"
#include "spdlog/spdlog.h"

template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::string_view text, Context& context) const {
    return fmt::formatter<fmt::string_view>::format({text.data(), text.size()}, context);
  }
};

template <>
struct fmt::formatter<absl::Status> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(const absl::Status& status, Context& context) const {
    const std::string text = status.ToString();
    return fmt::formatter<fmt::string_view>::format({text.data(), text.size()}, context);
  }
};

template <>
struct fmt::formatter<absl::Duration> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::Duration duration, Context& context) const {
    const std::string text = bue::DurationText(duration);
    return fmt::formatter<fmt::string_view>::format({text.data(), text.size()}, context);
  }
};

namespace bue {

namespace log = spdlog;

// Sets the process's logger up: standard error, UTC times, `role` in every line. `level` is one of
// trace, debug, info, warning, error, off. Call once, first thing in main.
void SetUpLogging(absl::string_view role, absl::string_view level);

}  // namespace bue

#endif  // BUE_COMMON_LOGGING_H_
