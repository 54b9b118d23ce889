#include "cli/run_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/task_inputs.h"
#include "cli/text.h"

namespace bue::cli {
namespace {

absl::Time FromUnix(double seconds) { return absl::UnixEpoch() + absl::Seconds(seconds); }

// In seconds, without digits that mean nothing.
double Milliseconds(absl::Duration duration) {
  return static_cast<double>(absl::ToInt64Milliseconds(duration)) / 1000;
}

uint64_t Finished(const v1::Counts& counts) {
  return counts.done() + counts.failed() + counts.filtered() + counts.skipped();
}

Json CountsJson(const v1::Counts& counts) {
  return Json{
      {"total", counts.total_unknown() ? Json(nullptr) : Json(counts.total())},
      {"done", counts.done()},
      {"failed", counts.failed()},
      {"filtered", counts.filtered()},
      {"skipped", counts.skipped()},
      {"running", counts.running()},
      {"waiting", counts.waiting()},
  };
}

// As scripts have it: "10/s", "90/m".
std::string RateText(const v1::StepStatus& step) {
  const double per = step.rate_s();
  const std::string unit = per == 1      ? "s"
                           : per == 60   ? "m"
                           : per == 3600 ? "h"
                                         : absl::StrFormat("%g s", per);
  return absl::StrCat(step.rate(), "/", unit);
}

// "  fetch: !max_running 10, !queue 500" for every step that has a limit.
std::string LimitLines(const v1::RunStatus& status) {
  std::string text;
  const auto shared = [](const std::string& key, const std::string& by) {
    if (!by.empty()) return absl::StrCat(" by ", OneLine(by, 40));
    return key.empty() ? "" : absl::StrCat(" key ", OneLine(key, 40));
  };
  for (const v1::StepStatus& step : status.steps()) {
    std::vector<std::string> limits;
    if (step.max_running() > 0) {
      limits.push_back(absl::StrCat("!max_running ", step.max_running(),
                                    shared(step.max_running_key(), step.max_running_by())));
    }
    if (step.queue() > 0) {
      limits.push_back(absl::StrCat("!queue ", step.queue(), " (", step.queued(), " wait)"));
    }
    if (step.rate() > 0) {
      limits.push_back(
          absl::StrCat("!rate ", RateText(step), shared(step.rate_key(), step.rate_by())));
    }
    if (limits.empty()) continue;
    absl::StrAppend(&text, OneLine(step.name(), 60), ": ", absl::StrJoin(limits, ", "));
    if (step.queued_by_value() > 0) {
      absl::StrAppend(&text, "; ", step.queued_by_value(),
                      step.queued_by_value() == 1 ? " waits for room for its value"
                                                  : " wait for room for their values");
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

Json StepJson(const v1::StepStatus& step) {
  Json json{{"name", step.name()}};
  json.update(CountsJson(step.counts()));
  json["left_out"] = step.left_out();
  json["scope"] = step.scope();
  json["queued"] = step.queued();
  json["queued_by_value"] = step.queued_by_value();
  json["peak_running"] = step.peak_running();
  json["peak_queued"] = step.peak_queued();
  json["limits"] = LimitsJson(step);
  json.update(TimingJson(step.timing()));
  return json;
}

std::string Total(const v1::Counts& counts) {
  return counts.total_unknown() ? "?" : absl::StrCat(counts.total());
}

std::string Tasks(uint64_t count, absl::string_view what) {
  return absl::StrCat(count, count == 1 ? " task " : " tasks ", what);
}

Colour StateColour(v1::RunState state) {
  if (state == v1::RUN_SUCCEEDED) return Colour::kGreen;
  if (state == v1::RUN_FAILED || state == v1::CANCELLED) return Colour::kRed;
  return state == v1::PAUSED || state == v1::STOPPING ? Colour::kYellow : Colour::kNone;
}

void AddCounts(const std::string& name, const v1::Counts& counts, uint64_t left_out, Table* table) {
  table->Add({OneLine(name, 60), Total(counts), absl::StrCat(counts.done()),
              absl::StrCat(counts.failed()), absl::StrCat(counts.filtered()),
              absl::StrCat(counts.skipped()), absl::StrCat(counts.running()),
              absl::StrCat(counts.waiting()), left_out == 0 ? "" : absl::StrCat(left_out)});
}

// Of the items that succeeded or failed, how many succeeded; null as long as there is none.
Json SuccessRate(const v1::Counts& items) {
  const uint64_t ended = items.done() + items.failed();
  if (ended == 0) return nullptr;
  const double rate = static_cast<double>(items.done()) / static_cast<double>(ended);
  return std::round(rate * 10'000) / 10'000;
}

std::string WhyStopped(const v1::RunStatus& status) {
  if (!status.stopped_by_failure()) return "";
  return HasEnded(status) ? "; it was stopped because a step with !on_error stop failed"
                          : ", because a step with !on_error stop failed";
}

}  // namespace

Json LimitsJson(const v1::StepStatus& step) {
  const auto number = [](uint64_t n) { return n == 0 ? Json(nullptr) : Json(n); };
  const auto key = [](const std::string& k) { return k.empty() ? Json(nullptr) : Json(k); };
  return Json{
      {"max_running", number(step.max_running())},
      {"max_running_key", key(step.max_running_key())},
      {"max_running_by", key(step.max_running_by())},
      {"queue", number(step.queue())},
      {"rate", step.rate() == 0 ? Json(nullptr) : Json(RateText(step))},
      {"rate_key", key(step.rate_key())},
      {"rate_by", key(step.rate_by())},
  };
}

bool HasEnded(const v1::RunStatus& status) {
  return status.state() == v1::RUN_SUCCEEDED || status.state() == v1::RUN_FAILED ||
         status.state() == v1::CANCELLED;
}

absl::string_view StateName(v1::RunState state) {
  switch (state) {
    case v1::RUNNING:
      return "running";
    case v1::PAUSED:
      return "paused";
    case v1::RUN_SUCCEEDED:
      return "succeeded";
    case v1::RUN_FAILED:
      return "failed";
    case v1::CANCELLED:
      return "cancelled";
    case v1::STOPPING:
      return "stopping";
    case v1::RUN_STATE_UNSPECIFIED:
    case v1::RunState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::RunState_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return "unknown";
}

absl::Duration Elapsed(const v1::RunStatus& status, absl::Time now) {
  const absl::Time end = status.ended_unix_s() > 0 ? FromUnix(status.ended_unix_s()) : now;
  return std::max(absl::ZeroDuration(), end - FromUnix(status.started_unix_s()));
}

std::optional<absl::Duration> Remaining(const v1::RunStatus& status) {
  if (!status.has_eta_s()) return std::nullopt;
  return absl::Seconds(status.eta_s());
}

std::optional<double> Percent(const v1::RunStatus& status) {
  const v1::Counts& tasks = status.tasks();
  if (tasks.total_unknown()) return std::nullopt;
  if (tasks.total() == 0) return HasEnded(status) ? 100 : 0;
  const uint64_t finished = std::min(tasks.total(), Finished(tasks));
  return 100 * static_cast<double>(finished) / static_cast<double>(tasks.total());
}

Json StatusJson(const v1::RunStatus& status, absl::Time now) {
  const std::optional<absl::Duration> remaining = Remaining(status);
  const std::optional<double> percent = Percent(status);
  Json steps = Json::array();
  for (const v1::StepStatus& step : status.steps()) steps.push_back(StepJson(step));
  Json json{
      {"run", RunName(status.run())},
      {"name", status.name()},
      {"state", std::string(StateName(status.state()))},
      {"started", TimeJson(status.started_unix_s())},
      {"ended", TimeJson(status.ended_unix_s())},
      {"elapsed_s", Milliseconds(Elapsed(status, now))},
      {"eta_s", remaining.has_value() ? Json(Milliseconds(*remaining)) : Json(nullptr)},
      {"progress_percent",
       percent.has_value() ? Json(std::round(*percent * 100) / 100) : Json(nullptr)},
      {"tasks_per_s", status.tasks_per_s()},
      {"tasks", CountsJson(status.tasks())},
      {"items", CountsJson(status.items())},
      {"success_rate", SuccessRate(status.items())},
      {"errors", status.errors()},
      {"stopped_by_failure", status.stopped_by_failure()},
  };
  json.update(TimingJson(status.timing()));
  json["steps"] = std::move(steps);
  return json;
}

Json ErrorJson(const v1::ErrorRecord& error) {
  return Json{
      {"run", RunName(error.run())},    {"step", error.step()},
      {"item", error.item()},           {"attempt", error.attempt()},
      {"action", error.action()},       {"worker", error.worker()},
      {"type", error.type()},           {"error", error.error()},
      {"traceback", error.traceback()}, {"at", TimeJson(error.at_unix_s())},
      {"final", error.final()},         {"pass", error.pass()},
      {"inputs", InputsJson(error)},    {"more_inputs", error.inputs().others()},
  };
}

Json WorkerJson(const v1::WorkerStatus& worker, absl::Time now) {
  const double silent = absl::ToDoubleSeconds(now - FromUnix(worker.last_heard_unix_s()));
  return Json{
      {"name", worker.name()},
      {"host", worker.host()},
      {"scopes", std::vector<std::string>(worker.scopes().begin(), worker.scopes().end())},
      {"slots", worker.slots()},
      {"running", worker.running()},
      {"ghosts", worker.ghosts()},
      {"done", worker.done()},
      {"failed", worker.failed()},
      {"alive", worker.alive()},
      {"last_heard_s",
       worker.last_heard_unix_s() == 0 ? Json(nullptr) : Json(std::max(0.0, silent))},
      {"version", worker.version()},
  };
}

std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ProgressLine(const v1::RunStatus& status) {
  const v1::Counts& tasks = status.tasks();
  std::string line = absl::StrCat(RunName(status.run()), " ", StateName(status.state()));
  if (const std::optional<double> percent = Percent(status)) {
    absl::StrAppendFormat(&line, "  %.0f%%", std::floor(*percent));
  }
  absl::StrAppend(&line, "  done ", tasks.done());
  if (!tasks.total_unknown()) absl::StrAppend(&line, "/", tasks.total());
  absl::StrAppend(&line, "  failed ", tasks.failed(), "  running ", tasks.running(), "  waiting ",
                  tasks.waiting());
  if (status.tasks_per_s() > 0) absl::StrAppendFormat(&line, "  %.1f/s", status.tasks_per_s());
  if (const std::optional<absl::Duration> remaining = Remaining(status)) {
    absl::StrAppend(&line, "  eta ", HumanDuration(*remaining));
  }
  return line;
}

std::string EndLine(const v1::RunStatus& status, absl::Time now) {
  const v1::Counts& tasks = status.tasks();
  std::string line = absl::StrCat(
      RunName(status.run()), " ", Paint(StateColour(status.state()), StateName(status.state())),
      " in ", HumanDuration(Elapsed(status, now)), ": ", Tasks(tasks.done(), "done"));
  if (tasks.failed() > 0) absl::StrAppend(&line, ", ", tasks.failed(), " failed");
  if (tasks.skipped() > 0) absl::StrAppend(&line, ", ", tasks.skipped(), " skipped");
  if (tasks.filtered() > 0) absl::StrAppend(&line, ", ", tasks.filtered(), " filtered");
  return absl::StrCat(line, WhyStopped(status));
}

std::string WhatIsMissing(const v1::RunStatus& status) {
  const std::string run = RunName(status.run());
  const v1::Counts& items = status.items();
  std::string text;
  if (items.failed() > 0) {
    text = absl::StrCat(items.failed(), " of ", Total(items), " items of ", run,
                        " failed and are left out");
  } else if (status.tasks().failed() > 0) {
    text = absl::StrCat(Tasks(status.tasks().failed(), ""), "of ", run,
                        " failed, and what needs them has no value");
  }
  if (!text.empty()) absl::StrAppend(&text, "; why: bue errors ", run);
  if (HasEnded(status)) return text;
  return absl::StrCat(text, text.empty() ? "" : "; ", run, " is ", StateName(status.state()),
                      ", so there may be more");
}

std::string RunTable(const v1::RunStatus& status, absl::Time now) {
  std::string text =
      absl::StrCat(Paint(Colour::kBold, RunName(status.run())), " ", OneLine(status.name(), 60),
                   ": ", Paint(StateColour(status.state()), StateName(status.state())),
                   ", started ", HumanTime(FromUnix(status.started_unix_s())), ", elapsed ",
                   HumanDuration(Elapsed(status, now)));
  if (const std::optional<double> percent = Percent(status)) {
    absl::StrAppendFormat(&text, ", %.0f%%", std::floor(*percent));
  }
  absl::StrAppend(&text, WhyStopped(status));
  if (status.tasks_per_s() > 0) absl::StrAppendFormat(&text, ", %.1f/s", status.tasks_per_s());
  if (const std::optional<absl::Duration> remaining = Remaining(status)) {
    absl::StrAppend(&text, ", eta ", HumanDuration(*remaining));
  }
  if (status.errors() > 0) {
    // Without a failed task they are history: what failed was retried since, or ran in spite of it.
    absl::StrAppend(&text, ", ", status.errors(), status.tasks().failed() == 0 ? " earlier" : "",
                    status.errors() == 1 ? " error" : " errors", " (bue errors ",
                    RunName(status.run()), ")");
  }
  Table table(
      {"", "TOTAL", "DONE", "FAILED", "FILTERED", "SKIPPED", "RUNNING", "WAITING", "LEFT OUT"});
  AddCounts("items", status.items(), 0, &table);
  AddCounts("tasks", status.tasks(), 0, &table);
  for (const v1::StepStatus& step : status.steps()) {
    AddCounts(absl::StrCat("  ", step.name()), step.counts(), step.left_out(), &table);
  }
  const std::string why =
      status.tasks().waiting() > 0 && !HasEnded(status)
          ? absl::StrCat("What waits, and for what: bue explain ", RunName(status.run()), "\n")
          : "";
  return absl::StrCat(text, "\n", table.ToString(), TimesTable(status, now), LimitLines(status),
                      why);
}

}  // namespace bue::cli
