#include "hub/service/client_messages.h"

#include <string>

#include "common/check.h"
#include "hub/service/worker_messages.h"

namespace bue::hub {
namespace {

v1::RunState ToProto(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return v1::RUNNING;
    case RunState::kPaused:
      return v1::PAUSED;
    case RunState::kSucceeded:
      return v1::RUN_SUCCEEDED;
    case RunState::kFailed:
      return v1::RUN_FAILED;
    case RunState::kCancelled:
      return v1::CANCELLED;
    case RunState::kStopping:
      return v1::STOPPING;
  }
  CHECK(false);
}

// Seconds since 1970; 0 for "not yet".
double ToSeconds(absl::Time time) {
  if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) return 0;
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

double ToSeconds(int64_t unix_us) { return static_cast<double>(unix_us) / 1e6; }

v1::HistoryRecord::End ToProto(HistoryEvent::End end) {
  switch (end) {
    case HistoryEvent::End::kNone:
      return v1::HistoryRecord::GOES_ON;
    case HistoryEvent::End::kSucceeded:
      return v1::HistoryRecord::SUCCEEDED;
    case HistoryEvent::End::kFailed:
      return v1::HistoryRecord::FAILED;
    case HistoryEvent::End::kFiltered:
      return v1::HistoryRecord::FILTERED;
  }
  CHECK(false);
}

void ToProto(const Counts& counts, v1::Counts* out) {
  out->set_total(counts.total);
  out->set_total_unknown(counts.total_unknown);
  out->set_done(counts.done);
  out->set_failed(counts.failed);
  out->set_filtered(counts.filtered);
  out->set_skipped(counts.skipped);
  out->set_running(counts.running);
  out->set_waiting(counts.waiting);
}

void ToProto(const Timing& timing, v1::Timing* out) {
  out->set_attempts(timing.attempts);
  out->set_run_us(timing.run_us);
  out->set_total_us(timing.total_us);
  out->set_run_min_us(timing.run_min_us);
  out->set_run_max_us(timing.run_max_us);
  out->set_run_p50_us(timing.run_p50_us);
  out->set_run_p95_us(timing.run_p95_us);
  out->set_last_result_unix_s(ToSeconds(timing.last_result));
}

}  // namespace

void ToProto(const RunAccepted& accepted, v1::UploadReply* out) {
  out->set_run(accepted.run);
  out->set_existed(accepted.existed);
}

void ToProto(const RunStatus& status, v1::RunStatus* out) {
  out->set_run(status.run);
  out->set_name(status.name);
  out->set_state(ToProto(status.state));
  out->set_started_unix_s(ToSeconds(status.started));
  out->set_ended_unix_s(ToSeconds(status.ended));
  ToProto(status.tasks, out->mutable_tasks());
  ToProto(status.items, out->mutable_items());
  for (const StepStatus& step : status.steps) {
    v1::StepStatus* to = out->add_steps();
    to->set_name(step.name);
    ToProto(step.counts, to->mutable_counts());
    to->set_left_out(step.left_out);
    if (step.timing.attempts > 0) ToProto(step.timing, to->mutable_timing());
    to->set_queued(step.queued);
    to->set_queued_by_value(step.queued_by_value);
    to->set_peak_running(step.peak_running);
    to->set_peak_queued(step.peak_queued);
    to->set_max_running(step.limits.max_running);
    to->set_queue(step.limits.queue);
    to->set_rate(step.limits.rate);
    to->set_rate_s(step.limits.rate_seconds);
    to->set_max_running_key(step.limits.max_running_key);
    to->set_rate_key(step.limits.rate_key);
    to->set_max_running_by(step.limits.max_running_by);
    to->set_rate_by(step.limits.rate_by);
    to->set_scope(step.scope);
  }
  if (status.timing.attempts > 0) ToProto(status.timing, out->mutable_timing());
  if (status.eta.has_value()) out->set_eta_s(absl::ToDoubleSeconds(*status.eta));
  out->set_tasks_per_s(status.tasks_per_s);
  out->set_stopped_by_failure(status.stopped_by_failure);
  out->set_errors(status.errors);
  if (!status.results.has_value()) return;
  out->set_has_results(true);
  for (const ResultEntry& result : *status.results) ToProto(status.run, result, out->add_results());
}

void ToProto(uint64_t run, const ResultEntry& result, v1::ResultRecord* out) {
  out->set_run(run);
  out->set_step(result.step);
  out->set_item(result.item);
  out->set_address(result.address);
  out->set_instance(result.instance);
  out->set_index(result.index);
  out->set_failed(result.failed);
}

void ToProto(const PastEvent& past, const Program& program, v1::HistoryRecord* out) {
  const HistoryEvent& event = past.event;
  out->set_instance(event.instance);
  out->set_index(event.item);
  out->set_item(past.item);
  out->set_item_end(ToProto(event.item_end));
  out->set_ended_unix_s(ToSeconds(event.ended_us));
  if (event.task == HistoryEvent::End::kNone) return;
  out->set_task_end(ToProto(event.task));
  if (event.node < program.nodes.size()) {
    out->set_step(program.steps[program.nodes[event.node].step].name);
  }
  out->set_node(event.node);
  out->set_attempts(event.attempts);
  out->set_queued_unix_s(ToSeconds(event.queued_us));
  out->set_started_unix_s(ToSeconds(event.started_us));
  out->set_id(past.id);
  out->set_is_result(event.is_result);
  out->set_address(event.address);
  if (past.error == nullptr) return;
  out->set_error_type(past.error->type);
  out->set_error(past.error->message);
}

void ToProto(const WorkerStatus& status, v1::WorkerStatus* out) {
  out->set_name(status.name);
  out->set_host(status.host);
  for (const std::string& scope : status.scopes) out->add_scopes(scope);
  uint64_t slots = 0;
  for (int pool = 0; pool < kPools; ++pool) {
    const WorkerRoom& room = status.room[pool];
    slots += room.slots;
    v1::Room* to = out->add_room();
    to->set_pool(ToProto(static_cast<Pool>(pool)));
    to->set_leases(room.leases);
    to->set_slots(room.slots);
  }
  out->set_slots(slots);
  out->set_running(status.running);
  out->set_done(status.done);
  out->set_failed(status.failed);
  out->set_alive(status.alive);
  out->set_last_heard_unix_s(ToSeconds(status.last_heard));
  out->set_version(status.version);
  out->set_ghosts(status.ghosts);
}

namespace {

void ToProto(const TaskInputs& inputs, v1::TaskInputs* out) {
  for (const TaskInput& input : inputs.shown) {
    v1::TaskInput* to = out->add_shown();
    to->set_kind(static_cast<v1::InputColumn::Kind>(input.kind));
    to->set_from(input.from);
    to->set_address(input.address);
    to->set_first(input.first);
    to->set_count(input.count);
    to->set_instance(input.instance);
    to->set_node(input.node);
  }
  out->set_others(inputs.others);
}

}  // namespace

void ToProto(const ErrorRecord& error, v1::ErrorRecord* out) {
  out->set_run(error.run);
  out->set_step(error.step);
  out->set_item(error.item);
  out->set_attempt(error.attempt);
  out->set_action(error.action);
  out->set_worker(error.worker);
  out->set_type(error.type);
  out->set_error(error.message);
  out->set_traceback(error.traceback);
  out->set_at_unix_s(ToSeconds(error.at));
  out->set_final(error.final);
  out->set_pass(error.pass);
  if (error.inputs.has_value()) ToProto(*error.inputs, out->mutable_inputs());
}

void ToProto(const LogAdded& log, v1::LogRecord* out) {
  out->set_run(log.run);
  out->set_step(log.step);
  out->set_item(log.item);
  out->set_attempt(log.attempt);
  out->set_address(log.address);
  out->set_worker(log.worker);
}

void ToProto(const Reasons& reasons, v1::ExplainReply* out) {
  for (const Reasons::Entry& entry : reasons.entries) {
    v1::ExplainReply::Entry* to = out->add_entries();
    to->set_step(entry.step);
    to->set_item(entry.item);
    to->set_tasks(entry.tasks);
    to->set_state(entry.state);
    to->mutable_reasons()->Add(entry.reasons.begin(), entry.reasons.end());
  }
}

void ToProto(const ValuePage& page, v1::ListValuesReply* out) {
  out->mutable_addresses()->Add(page.addresses.begin(), page.addresses.end());
  out->mutable_instances()->Add(page.instances.begin(), page.instances.end());
  out->set_next(page.next);
  out->set_end(page.end);
}

void ToProto(const ValuePlace& place, v1::LocateValueReply* out) {
  out->set_fan_in(place.fan_in);
  out->set_address(place.address);
  out->set_instance(place.instance);
  out->set_node(place.node);
}

void ToProto(const AwayBucket& bucket, v1::AwayBucket* out) {
  out->set_bucket(bucket.bucket);
  out->set_since_unix_s(ToSeconds(bucket.since));
}

}  // namespace bue::hub
