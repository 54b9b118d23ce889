#include "cli/run_times.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/text.h"

namespace bue::cli {
namespace {

constexpr size_t kNameMax = 22;  // So that a line has a hundred characters.

double PerAttempt(uint64_t us, const v1::Timing& timing) {
  return static_cast<double>(us) / static_cast<double>(timing.attempts());
}

uint64_t OverheadOf(const v1::Timing& timing) {
  return timing.total_us() - std::min(timing.total_us(), timing.run_us());
}

double OverheadPercent(const v1::Timing& timing) {
  if (timing.total_us() == 0) return 0;
  return 100 * static_cast<double>(OverheadOf(timing)) / static_cast<double>(timing.total_us());
}

// Without digits that mean nothing.
double Rounded(double value, double digits) { return std::round(value * digits) / digits; }

double Seconds(double us) { return Rounded(us / 1e6, 1e6); }

std::string Micros(double us) { return ShortTime(absl::Microseconds(us)); }

void AddRow(const std::string& name, const v1::Timing& timing, absl::Time now, Table* table) {
  const auto exact = [](uint64_t us) { return Micros(static_cast<double>(us)); };
  const absl::Time last = absl::UnixEpoch() + absl::Seconds(timing.last_result_unix_s());
  table->Add({OneLine(name, kNameMax), Micros(PerAttempt(timing.run_us(), timing)),
              exact(timing.run_min_us()), exact(timing.run_p50_us()), exact(timing.run_p95_us()),
              exact(timing.run_max_us()),
              absl::StrCat(Micros(PerAttempt(OverheadOf(timing), timing)),
                           absl::StrFormat(" %.0f%%", OverheadPercent(timing))),
              absl::StrCat(ShortTime(std::max(absl::ZeroDuration(), now - last)), " ago")});
}

}  // namespace

Json TimeJson(double unix_s) {
  if (unix_s == 0) return nullptr;
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::UnixEpoch() + absl::Seconds(unix_s),
                          absl::UTCTimeZone());
}

std::string ShortTime(absl::Duration duration) {
  const double us = std::max(0.0, absl::ToDoubleMicroseconds(duration));
  if (us < 999.5) return absl::StrFormat("%.0f us", us);
  if (us < 9.95e3) return absl::StrFormat("%.1f ms", us / 1e3);
  if (us < 999.5e3) return absl::StrFormat("%.0f ms", us / 1e3);
  return HumanDuration(duration);
}

Json TimingJson(const v1::Timing& timing) {
  if (timing.attempts() == 0) {
    return Json{{"attempts", 0},          {"run_s", nullptr},
                {"overhead_ms", nullptr}, {"overhead_percent", nullptr},
                {"total_s", nullptr},     {"last_result", nullptr}};
  }
  const auto exact = [](uint64_t us) { return Seconds(static_cast<double>(us)); };
  return Json{
      {"attempts", timing.attempts()},
      {"run_s", Json{{"mean", Seconds(PerAttempt(timing.run_us(), timing))},
                     {"min", exact(timing.run_min_us())},
                     {"max", exact(timing.run_max_us())},
                     {"p50", exact(timing.run_p50_us())},
                     {"p95", exact(timing.run_p95_us())}}},
      {"overhead_ms", Rounded(PerAttempt(OverheadOf(timing), timing) / 1e3, 1e3)},
      {"overhead_percent", Rounded(OverheadPercent(timing), 1e2)},
      {"total_s", Seconds(PerAttempt(timing.total_us(), timing))},
      {"last_result", TimeJson(timing.last_result_unix_s())},
  };
}

std::string TimesTable(const v1::RunStatus& status, absl::Time now) {
  if (status.timing().attempts() == 0) return "";
  Table table({"RUN TIME", "MEAN", "MIN", "P50", "P95", "MAX", "OVERHEAD", "LAST RESULT"});
  if (status.steps_size() > 1) AddRow("tasks", status.timing(), now, &table);
  for (const v1::StepStatus& step : status.steps()) {
    if (step.timing().attempts() == 0) continue;
    AddRow(absl::StrCat("  ", step.name()), step.timing(), now, &table);
  }
  return table.ToString();
}

}  // namespace bue::cli
