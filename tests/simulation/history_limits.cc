// Limits: never more at once, or in a time, than a script allows.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/simulation/history.h"

namespace bue::sim {

// From the moment the hub takes it in the greater number may hold; a power cut may take it back.
void History::TookLimits(const hub::SetLimits& command) {
  if (!command.max_running.has_value()) return;
  std::optional<uint64_t>& most = changed_limits_[{command.run, command.step}];
  if (*command.max_running == 0 || most == 0) {
    most = 0;
  } else {
    most = std::max(most.value_or(0), *command.max_running);
  }
}

// Whether somebody may be at it, as far as the hub can know.
bool History::MayRun(const Lease& lease, absl::Time now) const {
  if (lease.state != State::kLive) return false;
  if (lease.stream == 0) {
    return awaited_.contains(lease.worker) && !returned_.contains(lease.worker) &&
           now < hub_started_ + rules_.reattach_grace;
  }
  const auto stream = streams_.find(lease.stream);
  return stream != streams_.end() && now < stream->second.gone_at + rules_.reconnect_grace;
}

std::string History::LimitName(const Lease& lease, const Limit& limit) const {
  if (!limit.key.empty()) return absl::StrCat("key ", limit.key);
  const Program& program = *runs_.at(lease.task.run).program;
  return absl::StrCat("r", lease.task.run, ".", lease.task.upload, " ",
                      program.steps[program.nodes[lease.task.node].step].name);
}

void History::CheckLimits(uint64_t id, bool is_source, absl::Time now, const std::string& name) {
  const Lease& lease = leases_.at(id);
  const Run& run = runs_.at(lease.task.run);
  if (run.program == nullptr) return;
  const Step& step = run.program->steps[run.program->nodes[lease.task.node].step];
  const auto changed = changed_limits_.find({lease.task.run, step.name});
  const std::optional<uint64_t> live =
      changed == changed_limits_.end() ? std::nullopt : changed->second;
  // What is counted under a key is counted for all; a run's own number may have been changed.
  std::set<uint64_t>& others = limited_[LimitName(lease, step.max_running)];
  std::erase_if(others, [&](uint64_t other) { return !MayRun(leases_.at(other), now); });
  const uint64_t most = std::max(step.max_running.count, live.value_or(0));
  if (step.max_running.count > 0 && live != 0 && others.size() >= most) {
    Fail(absl::StrCat(name, " was granted although ", others.size(), " run under !max_running ",
                      most, " (", LimitName(lease, step.max_running), ")"));
  }
  if (!is_source) others.insert(id);  // One that waits for readers does not run.
  if (step.rate.count == 0) return;
  std::deque<absl::Time>& starts = starts_[LimitName(lease, step.rate)];
  const absl::Time since = now - absl::Seconds(step.rate.per_seconds);
  while (!starts.empty() && starts.front() <= since) starts.pop_front();
  if (starts.size() >= step.rate.count) {
    Fail(absl::StrCat(name, " was granted although ", starts.size(), " started within ",
                      step.rate.per_seconds, " s, under !rate ", step.rate.count, " (",
                      LimitName(lease, step.rate), ")"));
  }
  starts.push_back(now);
}

// The hub's clock may have been set back.
void History::ForgetFutureStarts(absl::Time now) {
  for (auto& [limit, starts] : starts_) {
    if (!starts.empty() && starts.back() > now) starts.clear();
  }
}

}  // namespace bue::sim
