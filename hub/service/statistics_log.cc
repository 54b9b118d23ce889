#include "hub/service/statistics_log.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/logging.h"

namespace bue::hub {
namespace {

constexpr size_t kStepsMax = 10;
constexpr size_t kNameMax = 60;

// To a millisecond, or a microsecond if it is short.
std::string Text(absl::Duration duration) {
  return DurationText(
      absl::Trunc(duration, absl::Microseconds(duration < absl::Milliseconds(10) ? 1 : 1000)));
}

std::string PerAttempt(uint64_t us, const Timing& timing) {
  return Text(absl::Microseconds(us / timing.attempts));
}

void AppendOutcomes(const Counts& counts, std::string* line) {
  absl::StrAppend(line, " completed=", counts.done + counts.failed);
  if (counts.done + counts.failed == 0) return;
  absl::StrAppendFormat(
      line, " success_rate=%.2f%%",
      100 * static_cast<double>(counts.done) / static_cast<double>(counts.done + counts.failed));
}

void AppendTiming(const Timing& timing, std::string* line) {
  if (timing.attempts == 0) return;
  absl::StrAppend(line, " mean=", PerAttempt(timing.run_us, timing),
                  " overhead=", PerAttempt(timing.total_us - timing.run_us, timing));
}

// A client's: it must not end the line, nor fill the log.
std::string Escaped(const StepStatus& step) {
  return absl::Utf8SafeCEscape(absl::string_view(step.name).substr(0, kNameMax));
}

void AppendStep(const StepStatus& step, std::string* line) {
  absl::StrAppend(line, Escaped(step), " running=", step.counts.running,
                  " queued=", step.queued);
  AppendOutcomes(step.counts, line);
  AppendTiming(step.timing, line);
}

// The steps to show, in the script's order.
std::vector<size_t> Busiest(const std::vector<StepStatus>& steps) {
  std::vector<size_t> busiest(steps.size());
  std::iota(busiest.begin(), busiest.end(), 0);
  const auto more = [&](size_t a, size_t b) {
    if (steps[a].counts.running != steps[b].counts.running) {
      return steps[a].counts.running > steps[b].counts.running;
    }
    if (steps[a].timing.attempts != steps[b].timing.attempts) {
      return steps[a].timing.attempts > steps[b].timing.attempts;
    }
    return a < b;
  };
  const size_t shown = std::min(kStepsMax, steps.size());
  std::partial_sort(busiest.begin(), busiest.begin() + shown, busiest.end(), more);
  busiest.resize(shown);
  std::sort(busiest.begin(), busiest.end());
  return busiest;
}

}  // namespace

std::string StatisticsLine(const RunStatus& status) {
  std::string line =
      absl::StrCat("run statistics run=r", status.run, " state=", NameOf(status.state),
                   " active=", status.tasks.running, " waiting=", status.tasks.waiting);
  AppendOutcomes(status.tasks, &line);
  if (!status.tasks.total_unknown) absl::StrAppend(&line, " total=", status.tasks.total);
  if (status.tasks_per_s > 0) absl::StrAppendFormat(&line, " rate=%.1f/s", status.tasks_per_s);
  if (status.eta.has_value()) absl::StrAppend(&line, " eta=", Text(*status.eta));
  AppendTiming(status.timing, &line);
  absl::StrAppend(&line, " steps=[");
  const std::vector<size_t> busiest = Busiest(status.steps);
  for (const size_t step : busiest) {
    if (step != busiest.front()) absl::StrAppend(&line, ", ");
    AppendStep(status.steps[step], &line);
  }
  absl::StrAppend(&line, "]");
  if (busiest.size() < status.steps.size()) {
    absl::StrAppend(&line, " other_steps=", status.steps.size() - busiest.size());
  }
  return line;
}

std::vector<std::string> StatisticsLines(const RunStatistics& statistics) {
  std::vector<std::string> lines;
  for (const RunStatus& status : statistics.busiest) lines.push_back(StatisticsLine(status));
  if (statistics.others > 0) {
    lines.push_back(absl::StrCat("run statistics other_active_runs=", statistics.others));
  }
  return lines;
}

StatisticsLog::StatisticsLog(absl::Duration interval, Ask ask)
    : interval_(interval), ask_(std::move(ask)) {}

StatisticsLog::~StatisticsLog() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void StatisticsLog::Start() {
  if (interval_ > absl::ZeroDuration()) thread_ = std::thread([this] { Run(); });
}

void StatisticsLog::Run() {
  while (Pause()) {
    const absl::StatusOr<RunStatistics> statistics = ask_(QueryStatistics{});
    if (!statistics.ok()) continue;  // The hub is stopping, or has too much to do to tell.
    for (const std::string& line : StatisticsLines(*statistics)) log::info("{}", line);
  }
}

bool StatisticsLog::Pause() {
  const absl::Time end = absl::Now() + interval_;
  absl::MutexLock lock(&mutex_);
  while (!stopping_ && !wake_.WaitWithDeadline(&mutex_, end)) {
  }
  return !stopping_;
}

}  // namespace bue::hub
