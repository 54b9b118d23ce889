// Counts, and what can be read off them.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

inline void Run::Count(uint32_t step, const Vertex& vertex, VertexState state, int64_t by) {
  StepCounts& counts = steps_[step];
  switch (state) {
    case VertexState::kSucceeded:
      counts.done += by;
      return;
    case VertexState::kFailed:
      counts.failed += by;
      return;
    case VertexState::kFiltered:
      counts.filtered += by;
      return;
    case VertexState::kSkipped:
      counts.skipped += by;
      return;
    case VertexState::kLeased:
      counts.running += by;
      counts.peak_running = std::max(counts.peak_running, counts.running);
      return;
    case VertexState::kReady:
      counts.ready += by;
      if (vertex.handbacks > 0) counts.returned += by;
      counts.peak_queued = std::max(counts.peak_queued, counts.queued());
      if (by < 0 && limits_queues_ && listener_ != nullptr) {
        listener_->OnQueueShorter(this, step);
      }
      return;
    case VertexState::kDelayed:
      counts.delayed += by;
      return;
    case VertexState::kWaiting:
    case VertexState::kOpen:
      return;
  }
}

void Run::Become(Item* item, uint32_t v, VertexState state) {
  Vertex& vertex = item->vertices[v];
  const VertexState before = std::exchange(vertex.state, state);
  const RunGraph::Vertex& info = graph_.vertex(item->instance->region, v);
  if (info.is_loop) return;
  const uint32_t step = graph_.program().nodes[info.index].step;
  Count(step, vertex, before, -1);
  Count(step, vertex, state, 1);
}

void Run::CountTask(const Item& item, uint32_t v, VertexState state, int64_t by) {
  const RunGraph::Vertex& info = graph_.vertex(item.instance->region, v);
  if (info.is_loop) return;
  Count(graph_.program().nodes[info.index].step, item.vertices[v], state, by);
}

bool Run::AnyLeased() const {
  for (const StepCounts& counts : steps_) {
    if (counts.running > 0) return true;
  }
  return false;
}

RunStatus Run::Status() const {
  RunStatus status{.run = number(),
                   .name = added_.name,
                   .state = state_,
                   .started = added_.added,
                   .ended = ended_,
                   .errors = errors,
                   .stopped_by_failure = stopped_by_failure_};
  bool unknown = false;
  for (uint32_t r = 1; r < graph_.region_count(); ++r) {
    const RegionCounts& outer = regions_[graph_.region(r).parent];
    unknown = unknown || regions_[r].settled + regions_[r].declared < outer.expected + outer.more;
  }
  const Program& program = graph_.program();
  absl::flat_hash_map<std::string, size_t> by_name;
  for (const RunGraph::StepCount& count : graph_.step_counts()) {
    const std::string& name = program.steps[count.step].name;
    const auto [found, added] = by_name.emplace(name, status.steps.size());
    if (added) status.steps.push_back(StepStatus{.name = name});
    Counts& counts = status.steps[found->second].counts;
    counts.total += count.nodes * (regions_[count.region].expected + regions_[count.region].more);
    if (graph_.region(count.region).depth > 0) {
      status.steps[found->second].left_out +=
          count.nodes * (regions_[count.region].failed + regions_[count.region].filtered);
    }
  }
  std::vector<size_t> shown_as(steps_.size(), status.steps.size());
  for (uint32_t s = 0; s < steps_.size(); ++s) {
    const auto found = by_name.find(program.steps[s].name);
    if (found == by_name.end()) continue;
    shown_as[s] = found->second;
    Counts& counts = status.steps[found->second].counts;
    counts.done += steps_[s].done;
    counts.failed += steps_[s].failed;
    counts.filtered += steps_[s].filtered;
    counts.skipped += steps_[s].skipped;
    counts.running += steps_[s].running;
    StepStatus& step = status.steps[found->second];
    step.queued += steps_[s].ready;
    step.peak_running += steps_[s].peak_running;
    step.peak_queued += steps_[s].peak_queued;
    step.scope = program.steps[s].scope;
    const Limit running = LimitOf(s, LimitKind::kMaxRunning);
    const Limit rate = LimitOf(s, LimitKind::kRate);
    step.limits = {.max_running = running.count,
                   .queue = LimitOf(s, LimitKind::kQueue).count,
                   .rate = rate.count,
                   .rate_seconds = rate.per_seconds,
                   .max_running_key = running.key,
                   .rate_key = rate.key,
                   .max_running_by = running.by,
                   .rate_by = rate.by};
  }
  AddTimings(shown_as, &status);
  const auto finish = [&](Counts* counts) {
    const uint64_t over =
        counts->done + counts->failed + counts->filtered + counts->skipped + counts->running;
    counts->waiting = counts->total > over ? counts->total - over : 0;
    if (!active()) {
      counts->skipped += std::exchange(counts->waiting, 0) + std::exchange(counts->running, 0);
    }
    counts->total_unknown = unknown && active();
  };
  for (StepStatus& step : status.steps) {
    finish(&step.counts);
    status.tasks.total += step.counts.total;
    status.tasks.done += step.counts.done;
    status.tasks.failed += step.counts.failed;
    status.tasks.filtered += step.counts.filtered;
    status.tasks.running += step.counts.running;
    status.tasks.skipped += step.counts.skipped;
    status.tasks.waiting += step.counts.waiting;
  }
  status.tasks.total_unknown = unknown && active();
  for (uint32_t r = 1; r < graph_.region_count(); ++r) {
    status.items.total += regions_[r].expected + regions_[r].more;
    status.items.done += regions_[r].done;
    status.items.failed += regions_[r].failed;
    status.items.filtered += regions_[r].filtered;
    status.items.running += regions_[r].live;
  }
  finish(&status.items);
  return status;
}

Limit Run::LimitOf(uint32_t step, LimitKind kind) const {
  const Step& stated = graph_.program().steps[step];
  Limit limit = kind == LimitKind::kMaxRunning ? stated.max_running
                : kind == LimitKind::kRate     ? stated.rate
                                               : Limit{.count = stated.queue};
  const auto changed = changed_limits_.find({step, kind});
  if (changed == changed_limits_.end()) return limit;
  limit.count = changed->second.count;
  limit.per_seconds = changed->second.per_seconds;
  return limit;
}

bool Run::ApplyLimit(const Change& change) {
  if (change.node >= steps_.size() || change.a > static_cast<uint64_t>(kLastLimit) ||
      change.c < 0) {
    return false;
  }
  const auto kind = static_cast<LimitKind>(change.a);
  if ((kind == LimitKind::kRate && change.b > 0) != (change.c > 0)) return false;
  changed_limits_[{change.node, kind}] = {
      .count = change.b, .per_seconds = absl::ToDoubleSeconds(absl::Microseconds(change.c))};
  limits_queues_ = limits_queues_ || (kind == LimitKind::kQueue && change.b > 0);
  return true;
}

// Steps of one name are shown as one.
void Run::AddTimings(const std::vector<size_t>& shown_as, RunStatus* status) const {
  StepStats all;
  std::vector<const StepStats*> first(status->steps.size());
  absl::btree_map<size_t, StepStats> together;
  for (size_t s = 0; s < stats.steps.size(); ++s) {
    const StepStats* step = stats.steps[s].get();
    const size_t shown = shown_as[s];
    if (step == nullptr || shown == first.size()) continue;
    all.Merge(*step);
    if (first[shown] == nullptr) {
      first[shown] = step;
      status->steps[shown].timing = step->ToTiming();
    } else {
      together.try_emplace(shown, *first[shown]).first->second.Merge(*step);
    }
  }
  for (const auto& [shown, step] : together) status->steps[shown].timing = step.ToTiming();
  if (all.attempts() > 0) status->timing = all.ToTiming();
}

uint64_t Run::Finished() const {
  uint64_t finished = 0;
  for (const StepCounts& c : steps_) finished += c.done + c.failed + c.filtered + c.skipped;
  return finished;
}

void Run::VisitAddresses(const std::function<void(uint64_t)>& visit) const {
  for (const auto& entry : instances_) {
    const Instance* const instance = entry.second.get();
    const std::vector<uint32_t>& columns = graph_.region(instance->region).kept_columns;
    instance->kept.Visit(0, [&](uint64_t, absl::Span<const uint64_t> values) {
      for (size_t i = 0; i < columns.size(); ++i) {
        if (!graph_.vertex(instance->region, columns[i]).is_loop && values[i] != 0) {
          visit(values[i]);
        }
      }
      return true;
    });
    if (graph_.region(instance->region).refill) {
      for (const Instance::Segment& segment : instance->segments) visit(segment.address);
    }
    for (const Item* item = instance->first_item; item != nullptr; item = item->next) {
      for (uint32_t v = 0; v < item->vertices.size(); ++v) {
        const Vertex& vertex = item->vertices[v];
        const bool has_value =
            vertex.state == VertexState::kSucceeded || vertex.state == VertexState::kOpen;
        if (has_value && vertex.value != 0 && !graph_.vertex(instance->region, v).is_loop) {
          visit(vertex.value);
        }
      }
    }
  }
}

void Run::CheckInvariants() const {
  std::vector<StepCounts> found(steps_.size());
  for (const auto& [id, instance] : instances_) {
    CHECK(instance->next <= instance->available);
    uint64_t live = 0;
    for (const Item* item = instance->first_item; item != nullptr; item = item->next) {
      CHECK(item->serial != 0 && item->instance == instance.get());
      for (uint32_t v = 0; v < item->vertices.size(); ++v) {
        if (graph_.vertex(instance->region, v).is_loop) continue;
        StepCounts& counts = found[graph_.program().nodes[NodeOf(*item, v)].step];
        const Vertex& vertex = item->vertices[v];
        counts.running += vertex.state == VertexState::kLeased;
        counts.ready += vertex.state == VertexState::kReady;
        counts.returned += vertex.state == VertexState::kReady && vertex.handbacks > 0;
        counts.delayed += vertex.state == VertexState::kDelayed;
      }
      if (item->ended) continue;
      ++live;
      if (instance->region == 0) continue;
      uint32_t open = 0;
      for (const Vertex& vertex : item->vertices) open += !IsTerminal(vertex.state);
      CHECK(open == item->unit.open && open > 0);
    }
    CHECK(live == instance->live);
    if (!graph_.region(instance->region).refill) continue;
    Instance counted(0);
    counted.region = instance->region;
    counted.next = instance->next;
    counted.segments = instance->segments;
    counted.first_item = instance->first_item;
    CHECK(CountOpenItems(&counted));
    for (size_t i = 0; i < counted.segments.size(); ++i) {
      CHECK(counted.segments[i].open == instance->segments[i].open);
    }
  }
  for (uint32_t step = 0; step < steps_.size() && !expired_; ++step) {
    CHECK(found[step].running == steps_[step].running);
    CHECK(found[step].ready == steps_[step].ready);
    CHECK(found[step].returned == steps_[step].returned);
    CHECK(found[step].delayed == steps_[step].delayed);
  }
}

}  // namespace bue::hub
