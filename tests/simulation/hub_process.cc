#include "tests/simulation/hub_process.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace bue::sim {
namespace {

// What a turn takes in, for the trace; queries are left out.
std::string Describe(const std::vector<hub::Command>& commands) {
  std::string text;
  for (const hub::Command& command : commands) {
    if (const auto* joined = std::get_if<hub::WorkerJoined>(&command)) {
      absl::StrAppend(&text, " join:", joined->name, "#", joined->worker, "(", joined->held.size(),
                      " held)");
    } else if (const auto* reported = std::get_if<hub::WorkerReported>(&command)) {
      if (reported->report != 0) {
        absl::StrAppend(&text, " report:#", reported->worker, ".", reported->report);
      }
      for (const hub::HeldLease& held : reported->eager) {
        absl::StrAppend(&text, " eager:", absl::Hex(held.lease), "@", held.input);
      }
      for (const hub::Outcome& outcome : reported->outcomes) {
        absl::StrAppend(&text, " ", absl::Hex(outcome.lease), "=", static_cast<int>(outcome.kind),
                        "@", outcome.address);
      }
    } else if (const auto* gone = std::get_if<hub::WorkerGone>(&command)) {
      absl::StrAppend(&text, " gone:#", gone->worker);
    } else if (const auto* control = std::get_if<hub::ControlRun>(&command)) {
      absl::StrAppend(&text, " control:r", control->run, "=", static_cast<int>(control->action));
    } else if (const auto* submit = std::get_if<hub::SubmitRun>(&command)) {
      absl::StrAppend(&text, " submit:", submit->key);
    }
  }
  return text;
}

std::string Describe(const hub::Outgoing& outgoing) {
  std::string text;
  for (const hub::GrantGroup& group : outgoing.grants) {
    absl::StrAppend(&text, " grant:#", group.worker, " r", group.run, " node ", group.node, " [",
                    group.instance, ":");
    for (size_t i = 0; i < group.lease.size(); ++i) {
      absl::StrAppend(&text, " ", group.item[i], "=", absl::Hex(group.lease[i]));
    }
    absl::StrAppend(&text, "]");
  }
  for (const hub::GrantGroup& group : outgoing.eager) {
    absl::StrAppend(&text, " offer:#", group.worker, " r", group.run, " node ", group.node, " [",
                    group.instance, ": ", group.item[0], "=", absl::Hex(group.lease[0]), "] after ",
                    absl::Hex(group.after));
  }
  for (const hub::Revocation& revoked : outgoing.revocations) {
    absl::StrAppend(&text, " revoke:", absl::Hex(revoked.lease));
  }
  for (const hub::WorkerWelcome& welcome : outgoing.welcomes) {
    absl::StrAppend(&text, " welcome:#", welcome.worker, "(", welcome.dropped.size(), " dropped)");
  }
  for (const uint64_t worker : outgoing.closed_workers) absl::StrAppend(&text, " close:#", worker);
  for (const uint64_t run : outgoing.ended_runs) absl::StrAppend(&text, " ended:r", run);
  for (const uint64_t address : outgoing.promises.deletions)
    absl::StrAppend(&text, " delete:", address);
  return text;
}

}  // namespace

HubProcess::HubProcess(World* world, absl::Duration clock_offset)
    : world_(world), clock_offset_(clock_offset), clock_(this) {}

void HubProcess::Start() {
  store_ = std::make_unique<DiskHubStore>(&world_->disk,
                                          [this](StorePoint point) { return AtPoint(point); });
  hub::SchedulerOptions options = world_->config.scheduler;
  options.epoch = store_->epoch();
  options.seed = store_->epoch();
  scheduler_ = std::make_unique<hub::Scheduler>(options);
  absl::StatusOr<hub::HubSnapshot> snapshot = store_->Load();
  if (!snapshot.ok()) {
    return world_->history.Fail("the store does not load: " + snapshot.status().ToString());
  }
  world_->Trace("hub starts epoch=", store_->epoch(), " runs=", snapshot->runs.size(),
                " changes=", snapshot->changes.size(), " workers=", snapshot->workers.size());
  const absl::Status loaded = scheduler_->Load(*std::move(snapshot), Now());
  if (!loaded.ok()) return world_->history.Fail("the hub does not load: " + loaded.ToString());
  world_->history.HubStarted(Now(), clock_offset_);
  sessions_ = std::make_unique<hub::WorkerSessions>(
      hub::WorkerServiceOptions{.epoch = store_->epoch(), .silence = options.silence},
      [this](hub::Command command) {
        Post(std::move(command));
        return absl::OkStatus();
      },
      Now());
  loop_ = std::make_unique<hub::TurnLoop>(
      hub::TurnLoopOptions{.first_turn = store_->first_turn(),
                           .checkpoint_bytes = world_->config.checkpoint_bytes,
                           .checkpoint_slice = world_->config.slow_checkpoints
                                                   ? absl::ZeroDuration()
                                                   : absl::Milliseconds(2)},
      scheduler_.get(), store_.get(), this, &clock_);
  RunTurn();  // The first one comes before anybody can connect.
  Tick();
}

void HubProcess::Do(std::function<void()> action) {
  if (dead_) return;
  if (stalled_) {
    backlog_.push_back(std::move(action));
    return;
  }
  action();
}

void HubProcess::Stall(absl::Duration time) {
  if (stalled_) return;
  stalled_ = true;
  world_->events.After(time, [this] {
    stalled_ = false;
    for (auto& action : std::exchange(backlog_, {})) Do(std::move(action));
  });
}

void HubProcess::Post(hub::Command command) {
  inbox_.push_back(std::move(command));
  WakeTurn();
}

// ---------------------------------------------------------------------------------------- turns

void HubProcess::WakeTurn(absl::Duration latest) {
  if (std::exchange(turn_due_, true)) return;
  world_->events.After(world_->random.Skewed(absl::Microseconds(20), latest),
                       [this] { Do([this] { RunTurn(); }); });
}

void HubProcess::WakeSync() {
  if (std::exchange(sync_due_, true)) return;
  world_->events.After(world_->random.Skewed(absl::Microseconds(100), world_->config.sync_max),
                       [this] { Do([this] { RunSync(); }); });
}

void HubProcess::RunTurn() {
  turn_due_ = false;
  if (world_->faults && world_->random.Chance(world_->config.crash_point_percent)) {
    death_ = static_cast<Death>(1 + world_->random.Below(9));
  }
  TakeTurn();
  if (dying_) return Crash();
  if (store_->commits() != synced_commits_) WakeSync();
  // What arrives while the disk is at work on a slice is the next turn's.
  if (store_->checkpoint_under_way()) {
    WakeTurn(std::max(world_->config.sync_max, absl::Milliseconds(100)));
  }
  SetAlarm();
}

void HubProcess::TakeTurn() {
  std::vector<hub::Command> commands = std::exchange(inbox_, {});
  if (world_->tracing()) {
    const std::string taken = Describe(commands);
    if (!taken.empty()) world_->Trace("hub takes", taken);
  }
  world_->history.TurnBegins(commands, store_->commits(), Now());
  const absl::Status status = loop_->RunTurn(&commands, Now());
  if (!status.ok()) {
    dying_ = true;
    return;
  }
  if (death_ == Death::kAfterPublish && world_->faults) dying_ = true;
  if (++turns_ % world_->config.check_every == 0) scheduler_->CheckInvariants();
}

// What the sync thread does. While the disk is at work the turn thread goes on (AtPoint).
void HubProcess::RunSync() {
  sync_due_ = false;
  if (death_ == Death::kBeforeSync && world_->faults) return world_->CrashHub(/*power=*/true);
  const uint64_t covered = store_->commits();
  const uint64_t turns = turns_;
  const absl::Status status = loop_->SyncTurns();
  if (!status.ok() || dying_) return Crash();
  // The turn thread learns of it; it may have committed more meanwhile.
  if (std::exchange(synced_commits_, covered) != covered) WakeTurn();
  // So may turns that were taken meanwhile have made promises, with or without a record.
  if (turns_ != turns) WakeSync();
}

absl::Status HubProcess::AtPoint(StorePoint point) {
  const auto dies = [&](Death death) {
    if (death_ != death || !world_->faults) return absl::OkStatus();
    dying_ = true;
    return absl::AbortedError("the process dies here");
  };
  switch (point) {
    case StorePoint::kBeforeCommit:
      return dies(Death::kBeforeCommit);
    case StorePoint::kAfterCommit:
      return dies(Death::kAfterCommit);
    case StorePoint::kBeforeCheckpoint:
      return dies(Death::kBeforeCheckpoint);
    case StorePoint::kAfterCheckpoint:  // After its last slice: the journal is cut off.
      if (store_->checkpoint_under_way()) return absl::OkStatus();
      return dies(Death::kAfterCheckpoint);
    case StorePoint::kSynced:
      if (!inbox_.empty() && world_->random.Chance(50)) TakeTurn();
      if (dying_) return absl::AbortedError("the process died meanwhile");
      return dies(Death::kSynced);
  }
  return absl::OkStatus();
}

void HubProcess::SetAlarm() {
  const absl::Time deadline = scheduler_->NextDeadline();
  if (deadline >= alarm_ || deadline == absl::InfiniteFuture()) return;
  alarm_ = deadline;
  world_->events.At(deadline - clock_offset_, [this, deadline] {
    if (alarm_ != deadline) return;
    alarm_ = absl::InfiniteFuture();
    Do([this] { WakeTurn(); });
  });
}

void HubProcess::Tick() {
  world_->events.After(absl::Milliseconds(250), [this] {
    Do([this] {
      sessions_->Tick(Now());
      Tick();
    });
  });
}

void HubProcess::Crash() {
  if (dead_) return;
  world_->CrashHub(world_->random.Chance(world_->config.power_cut_percent));
}

// ----------------------------------------------------------------------------------- the way out

bool HubProcess::TakesWrite() {
  if (dead_ || writes_left_ == 0) return false;
  --writes_left_;
  return true;
}

void HubProcess::Publish(hub::Outgoing* outgoing) {
  if (death_ == Death::kInPublish && world_->faults) {
    writes_left_ = world_->random.Below(3);
    dying_ = true;
  }
  if (world_->tracing()) {
    const std::string published = Describe(*outgoing);
    if (!published.empty()) world_->Trace("hub publishes", published);
  }
  for (const uint64_t address : outgoing->promises.deletions) {
    given_up_[address] = store_->commits();
  }
  world_->history.Published(*outgoing, store_->durable_commits(), Now());
  sessions_->Publish(outgoing, Now());
  for (const hub::Reply& reply : outgoing->answers) {
    if (TakesWrite()) world_->Replied(reply);
  }
}

void HubProcess::PublishPromises(hub::Promises promises) {
  if (death_ == Death::kInPromises && world_->faults) {
    writes_left_ = world_->random.Below(3);
    dying_ = true;
  }
  for (const hub::OutcomeAck& ack : promises.acks)
    world_->Trace("hub acks #", ack.worker, ".", ack.report);
  world_->history.Promised(promises.acks, promises.replies);
  sessions_->Acknowledge(promises.acks, Now());
  for (const hub::Reply& reply : promises.replies) {
    if (TakesWrite()) world_->Replied(reply);
  }
  // A power cut could bring back who needs it.
  for (const uint64_t address : promises.deletions) {
    if (given_up_[address] <= store_->durable_commits()) continue;
    world_->history.Fail(absl::StrCat("object ", address, " was given up by a turn that is not on ",
                                      "disk, and is to be deleted"));
  }
  if (TakesWrite()) Delete(std::move(promises.deletions));
}

void HubProcess::Delete(std::vector<uint64_t> addresses) {
  if (addresses.empty()) return;
  world_->events.After(world_->Latency(), [this, addresses = std::move(addresses)] {
    for (const uint64_t address : addresses) {
      world_->Trace("delete ", address);
      world_->history.Deleted(address);
      Object* object = world_->bucket.Find(address);
      if (object == nullptr) {
        world_->history.Fail(absl::StrCat("deleted what never was: object ", address));
        return;
      }
      object->there = false;
    }
  });
}

}  // namespace bue::sim
