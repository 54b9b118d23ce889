// Limits: never more at once, or in a time, than a script allows.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/simulation/history.h"

namespace bue::sim {

// From the moment the hub takes it in the greater number may hold; a power cut may take it back.
void History::TookLimits(const hub::SetLimits& command) {
  runs_[command.run].limits_changed = true;
  ForgetWaits(command.run);
  const auto note = [&](std::optional<uint64_t> count, ChangedLimits* changed) {
    if (!count.has_value()) return;
    uint64_t& most = (*changed)[{command.run, command.step}];
    most = std::max(most, *count == 0 ? kNoLimit : *count);
  };
  note(command.max_running, &changed_limits_);
  note(command.queue, &changed_queues_);
}

// The most that a limit ever was.
uint64_t History::MostOf(uint64_t count, const ChangedLimits& changes,
                         const std::pair<uint64_t, std::string>& step) {
  if (count == 0) return kNoLimit;
  const auto changed = changes.find(step);
  return changed == changes.end() ? count : std::max(count, changed->second);
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

// What was cancelled and has not ended counts, as long as its worker could say otherwise at any
// time.
// As far as the hub can know: by its worker's stream, whichever that is by now.
bool History::GoesOn(const Lease& lease) const {
  return lease.goes_on && std::any_of(streams_.begin(), streams_.end(), [&](const auto& entry) {
           const Stream& stream = entry.second;
           return stream.worker == lease.worker && stream.incarnation == lease.incarnation &&
                  stream.gone_at == absl::InfiniteFuture();
         });
}

void History::GoesOn(uint64_t id) {
  Lease& lease = leases_.at(id);
  const auto run = runs_.find(lease.task.run);
  if (run == runs_.end() || run->second.program == nullptr) return;
  const Program& program = *run->second.program;
  lease.goes_on = true;
  limited_[LimitName(lease, program.steps[program.nodes[lease.task.node].step].max_running)].insert(
      id);
}

void History::IsOver(uint64_t id) { leases_.at(id).goes_on = false; }

std::string History::LimitName(const Lease& lease, const Limit& limit) const {
  if (!limit.key.empty()) return absl::StrCat("key ", limit.key);
  const Program& program = *runs_.at(lease.task.run).program;
  const Step& step = program.steps[program.nodes[lease.task.node].step];
  const std::string name =
      absl::StrCat("r", lease.task.run, ".", lease.task.upload, " ", step.name);
  if (limit.by.empty()) return name;
  const bool is_second = &limit == &step.rate && !step.max_running.by.empty();
  return absl::StrCat(name, " by ", lease.by[is_second ? 1 : 0]);
}

// What the task's own inputs say, whatever the hub was told.
std::vector<uint64_t> History::ByOf(const hub::GrantGroup& group, size_t row) {
  std::vector<uint64_t> by;
  const Program& program = *runs_.at(group.run).program;
  const Node& node = program.nodes[group.node];
  const size_t call = group.inputs.size() - node.inputs.size();  // Of a `!refill` step.
  for (const Input& value : bue::ByOf(program, node)) {
    const auto input = std::find(node.inputs.begin(), node.inputs.end(), value);
    const hub::InputColumn& column = group.inputs[call + (input - node.inputs.begin())];
    by.push_back(ByHashOf(bucket_, column, row));
  }
  return by;
}

void History::CheckLimits(uint64_t id, bool is_source, absl::Time now, const std::string& name) {
  const Lease& lease = leases_.at(id);
  const Run& run = runs_.at(lease.task.run);
  if (run.program == nullptr) return;
  const Step& step = run.program->steps[run.program->nodes[lease.task.node].step];
  // What is counted under a key is counted for all; a run's own number may have been changed.
  std::set<uint64_t>& others = limited_[LimitName(lease, step.max_running)];
  std::erase_if(others, [&](uint64_t other) {
    return !MayRun(leases_.at(other), now) && !GoesOn(leases_.at(other));
  });
  const uint64_t most =
      MostOf(step.max_running.count, changed_limits_, {lease.task.run, step.name});
  // One that its worker went on to was under no limit then.
  if (others.size() >= most && !lease.eager) {
    Fail(absl::StrCat(name, " was granted although ", others.size(), " run under !max_running ",
                      most, " (", LimitName(lease, step.max_running), ")"));
  }
  if (!is_source) others.insert(id);  // One that waits for readers does not run.
}

// What nobody counts any more, because its worker is thought to be gone, may start when it likes.
void History::Starting(uint64_t id, absl::Time now) {
  const Lease& lease = leases_.at(id);
  const Run& run = runs_.at(lease.task.run);
  if (run.program == nullptr || lease.revoked) return;
  const Step& step = run.program->steps[run.program->nodes[lease.task.node].step];
  if (step.rate.count == 0) return;
  if (hub_is_up_ ? !MayRun(lease, now + clock_offset_) : lease.state != State::kLive) return;
  std::deque<absl::Time>& starts = starts_[LimitName(lease, step.rate)];
  const absl::Time since = now - absl::Seconds(step.rate.per_seconds);
  while (!starts.empty() && starts.front() <= since) starts.pop_front();
  if (starts.size() >= step.rate.count) {
    Fail(absl::StrCat(NameOf(lease.task), " (", LeaseName(id), " of ", lease.worker,
                      ") starts although ", starts.size(), " did within ", step.rate.per_seconds,
                      " s, under !rate ", step.rate.count, " (", LimitName(lease, step.rate), ")"));
  }
  starts.push_back(now);
}

// Tasks in front of a `!queue`: those that wait there, and those under way to it. What was granted
// once may come back and overfill it, so it is left out. Only a grant adds one, and whatever the
// order of a turn's grants was, it holds after them.
void History::CheckQueues(absl::Time now) {
  for (const auto& [number, run] : runs_) {
    if (run.program == nullptr) continue;
    for (uint32_t n = 0; n < run.program->nodes.size(); ++n) {
      const Step& step = run.program->steps[run.program->nodes[n].step];
      const uint64_t most = MostOf(step.queue, changed_queues_, {number, step.name});
      if (most == kNoLimit) continue;
      const uint64_t count = CountInFront(number, run, n, now);
      if (count <= most) continue;
      Fail(absl::StrCat("r", number, " ", step.name, ": ", count,
                        " tasks wait in front of it, or are about to, under !queue ", most));
    }
  }
}

// A restart begins items up to the reservation, whatever waits.
uint64_t History::CountInFront(uint64_t number, const Run& run, uint32_t node, absl::Time now) {
  std::set<uint64_t>& leases = in_front_[{number, node}];
  std::erase_if(leases, [&](uint64_t id) {
    const Lease& lease = leases_.at(id);
    return lease.task.upload != run.upload || !MayRun(lease, now);
  });
  if (restarted_ && run.known->IsFirst(node)) return 0;
  return run.known->Waiting(node) + leases.size();
}

}  // namespace bue::sim
