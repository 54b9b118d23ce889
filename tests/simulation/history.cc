// Turns, workers and outcomes. Grants: history_grants.cc, runs and their clients: history_runs.cc.
#include "tests/simulation/history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bue::sim {

void History::Fail(const std::string& what) {
  if (failure_.empty()) failure_ = what;
}

std::string History::LeaseName(uint64_t lease) { return absl::StrCat("lease ", absl::Hex(lease)); }

std::string History::NameOf(const Task& task) const {
  const auto run = runs_.find(task.run);
  const bool known = run != runs_.end() && run->second.program != nullptr;
  return absl::StrCat(
      "r", task.run, " ",
      known ? run->second.program->steps[run->second.program->nodes[task.node].step].name : "?",
      "[", task.instance, ":", task.item, "] pass ", task.pass);
}

// ---------------------------------------------------------------------------------- the hub's life

void History::HubStarted(absl::Time now, absl::Duration clock_offset) {
  hub_started_ = now;
  hub_is_up_ = true;
  clock_offset_ = clock_offset;
  told_.clear();  // What it knows it has read.
  returned_.clear();
  waits_.clear();
}

// What it took and did not acknowledge it may have forgotten.
void History::HubCrashed(bool power, absl::Time now) {
  power_cuts_ += power ? 1 : 0;
  restarted_ = true;
  hub_is_up_ = false;
  KeepClaims();
  if (power) CutBackIds();
  weights_.clear();
  for (auto& [number, run] : runs_) {
    run.may_have_gone = run.may_have_gone || power;
    if (power) CutBack(number, &run);
    // The end of one that is stopping may be stored although nobody was told.
    if (turn_under_way_) run.stop_at = absl::InfiniteFuture();
    if (!power || run.stopped) continue;
    run.stops = false;
    run.stop_at = absl::InfiniteFuture();
  }
  // Who says goodbye has nothing any more, whether the hub remembers it or not.
  for (const Taken& taken : std::exchange(taken_, {})) {
    if (const auto* goodbye = std::get_if<Goodbye>(&taken)) Left(goodbye->stream, now);
  }
  if (now >= hub_started_ + rules_.reattach_grace) awaited_.clear();  // They had their time.
  for (const std::string& worker : returned_) awaited_.erase(worker);
  for (auto& [id, stream] : streams_) {
    const bool lost = stream.gone_at + rules_.reconnect_grace <= now;
    // That somebody came, and was told nothing yet, a power cut may take back.
    if (!lost && (stream.on_record || !power)) awaited_.insert(stream.worker);
    for (const uint64_t lease : std::set<uint64_t>(stream.live)) {
      if (lost) {
        End(&leases_[lease], lease, State::kGone);
      } else {
        leases_[lease].stream = 0;
      }
    }
    for (const auto& [report, leases] : stream.unacked) {
      for (const uint64_t id : leases) {
        Lease& lease = leases_[id];
        lease.state = State::kLive;
        lease.stream = 0;
      }
    }
  }
  turn_under_way_ = false;
  streams_.clear();
  controls_.clear();
}

// What was not acknowledged may not have happened.
void History::CutBack(uint64_t number, Run* run) {
  if (run->known == nullptr) return;
  if (!run->promised) return run->known->Blur();
  run->known->CutBack([&](uint32_t node, const KnownReady::ItemName& item) {
    const auto task = tasks_.find({number, run->upload, item.first, item.second, node, 0});
    return task != tasks_.end() && task->second.over;
  });
}

void History::TurnBegins(const std::vector<hub::Command>& commands, uint64_t commits,
                         absl::Time now) {
  commits_ = commits;
  turn_under_way_ = true;
  taken_.clear();
  for (const hub::Command& command : commands) {
    if (const auto* joined = std::get_if<hub::WorkerJoined>(&command)) {
      Joined(*joined, now);
    } else if (const auto* reported = std::get_if<hub::WorkerReported>(&command)) {
      Reported(*reported, now);
    } else if (const auto* gone = std::get_if<hub::WorkerGone>(&command)) {
      const auto stream = streams_.find(gone->worker);
      if (stream == streams_.end()) continue;
      stream->second.gone_at = std::min(stream->second.gone_at, now);
    } else if (const auto* control = std::get_if<hub::ControlRun>(&command)) {
      TookControl(*control, now);
    } else if (const auto* limits = std::get_if<hub::SetLimits>(&command)) {
      TookLimits(*limits);
    } else if (const auto* submit = std::get_if<hub::SubmitRun>(&command)) {
      weights_[submit->request] = submit->weight;
    }
  }
}

void History::Joined(const hub::WorkerJoined& joined, absl::Time now) {
  Stream& stream = streams_[joined.worker];
  stream.worker = joined.name;
  stream.incarnation = joined.incarnation;
  stream.held = joined.held;
  stream.order = next_order_++;
  for (const hub::HeldLease& held : joined.held) {
    const auto lease = leases_.find(held.lease);
    if (lease == leases_.end()) continue;
    lease->second.started =
        held.elapsed > absl::ZeroDuration() ? now - held.elapsed : absl::InfiniteFuture();
  }
  returned_.insert(joined.name);
  taken_.push_back(Hello{.stream = joined.worker});
}

void History::Reported(const hub::WorkerReported& reported, absl::Time now) {
  const auto found = streams_.find(reported.worker);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  for (const hub::RoomChange& change : reported.room) {
    stream.room[static_cast<size_t>(change.pool)] = change.room;
  }
  for (const hub::LearnedMode& learned : reported.learned) learned_runs_.insert(learned.run);
  for (const hub::SourceProgress& progress : reported.progress) reported_[progress.address] = true;
  for (const hub::StartedTask& started : reported.started) {
    const auto lease = leases_.find(started.lease);
    if (lease != leases_.end()) lease->second.started = now - started.elapsed;
  }
  // What follows none of these comes first: that it is of one which follows one.
  std::map<uint64_t, std::vector<TakenOutcome>> of_eager;
  for (const hub::HeldLease& held : reported.eager) of_eager[held.lease];
  for (const hub::Outcome& outcome : reported.outcomes) {
    // Also if the hub dies before it publishes: what it took may be on disk.
    if (outcome.address != 0) {
      reported_[outcome.address] = true;
      told_.try_emplace(outcome.address, commits_ + 1);
    }
    const auto lease = leases_.find(outcome.lease);
    if (lease != leases_.end()) lease->second.was_reported = true;
    if (lease != leases_.end() && (outcome.kind == hub::Outcome::Kind::kReset ||
                                   outcome.kind == hub::Outcome::Kind::kCancel)) {
      Run& run = runs_[lease->second.task.run];
      run.started_over = run.started_over || outcome.kind == hub::Outcome::Kind::kReset;
      if (run.known != nullptr) run.known->Blur();
    }
    const uint64_t gives = outcome.extra == nullptr ? 0 : NumberOfId(outcome.extra->id);
    if (lease != leases_.end() && gives != 0) {
      claimed_.emplace_back(NameOfId(lease->second.task, gives), lease->second.task.item);
    }
    if (lease != leases_.end() && outcome.kind == hub::Outcome::Kind::kFailed &&
        (lease->second.state == State::kLive || lease->second.offered) &&
        !lease->second.failure_counted) {
      lease->second.failure_counted = true;
      CountFailure(lease->second.task);
    }
    const TakenOutcome taken{.stream = reported.worker,
                             .report = reported.report,
                             .lease = outcome.lease,
                             .address = outcome.address,
                             .kind = outcome.kind,
                             .gives = gives};
    const auto eager = of_eager.find(outcome.lease);
    if (eager == of_eager.end()) {
      taken_.push_back(taken);
    } else {
      eager->second.push_back(taken);
    }
  }
  for (const hub::HeldLease& held : reported.eager) {
    taken_.push_back(
        TakenEager{.stream = reported.worker, .lease = held.lease, .input = held.input});
    for (const TakenOutcome& taken : of_eager[held.lease]) taken_.push_back(taken);
  }
  if (reported.goodbye) taken_.push_back(Goodbye{.stream = reported.worker});
}

void History::Published(const hub::Outgoing& outgoing, uint64_t durable_commits, absl::Time now) {
  durable_commits_ = durable_commits;
  turn_under_way_ = false;
  claimed_.clear();
  for (const hub::Reply& reply : outgoing.promises.replies) {
    const auto* accepted = std::get_if<hub::RunAccepted>(&reply.body);
    if (accepted != nullptr && !accepted->existed) TookIn(accepted->run);
    if (accepted != nullptr) runs_[accepted->run].weight = weights_[reply.request];
    Answered(reply);
  }
  for (const hub::Reply& reply : outgoing.answers) Answered(reply);
  for (const hub::RunSteps& told : outgoing.run_steps) {
    Run& run = runs_[told.run];
    run.program = told.program;
    if (run.known == nullptr) run.known = std::make_shared<KnownReady>(told.program);
  }
  std::map<uint64_t, const hub::WorkerWelcome*> welcomes;
  for (const hub::WorkerWelcome& welcome : outgoing.welcomes) welcomes[welcome.worker] = &welcome;
  std::vector<uint64_t> revoked;
  for (const hub::Revocation& revocation : outgoing.revocations) {
    const auto lease = leases_.find(revocation.lease);
    if (lease == leases_.end()) return Fail("revoked what was never granted");
    if (OutlastedTimeout(lease->second, now)) CountFailure(lease->second.task);
    End(&lease->second, revocation.lease, State::kGone);
    revoked.push_back(revocation.lease);
  }
  for (const Taken& taken : std::exchange(taken_, {})) {
    if (const auto* hello = std::get_if<Hello>(&taken)) {
      const auto welcome = welcomes.find(hello->stream);
      if (welcome == welcomes.end()) return Fail("a worker said hello and was not welcomed");
      Welcomed(*welcome->second, now);
    } else if (const auto* outcome = std::get_if<TakenOutcome>(&taken)) {
      Took(*outcome, now);
    } else if (const auto* eager = std::get_if<TakenEager>(&taken)) {
      if (std::find(revoked.begin(), revoked.end(), eager->lease) == revoked.end()) {
        Took(*eager, now);
      }
    } else {
      Left(std::get<Goodbye>(taken).stream, now);
    }
  }
  // Also what was renewed just before, in the same turn.
  for (const uint64_t id : revoked) {
    Lease& lease = leases_[id];
    End(&lease, id, State::kGone);
    lease.revoked = true;
    lease.power_cuts = power_cuts_;
  }
  for (const hub::GrantGroup& group : outgoing.grants) {
    for (size_t row = 0; row < group.lease.size(); ++row) Granted(group, row, now);
  }
  for (const hub::GrantGroup& group : outgoing.eager) Offered(group);
  CheckQueues(now);
  CheckTurns(now);
  CheckStops(outgoing.ended_runs, now);
}

// ------------------------------------------------------------------------------ coming and going

// The hub's own timeout, for a worker that does not enforce it: that is an attempt.
void History::CountFailure(const Task& task) {
  ++failures_[task.AnyPass()];
  ++failures_[task.WithoutPass()];
}

bool History::OutlastedTimeout(const Lease& lease, absl::Time now) const {
  const auto run = runs_.find(lease.task.run);
  if (run == runs_.end() || run->second.program == nullptr) return false;
  const Program& program = *run->second.program;
  const Step& step = program.steps[program.nodes[lease.task.node].step];
  return now - lease.started >= absl::Seconds(step.timeout_s) + rules_.timeout_backstop;
}

void History::Left(uint64_t id, absl::Time now) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end()) return;
  for (const uint64_t lease : std::set<uint64_t>(stream->second.live)) {
    End(&leases_[lease], lease, State::kGone);
  }
  stream->second.gone_at = now - rules_.reconnect_grace;
}

void History::Welcomed(const hub::WorkerWelcome& welcome, absl::Time now) {
  Stream& stream = streams_.at(welcome.worker);
  const std::set<uint64_t> dropped(welcome.dropped.begin(), welcome.dropped.end());
  for (const hub::HeldLease& held : stream.held) {
    if (dropped.contains(held.lease)) {
      Dropped(held.lease, now);
    } else {
      Renewed(welcome.worker, held);
    }
  }
  // What it did not mention never reached it.
  for (auto& [id, other] : streams_) {
    if (id == welcome.worker || other.worker != stream.worker ||
        other.incarnation != stream.incarnation || other.order > stream.order) {
      continue;
    }
    for (const uint64_t lease : std::set<uint64_t>(other.live)) {
      End(&leases_[lease], lease, State::kGone);
    }
    other.gone_at = std::min(other.gone_at, now - rules_.reconnect_grace);
  }
}

void History::Renewed(uint64_t stream, const hub::HeldLease& held) {
  const auto found = leases_.find(held.lease);
  if (found == leases_.end()) {
    return Fail(absl::StrCat(LeaseName(held.lease), " was renewed but never granted"));
  }
  Lease& lease = found->second;
  if (lease.offered) return;  // What it follows, and it itself, is yet to be told.
  if (!IsOfThisUpload(lease.task)) {
    return Fail(absl::StrCat(LeaseName(held.lease), " was renewed as one of r", lease.task.run,
                             ", but is of a run that a power cut took back"));
  }
  if (lease.revoked && lease.power_cuts == power_cuts_) {
    return Fail(absl::StrCat(NameOf(lease.task), ": ", LeaseName(held.lease),
                             " was renewed although it was revoked"));
  }
  const TaskState& task = tasks_[lease.task];
  if (task.over) {
    return Fail(absl::StrCat(NameOf(lease.task), ": ", LeaseName(held.lease),
                             " was renewed although the task's success was acknowledged"));
  }
  if (task.last_lease != held.lease) {
    const Lease& last = leases_[task.last_lease];
    if (last.state == State::kLive && IsCurrent(last)) {
      return Fail(absl::StrCat(NameOf(lease.task), ": ", LeaseName(held.lease),
                               " was renewed while ", LeaseName(task.last_lease), " is live"));
    }
  }
  if (lease.stream != 0) streams_[lease.stream].live.erase(held.lease);
  lease.state = State::kLive;
  lease.stream = stream;
  lease.revoked = false;  // A power cut took that back.
  lease.power_cuts = power_cuts_;
  lease.interruptions = runs_[lease.task.run].interruptions;
  lease.pool = held.pool;
  streams_[stream].live.insert(held.lease);
  tasks_[lease.task].last_lease = held.lease;
}

void History::Dropped(uint64_t id, absl::Time now) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  Lease& lease = found->second;
  if (lease.state != State::kLive) return;
  const auto stream = streams_.find(lease.stream);
  lease.dropped_in_time =
      !lease.was_reported && IsOfThisUpload(lease.task) &&
      lease.interruptions == runs_[lease.task.run].interruptions &&
      (stream == streams_.end()
           ? lease.power_cuts == power_cuts_ && now < hub_started_ + rules_.reattach_grace
           : now < stream->second.gone_at + rules_.reconnect_grace);
  End(&lease, id, State::kGone);
}

bool History::IsCurrent(const Lease& lease) const {
  if (lease.state != State::kLive || lease.stream == 0) return false;
  const auto stream = streams_.find(lease.stream);
  return stream != streams_.end() && stream->second.gone_at == absl::InfiniteFuture();
}

void History::End(Lease* lease, uint64_t id, State state) {
  const auto stream = streams_.find(lease->stream);
  if (stream != streams_.end()) stream->second.live.erase(id);
  lease->state = state;
}

// --------------------------------------------------------------------------------------- outcomes

void History::Took(const TakenOutcome& outcome, absl::Time now) {
  using Kind = hub::Outcome::Kind;
  const auto found = leases_.find(outcome.lease);
  if (found == leases_.end()) return;
  Lease& lease = found->second;
  if (lease.state != State::kLive || lease.stream != outcome.stream) return;  // Stale.
  TaskState& task = tasks_[lease.task];
  if (task.last_lease != outcome.lease) return;
  if (outcome.kind == Kind::kInputGone) {
    return Fail(absl::StrCat(NameOf(lease.task), ": object ", outcome.address,
                             " was deleted while the task needed it"));
  }
  lease.outcome = outcome.kind;
  lease.address = outcome.address;
  End(&lease, outcome.lease, State::kResolved);
  streams_[outcome.stream].unacked[outcome.report].push_back(outcome.lease);
  Run& run = runs_[lease.task.run];
  if (run.program == nullptr) return;
  const Step& step = run.program->steps[run.program->nodes[lease.task.node].step];
  lease.gives = outcome.gives;
  if (lease.gives != 0) lease.owner = TakeId(lease.task, lease.gives);
  if (step.stop_on_error && !run.stops && IsFinalFailure(lease)) {
    lease.stops_run = run.stops = true;
    run.stop_at = now + rules_.stop_grace;
  }
  if (outcome.kind != Kind::kSucceeded || lease.owner != Lease::Owner::kItself) return;
  if (step.refill) return;  // One call.
  run.known->Succeeded(lease.task.node, {lease.task.instance, lease.task.item});
}

// Of what it told last.
bool History::IsFinalFailure(const Lease& lease) const {
  const Program& program = *runs_.at(lease.task.run).program;
  const Step& step = program.steps[program.nodes[lease.task.node].step];
  if (lease.owner == Lease::Owner::kAnother) return true;
  if (lease.outcome == hub::Outcome::Kind::kFailed) {
    return step.retries >= 0 && lease.attempt > step.retries;
  }
  return (lease.outcome == hub::Outcome::Kind::kPending ||
          lease.outcome == hub::Outcome::Kind::kReset) &&
         step.max_handbacks != 0 && lease.handbacks >= step.max_handbacks;
}

void History::Promised(const std::vector<hub::OutcomeAck>& acks,
                       const std::vector<hub::Reply>& replies) {
  for (const hub::OutcomeAck& ack : acks) {
    const auto stream = streams_.find(ack.worker);
    if (stream == streams_.end()) continue;
    stream->second.on_record = true;
    Acked(&stream->second, ack.report);
  }
  for (const hub::Reply& reply : replies) {
    if (const auto* accepted = std::get_if<hub::RunAccepted>(&reply.body)) {
      runs_[accepted->run].promised = true;
    }
    const auto control = controls_.find(reply.request);
    if (control == controls_.end() || !reply.status.ok()) continue;
    Run& run = runs_[control->second.command.run];
    switch (control->second.command.action) {
      case hub::ControlRun::Action::kCancel:
        run.cancelled = true;
        break;
      case hub::ControlRun::Action::kPause:
        run.paused = true;
        break;
      case hub::ControlRun::Action::kStop:
        run.stopped = run.stops;
        break;
      case hub::ControlRun::Action::kResume:
        run.awake = true;
        break;
      case hub::ControlRun::Action::kRetry:
        break;
      case hub::ControlRun::Action::kDelete:
        run.deleted = true;
        break;
    }
  }
}

void History::Acked(Stream* stream, uint64_t report) {
  while (!stream->unacked.empty() && stream->unacked.begin()->first <= report) {
    for (const uint64_t id : stream->unacked.begin()->second) {
      const Lease& lease = leases_[id];
      TaskState& task = tasks_[lease.task];
      ++acknowledged_;
      if (lease.outcome == hub::Outcome::Kind::kFailed) ++task.acked_failures;
      if (lease.outcome == hub::Outcome::Kind::kPending) {
        task.acked_handbacks = lease.handbacks + 1;
      }
      Run& run = runs_[lease.task.run];
      if (lease.stops_run && run.stops && IsOfThisUpload(lease.task)) run.stopped = true;
      if (lease.outcome != hub::Outcome::Kind::kSucceeded ||
          lease.owner == Lease::Owner::kUnknown) {
        continue;
      }
      if (lease.owner == Lease::Owner::kAnother) {
        task.refused = true;
        if (lease.address != 0) refused_.insert(lease.address);
        continue;
      }
      if (lease.gives != 0) OwnerIsSure(lease.task, lease.gives);
      if (task.over && task.value != lease.address) {
        return Fail(absl::StrCat(NameOf(lease.task), ": two successes were acknowledged"));
      }
      task.over = true;
      task.value = lease.address;
    }
    stream->unacked.erase(stream->unacked.begin());
  }
}

// ------------------------------------------------------------------------------------- the bucket

void History::Deleted(uint64_t address) {
  for (const auto& [id, stream] : streams_) {
    if (stream.gone_at != absl::InfiniteFuture()) continue;
    for (const uint64_t lease : stream.live) {
      const std::vector<uint64_t>& inputs = leases_[lease].inputs;
      if (std::find(inputs.begin(), inputs.end(), address) == inputs.end()) continue;
      return Fail(absl::StrCat("object ", address, " was deleted while ",
                               NameOf(leases_[lease].task), " needs it"));
    }
  }
}

void History::ReadBy(uint64_t id, uint64_t address) {
  const auto lease = leases_.find(id);
  if (lease == leases_.end() || !refused_.contains(address)) return;
  Fail(absl::StrCat(NameOf(lease->second.task), " (", LeaseName(id), ") reads object ", address,
                    ", of an item whose id is another's"));
}

void History::Missed(uint64_t id, uint64_t address) {
  const auto lease = leases_.find(id);
  if (lease == leases_.end()) return Fail("a task runs that was never granted");
  if (!IsCurrent(lease->second)) return;
  Fail(absl::StrCat(NameOf(lease->second.task), " (", LeaseName(id),
                    ") runs, but its input, object ", address, ", is not there"));
}

}  // namespace bue::sim
