// What a grant must keep to.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/history.h"

namespace bue::sim {

void History::Granted(const hub::GrantGroup& group, size_t row, absl::Time now) {
  const uint64_t id = group.lease[row];
  Lease lease{.task = {.run = group.run,
                       .upload = runs_[group.run].upload,
                       .instance = group.instance,
                       .item = group.item[row],
                       .node = group.node,
                       .pass = group.pass[row]},
              .stream = group.worker,
              .pool = group.pool,
              .attempt = group.attempt[row],
              .handbacks = group.handbacks[row],
              .eager = group.after != 0};
  if (const auto known = leases_.find(id); known != leases_.end()) {
    if (!lease.eager) return Fail(LeaseName(id) + " was granted twice");
    lease.started = known->second.started;
    lease.failure_counted = known->second.failure_counted;
    lease.was_reported = known->second.was_reported;
  }
  const auto stream = streams_.find(group.worker);
  // Of one that went on by itself the hub may have heard that, and that it is gone, in one turn.
  if (stream == streams_.end() ||
      (stream->second.gone_at != absl::InfiniteFuture() && !lease.eager)) {
    return Fail(absl::StrCat(NameOf(lease.task), " was granted to a worker that is gone"));
  }
  lease.power_cuts = power_cuts_;
  lease.interruptions = runs_[lease.task.run].interruptions;
  lease.worker = stream->second.worker;
  lease.incarnation = stream->second.incarnation;
  TaskState& task = tasks_[lease.task];
  NoteReady(group, row, id, task.last_lease == 0);
  const std::string full =
      absl::StrCat(NameOf(lease.task), " (", LeaseName(id), " to ", lease.worker, ")");
  CheckRun(group, full);
  CheckAttempt(group, row, lease.task, task, full);
  if (task.last_lease != 0) {
    CheckEarlierLease(leases_[task.last_lease], lease.attempt, now, full);
  }
  CheckInputs(group, row, &lease, full);
  if (task.last_lease != 0) {
    Lease& earlier = leases_[task.last_lease];
    if (earlier.state == State::kLive) End(&earlier, task.last_lease, State::kGone);
  }
  task.last_lease = id;
  stream->second.on_record = true;
  stream->second.live.insert(id);
  if (runs_[group.run].program != nullptr) lease.by = ByOf(group, row);
  leases_[id] = std::move(lease);
  CheckLimits(id, group.is_source, now, full);
  if (group.after == 0) CheckRoom(stream->second, group.pool, full);
}

// What the task takes is not there yet, nor is anything promised.
void History::Offered(const hub::GrantGroup& group) {
  const uint64_t id = group.lease[0];
  Lease lease{.task = {.run = group.run,
                       .upload = runs_[group.run].upload,
                       .instance = group.instance,
                       .item = group.item[0],
                       .node = group.node,
                       .pass = group.pass[0]},
              .pool = group.pool,
              .attempt = group.attempt[0],
              .handbacks = group.handbacks[0],
              .state = State::kGone,
              .offered = true};
  const std::string name = absl::StrCat(NameOf(lease.task), " (", LeaseName(id), ")");
  if (leases_.contains(id)) return Fail(name + " was offered twice");
  const auto before = leases_.find(group.after);
  if (before == leases_.end() || !IsCurrent(before->second) ||
      before->second.stream != group.worker) {
    return Fail(name + " was offered to follow a lease that its worker does not hold");
  }
  hub::GrantGroup granted = group;
  granted.after = 0;
  CheckRun(granted, name);
  leases_[id] = std::move(lease);
  offers_[id] = group;
}

void History::Took(const TakenEager& eager, absl::Time now) {
  const auto offer = offers_.find(eager.lease);
  if (offer == offers_.end()) return Fail(LeaseName(eager.lease) + " was never offered");
  if (!leases_[eager.lease].offered) return;  // Said again, on another stream.
  hub::GrantGroup group = offer->second;
  group.worker = eager.stream;
  for (hub::InputColumn& column : group.inputs) column.address[0] = eager.input;
  Granted(group, 0, now);
}

void History::NoteReady(const hub::GrantGroup& group, size_t row, uint64_t id, bool is_first) {
  const Run& run = runs_[group.run];
  if (run.program == nullptr) return;
  const Step& step = run.program->steps[group.step];
  // Nobody waited when it was offered.
  if (group.after == 0) ++granted_at_[{group.pool, step.scope, step.priority}][group.run];
  if (is_first) run.known->Granted(group.node, {group.instance, group.item[row]});
  if (group.is_source) return;  // One that waits for readers holds no place.
  for (const uint32_t after : run.known->After(group.node)) {
    if (run.program->steps[run.program->nodes[after].step].queue == 0) continue;
    in_front_[{group.run, after}].insert(id);
  }
}

void History::CheckRun(const hub::GrantGroup& group, const std::string& name) {
  const Run& run = runs_[group.run];
  if (run.cancelled) Fail(name + " was granted after the run's cancel was acknowledged");
  if (run.deleted) Fail(name + " was granted after the run's deletion was acknowledged");
  if (group.after != 0) return;  // Its worker may have begun it before it heard of that.
  if (run.stops) Fail(name + " was granted after the run was stopped");
  if (run.paused) Fail(name + " was granted although the run's pause was acknowledged");
}

void History::CheckAttempt(const hub::GrantGroup& group, size_t row, const Task& which,
                           const TaskState& task, const std::string& name) {
  const uint32_t attempt = group.attempt[row];
  const bool keeps = runs_[group.run].keeps_attempts;
  const uint32_t failures = failures_[keeps ? which.WithoutPass() : which.AnyPass()];
  if (task.over) Fail(name + " was granted after its success was acknowledged");
  const Run& run = runs_[group.run];
  if (task.refused && !run.started_over) {
    Fail(name + " was granted although another item has its item's id");
  }
  if (run.program == nullptr) return Fail(name + " was granted before the run's steps were told");
  const Step& step = run.program->steps[run.program->nodes[group.node].step];
  if (which.pass > 0 && !run.started_over && !step.refill) {
    Fail(name + " runs again, and nobody asked for that");
  }
  if (step.retries >= 0 && attempt > step.retries + 1) {
    Fail(absl::StrCat(name, " was granted attempt ", attempt, " with ", step.retries, " retries"));
  }
  if (attempt > 1 + failures) {
    Fail(absl::StrCat(name, " was granted attempt ", attempt, " after ", failures,
                      " failures: a loss counted as one"));
  }
  if (attempt < 1 + task.acked_failures) {
    Fail(absl::StrCat(name, " was granted attempt ", attempt, " after ", task.acked_failures,
                      " acknowledged failures"));
  }
  if (group.handbacks[row] < task.acked_handbacks) {
    Fail(absl::StrCat(name, " was granted as handed back ", group.handbacks[row],
                      " times, but that was acknowledged ", task.acked_handbacks, " times"));
  }
}

// Two leases may not be live at once, unless the rules take the first one away.
void History::CheckEarlierLease(const Lease& earlier, uint32_t attempt, absl::Time now,
                                const std::string& name) {
  if (earlier.dropped_in_time && earlier.attempt == attempt) {
    return Fail(name + " was granted again although its worker was back in time and still had it");
  }
  if (earlier.state != State::kLive) return;
  if (earlier.stream == 0) {
    // Of the hub's earlier life: its worker has not come back, or not with this lease.
    const bool waits = awaited_.contains(earlier.worker) && !returned_.contains(earlier.worker) &&
                       now < hub_started_ + rules_.reattach_grace;
    if (waits) {
      Fail(absl::StrCat(name, " was granted while ", earlier.worker,
                        ", which had it before the restart, may still come back"));
    }
    return;
  }
  const auto stream = streams_.find(earlier.stream);
  if (stream == streams_.end()) return;
  if (now < stream->second.gone_at + rules_.reconnect_grace) {
    Fail(absl::StrCat(name, " was granted while ", earlier.worker, " holds it"));
  }
}

void History::CheckInputs(const hub::GrantGroup& group, size_t row, Lease* lease,
                          const std::string& name) {
  for (const hub::InputColumn& column : group.inputs) {
    if (column.kind != hub::InputColumn::Kind::kValues &&
        column.kind != hub::InputColumn::Kind::kElements) {
      continue;
    }
    const uint64_t address = column.address.size() == 1 ? column.address[0] : column.address[row];
    if (address == 0) continue;
    const Object* object = bucket_->Find(address);
    if (object == nullptr || !object->there) {
      return Fail(
          absl::StrCat(name, " was granted with an input that is not there: object ", address));
    }
    if (refused_.contains(address)) {
      return Fail(absl::StrCat(name, " was granted with object ", address,
                               ", of an item whose id is another's"));
    }
    if (!reported_.contains(address)) {
      return Fail(
          absl::StrCat(name, " was granted with an input that nobody reported: object ", address));
    }
    if (column.kind == hub::InputColumn::Kind::kElements) {
      const uint64_t end = column.first[row] + (column.count.empty() ? 1 : column.count[row]);
      const Program& program = *runs_.at(group.run).program;
      const bool own = program.steps[group.step].refill && &column == &group.inputs[1];
      if (object->has_cursor && !own) CheckElement(address, name);
      if (end > object->elements - (object->has_cursor && !own ? 1 : 0)) {
        return Fail(absl::StrCat(name, " was granted with element ", end - 1, " of object ",
                                 address, ", which has ", object->elements));
      }
    }
    lease->inputs.push_back(address);
  }
}

// What a source gave is granted once that is on disk: asked again, it may give others.
void History::CheckElement(uint64_t address, const std::string& name) {
  const auto told = told_.find(address);
  if (told == told_.end() || told->second <= durable_commits_) return;
  Fail(absl::StrCat(name, " was granted with an element of object ", address,
                    ", and a power cut may take back that there is one"));
}

void History::CheckRoom(const Stream& stream, hub::Pool pool, const std::string& name) {
  uint64_t held = 0;
  for (const uint64_t id : stream.live) {
    const Lease& lease = leases_[id];
    // Leases of a step whose mode was learned moved to another pool, which they may overfill.
    held += lease.pool == pool && !lease.eager && !learned_runs_.contains(lease.task.run) ? 1 : 0;
  }
  const uint64_t room = stream.room[static_cast<size_t>(pool)].leases;
  if (held > room) {
    Fail(absl::StrCat(name, ": ", held, " leases of its pool at ", stream.worker,
                      ", which has room for ", room));
  }
}

}  // namespace bue::sim
