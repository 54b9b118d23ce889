// What workers say: joining, outcomes, progress, leaving.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr absl::Duration kBackoffMax = absl::Minutes(5);

// Doubles with each failed attempt; spread over the upper half so that what failed together does
// not come back together.
absl::Duration Backoff(double first_s, uint32_t attempts, uint64_t seed) {
  const uint32_t doublings = std::min<uint32_t>(attempts - 1, 20);
  const absl::Duration full =
      std::min(kBackoffMax, absl::Seconds(first_s) * static_cast<double>(1 << doublings));
  seed ^= seed >> 33;
  seed *= 0xff51afd7ed558ccdULL;
  seed ^= seed >> 33;
  return full * (0.5 + 0.5 * static_cast<double>(seed >> 40) / static_cast<double>(1 << 24));
}

}  // namespace

// --------------------------------------------------------------------------------- coming, going

void Scheduler::Impl::Handle(WorkerJoined& command) {
  // A second hello on one stream makes no sense; what the first one brought goes.
  if (Worker* same = workers_.Find(command.worker)) RemoveWorker(same, /*lost=*/false);
  // The same process behind a new stream keeps what it holds.
  Worker* earlier = workers_.FindIncarnation(command.name, command.incarnation);
  auto made = std::make_unique<Worker>();
  made->id = command.worker;
  made->name = command.name;
  made->host = std::move(command.host);
  made->version = std::move(command.version);
  made->incarnation = command.incarnation;
  made->scope_names = command.scopes;
  for (const std::string& scope : command.scopes) made->scopes.push_back(ready_.EnterScope(scope));
  made->priority_first = command.priority_first;
  made->reverse = command.reverse;
  made->last_heard = now_;
  if (earlier != nullptr) {
    made->done = earlier->done;
    made->failed = earlier->failed;
  } else if (const std::optional<WorkerStatus> before = gone_workers_.Take(command.name)) {
    made->done = before->done;
    made->failed = before->failed;
  }
  Worker* worker = workers_.Add(std::move(made));

  // What the hub knows of a ghost itself outlives its run.
  const auto add_ghost = [&](const Ghost& ghost) {
    if (earlier != nullptr && ready_.MoveGhost(earlier->id, worker->id, ghost.lease)) return;
    AddGhost(*worker, ghost);
  };
  WorkerWelcome welcome{.worker = command.worker};
  absl::flat_hash_set<uint64_t> current;
  for (const HeldLease& held : command.held) {
    if (Adopt(worker, held) || IsYetToFollow(held, current)) {
      current.insert(held.lease);
      continue;
    }
    welcome.dropped.push_back(held.lease);
    add_ghost({.lease = held.lease, .run = held.run, .node = held.node, .by = held.by});
  }
  for (const Ghost& ghost : command.ghosts) {
    if (leases_.Find(ghost.lease) == nullptr) add_ghost(ghost);  // Else its outcome does.
  }
  effects_->outgoing.welcomes.push_back(std::move(welcome));
  if (earlier != nullptr) {
    const bool was_open = earlier->connected;
    const uint64_t old_stream = earlier->id;
    RemoveWorker(earlier, /*lost=*/false);  // What it did not mention never reached it.
    if (was_open) effects_->outgoing.closed_workers.push_back(old_stream);
  }
  workers_changed_ = true;
  awaited_.erase(command.name);
  if (in_grace_ && awaited_.empty()) EndGrace();
}

// Renews a lease that a returning worker holds. False: it is not current any more.
bool Scheduler::Impl::Adopt(Worker* worker, const HeldLease& held) {
  if (struct Lease* lease = leases_.Find(held.lease)) {
    // Of this process: the worker's stream broke and it is back.
    if (lease->worker->name != worker->name || lease->worker->incarnation != worker->incarnation) {
      return false;
    }
    EndRecall(lease);
    lease->recalled = false;
    workers_.Unlink(lease);
    WorkerTable::Link(worker, lease);
    NoteHeld(worker, *lease);
    if (!held.not_started) Start(lease);
    if (lease->line->asks) {
      CountOut(*lease);
      FindLine(lease);
      CountIn(lease);
    }
    Renew(lease, held.elapsed);
    return true;
  }
  Run* run = FindRun(held.run);
  if (run == nullptr || !run->active()) return false;
  // A run that a power cut took back may have had the number before.
  if (LeaseTable::IsBefore(held.lease, run->added().epoch)) return false;
  // This process took the worker for lost, and its rate took the task as started then: another may
  // have had its turn since.
  if (held.not_started && !LeaseTable::IsBefore(held.lease, options_.epoch)) return false;
  Item* item = run->FindItem(held.instance, held.item);
  if (item == nullptr || item->ended || held.node >= run->graph().program().nodes.size() ||
      run->graph().program().nodes[held.node].region != item->instance->region) {
    return false;
  }
  const uint32_t v = run->graph().vertex_of_node(held.node);
  const Vertex& vertex = item->vertices[v];
  // Its outcome may have been taken in before, and the acknowledgement lost: then the task is over,
  // or is another attempt now.
  if (run->PassOf(*item, v) != held.pass || vertex.attempts + 1 != held.attempt ||
      vertex.handbacks != held.handbacks || held.lease == 0) {
    return false;
  }
  if (leases_.held() >= options_.leases_max) return false;
  // The attempt was granted, so its delay was over, though a restarted hub may not have looked yet.
  if (vertex.state == VertexState::kDelayed) run->Wake(item, v);
  if (vertex.state != VertexState::kReady) return false;
  if (held.after != 0 && !WasCalledWith(run, *item, v, held.input)) return false;
  struct Lease* lease = leases_.Take(held.lease);
  lease->run = run;
  lease->item = item;
  lease->vertex = v;
  lease->pool = held.pool;
  lease->granted_us = now_us_ - absl::ToInt64Microseconds(held.elapsed);
  run->Lease(item, v, lease->slot);
  KnowHashes(run, item, held.node, held.by);
  WorkerTable::Link(worker, lease);
  FindLine(lease);
  lease->on_its_way = held.not_started;
  CountIn(lease);
  // This process has counted its own, also if it took the worker for lost since.
  if (held.started_ago > absl::ZeroDuration() && LeaseTable::IsBefore(held.lease, options_.epoch)) {
    ReadyQueue::NoteStart(*lease->line, now_ - held.started_ago);
  }
  const size_t p = static_cast<size_t>(lease->pool);
  if (held.after == 0 || worker->held[p] > worker->room[p].slots) NoteHeld(worker, *lease);
  Renew(lease, held.elapsed);
  if (held.after != 0) {
    lease->queued_us = now_us_;
    MayBeFollowed(*lease);
  }
  return true;
}

// What was said of a source's credit may have been lost with the stream. A source's elapsed time
// holds the time in which it waited for readers.
void Scheduler::Impl::Renew(struct Lease* lease, absl::Duration elapsed) {
  const bool source = Streams(lease->run, *lease->item, lease->vertex);
  Started(lease, elapsed);
  if (!source) return;
  SourceMoved(lease);
  lease->credit = 0;
  GiveSourceCredit(lease->run, lease->item, lease->vertex);
}

void Scheduler::Impl::Handle(WorkerGone& command) {
  Worker* worker = workers_.Find(command.worker);
  if (worker == nullptr) return;
  AskAgain(*worker);
  workers_.NoteGone(worker, now_ + options_.reconnect_grace);
}

// Takes a worker's leases and forgets it. Losing a worker is not an attempt, but a task that loses
// several in a row is likely to be what kills them.
void Scheduler::Impl::RemoveWorker(Worker* worker, bool lost) {
  while (struct Lease* lease = worker->first_lease) {
    Run* run = lease->run;
    Item* item = lease->item;
    const uint32_t v = lease->vertex;
    FreeLease(lease, lost);  // One that is not lost says what has started.
    Vertex& vertex = item->vertices[v];
    if (lost && ++vertex.losses >= options_.losses_max) {
      AttemptFailed(run, item, v,
                    TaskError{.action = "worker_lost",
                              .message = absl::StrCat("the task lost its worker ",
                                                      options_.losses_max, " times in a row")},
                    worker->name, /*may_retry=*/false);
    } else {
      run->Unlease(item, v);
    }
  }
  AskAgain(*worker);
  ready_.EndGhosts(worker->id);
  for (const uint32_t scope : worker->scopes) ready_.LeaveScope(scope);
  workers_.Remove(worker->id);
}

// Once a turn: a restart of the hub brings thousands of workers back at once.
void Scheduler::Impl::RecordWorkers() {
  if (!std::exchange(workers_changed_, false)) return;
  absl::btree_map<std::string, uint64_t> names;
  const auto record = [&](const std::string& name) {
    const auto known = recorded_workers_.find(name);
    const uint64_t turn = known == recorded_workers_.end() ? turn_ : known->second;
    return names.emplace(name, turn).first->second;
  };
  for (const std::string& name : awaited_) record(name);
  for (const auto& [id, worker] : workers_.all()) worker->recorded = record(worker->name);
  recorded_workers_ = std::move(names);
  recorded_turn_ = turn_;
  effects_->record.workers_changed = true;
  effects_->record.workers.clear();
  for (const auto& [name, turn] : recorded_workers_) effects_->record.workers.push_back(name);
}

// --------------------------------------------------------------------------------------- reports

void Scheduler::Impl::Handle(WorkerReported& command) {
  Worker* worker = workers_.Find(command.worker);
  if (worker == nullptr) return;
  worker->last_heard = now_;
  for (const RoomChange& change : command.room) {
    worker->room[static_cast<size_t>(change.pool)] = change.room;
    workers_.NoteRoom(worker, change.pool);
    recalls_.NoteShort(worker, change.pool);
  }
  for (const LearnedMode& learned : command.learned) HandleLearned(learned);
  for (const uint64_t id : command.starting) {
    struct Lease* lease = leases_.Find(id);
    if (lease != nullptr && lease->worker == worker) Start(lease);
  }
  for (const StepError& error : command.errors) HandleStepError(*worker, error);
  if (command.ghosts.has_value()) worker->ghosts = *command.ghosts;
  for (const SourceProgress& progress : command.progress) HandleProgress(worker, progress);
  if (command.eager.empty()) {
    for (Outcome& outcome : command.outcomes) HandleOutcome(worker, outcome);
  } else {
    HandleEager(worker, &command);
  }
  for (const StartedTask& started : command.started) {
    struct Lease* lease = leases_.Find(started.lease);
    if (lease != nullptr && lease->worker == worker) Started(lease, started.elapsed);
  }
  for (const uint64_t lease : command.over) ready_.EndGhost(worker->id, lease);
  for (const HashReply& reply : command.hashes) HandleHashes(*worker, reply);
  if (command.report != 0) {
    effects_->outgoing.promises.acks.push_back(
        OutcomeAck{.worker = command.worker, .report = command.report});
  }
  if (command.goodbye) {
    gone_workers_.Add(worker->Status(), /*lost=*/false, now_);
    RemoveWorker(worker, /*lost=*/false);
    workers_changed_ = true;
  }
}

// `has_started`: as far as anybody knows, if nobody has said so.
void Scheduler::Impl::FreeLease(struct Lease* lease, bool has_started) {
  attempt_ = {.queued_us = lease->queued_us, .wanted = lease->wanted};
  ClearOverdue(lease);
  if (has_started) Start(lease);
  CountOut(*lease);
  SetLine(lease, nullptr);
  lease->item->vertices[lease->vertex].lease = 0;  // Leased still, until its outcome is taken in.
  EndRecall(lease);
  Worker* worker = lease->worker;
  workers_.Unlink(lease);
  if (recalls_.AnyAhead(lease->pool)) recalls_.NoteShort(worker, lease->pool);
  leases_.Free(lease);
}

void Scheduler::Impl::HandleOutcome(Worker* worker, Outcome& outcome) {
  struct Lease* lease = leases_.Find(outcome.lease);
  if (lease == nullptr || lease->worker != worker) {
    DropStale(outcome);
    return;
  }
  Run* run = lease->run;
  Item* item = lease->item;
  const uint32_t v = lease->vertex;
  if (outcome.output != 0) {
    effects_->record.logs.push_back(LogAdded{.run = run->number(),
                                             .address = outcome.output,
                                             .step = run->StepOf(*item, v).name,
                                             .item = run->NameOf(*item),
                                             .attempt = item->vertices[v].attempts + 1,
                                             .worker = worker->name});
  }
  const int64_t started_us = NoteOutcome(*lease, outcome);
  if (outcome.goes_on) AddGhost(*lease);
  // What could not be read was never called with.
  FreeLease(lease,
            outcome.kind != Outcome::Kind::kGivenBack && outcome.kind != Outcome::Kind::kInputGone);
  attempt_.started_us = started_us;
  // Its worker may have gone on to it by itself, before the hub knew that it could.
  if (started_us != 0) attempt_.queued_us = std::min(attempt_.queued_us, started_us);
  switch (outcome.kind) {
    case Outcome::Kind::kSucceeded:
      Succeeded(run, item, v, outcome, worker);
      return;
    case Outcome::Kind::kFailed:
      ++worker->failed;
      AttemptFailed(run, item, v, outcome.error ? *outcome.error : TaskError{}, worker->name,
                    /*may_retry=*/true);
      return;
    case Outcome::Kind::kPending:
    case Outcome::Kind::kReset:
      HandBack(run, item, v, outcome.kind, worker->name);
      return;
    case Outcome::Kind::kCancel:
      NoteTaskEnd(*run, *item, v, HistoryEvent::End::kFiltered, 0);
      Do(run, TaskChange(Change::Kind::kFiltered, run, item, v));
      return;
    case Outcome::Kind::kGivenBack:
      run->Unlease(item, v);
      return;
    case Outcome::Kind::kInputGone:
      InputGone(run, item, v, {.address = outcome.address, .store = outcome.store_gone}, worker);
      return;
  }
}

// The lease ended and the task may already run elsewhere: its value is nobody's. Unless it is a
// list: a loop may be reading what the source had told of before. The sweep knows.
void Scheduler::Impl::DropStale(const Outcome& outcome) {
  const bool list = outcome.elements != 0;
  if (outcome.kind == Outcome::Kind::kSucceeded && outcome.address != 0 && !list) {
    OnDelete(outcome.address);
  }
  if (outcome.output != 0) OnDelete(outcome.output);
}

Change Scheduler::Impl::TaskChange(Change::Kind kind, Run* run, Item* item, uint32_t v) const {
  return Change{.kind = kind,
                .node = run->NodeOf(*item, v),
                .instance = item->instance->id,
                .item = item->index};
}

void Scheduler::Impl::Succeeded(Run* run, Item* item, uint32_t v, const Outcome& outcome,
                                Worker* worker) {
  if (run->graph().vertex(item->instance->region, v).refill) {
    return SourceCalled(run, item, v, outcome, worker);
  }
  if (outcome.elements == 0 && run->graph().vertex(item->instance->region, v).is_source) {
    return Refuse(run, item, v, worker, /*may_retry=*/true,
                  "a loop iterates over this step's value, which is not a list or a generator");
  }
  if (outcome.extra && !outcome.extra->id.empty() &&
      !TakeId(run, item, v, outcome.extra->id, worker)) {
    if (outcome.address != 0) OnDelete(outcome.address);
    return;
  }
  ++worker->done;
  Change change = TaskChange(Change::Kind::kSucceeded, run, item, v);
  change.a = outcome.address;
  change.b = outcome.elements;
  NoteTaskEnd(*run, *item, v, HistoryEvent::End::kSucceeded, outcome.address);
  if (outcome.extra && !outcome.extra->id.empty()) {
    effects_->record.history.GiveId(outcome.extra->id);
  }
  Do(run, change, item);
}

// Gives the item the id that its task said. False: another one has it, so the task has failed.
bool Scheduler::Impl::TakeId(Run* run, Item* item, uint32_t v, const std::string& id,
                             Worker* worker) {
  if (item->instance->region == 0) return true;  // Nobody is there to be told apart from.
  const uint64_t hash = ItemIds::HashOf(id);
  const ItemIds* ids = item->instance->ids.get();
  const std::optional<uint64_t> other = ids == nullptr ? std::nullopt : ids->Find(hash);
  if (!other.has_value()) {
    Do(run, Change{.kind = Change::Kind::kItemId,
                   .instance = item->instance->id,
                   .item = item->index,
                   .a = hash});
  }
  if (other.value_or(item->index) == item->index) return true;
  Refuse(run, item, v, worker, /*may_retry=*/false,
         absl::StrCat("the id '", id, "' is that of item ", item->instance->prefix, *other,
                      " already; an id names one item of a loop"));
  return false;
}

// The task came to its end, but not to what it must.
void Scheduler::Impl::Refuse(Run* run, Item* item, uint32_t v, Worker* worker, bool may_retry,
                             std::string why) {
  ++worker->failed;
  AttemptFailed(run, item, v, TaskError{.action = "run", .message = std::move(why)}, worker->name,
                may_retry);
}

void Scheduler::Impl::AttemptFailed(Run* run, Item* item, uint32_t v, const TaskError& error,
                                    const std::string& worker, bool may_retry) {
  const Step& step = run->StepOf(*item, v);
  const Vertex& vertex = item->vertices[v];
  const uint32_t attempts = vertex.attempts + 1;
  const bool again = may_retry && (step.retries < 0 || attempts <= step.retries);
  effects_->record.errors.push_back(RecordOf(run, item, v, error, worker));
  effects_->record.errors.back().final = !again;
  if (!again) {
    NoteTaskEnd(*run, *item, v, HistoryEvent::End::kFailed, 0);
    Do(run, TaskChange(Change::Kind::kFailed, run, item, v));
    if (step.stop_on_error) StopRun(run, options_.stop_grace, /*failed=*/true);
    return;
  }
  const uint64_t seed = options_.seed ^ (item->instance->id << 40) ^ (item->index << 8) ^ attempts;
  Change change = TaskChange(Change::Kind::kDelayed, run, item, v);
  change.a = attempts;
  change.b = vertex.handbacks;
  change.c = absl::ToUnixMicros(now_ + Backoff(step.backoff_s, attempts, seed));
  Do(run, change);
}

// `pending` asks for the task again later, `reset` for its unit from the start.
void Scheduler::Impl::HandBack(Run* run, Item* item, uint32_t v, Outcome::Kind kind,
                               const std::string& worker) {
  const Step& step = run->StepOf(*item, v);
  const Vertex& vertex = item->vertices[v];
  if (step.max_handbacks != 0 && vertex.handbacks >= step.max_handbacks) {
    AttemptFailed(
        run, item, v,
        TaskError{.action = "run",
                  .message = absl::StrCat("handed back (pending or reset) more than ",
                                          step.max_handbacks, " times, its !max_handbacks")},
        worker, /*may_retry=*/false);
    return;
  }
  if (kind == Outcome::Kind::kReset) {
    Do(run, TaskChange(Change::Kind::kReset, run, item, v));
    return;
  }
  Change change = TaskChange(Change::Kind::kDelayed, run, item, v);
  change.a = vertex.attempts;
  change.b = vertex.handbacks + 1;
  change.c = absl::ToUnixMicros(now_ + absl::Seconds(step.poll_s));
  Do(run, change);
}

// A hook's failure, for people to see; no task depends on it.
void Scheduler::Impl::HandleStepError(const Worker& worker, const StepError& error) {
  const Run* run = FindRun(error.run);
  if (run == nullptr || error.step >= run->graph().program().steps.size()) return;
  effects_->record.errors.push_back(
      ErrorRecord{.run = error.run,
                  .step = run->graph().program().steps[error.step].name,
                  .action = error.error.action,
                  .worker = worker.name,
                  .type = error.error.type,
                  .message = error.error.message,
                  .traceback = error.error.traceback,
                  .at = now_});
}

// From now on the step's tasks wait for the pool they really need, also those that wait already.
void Scheduler::Impl::HandleLearned(const LearnedMode& learned) {
  Run* run = FindRun(learned.run);
  if (run == nullptr || !run->active() || learned.step >= run->graph().program().steps.size()) {
    return;
  }
  const Step& step = run->graph().program().steps[learned.step];
  if (step.language != Language::kPython || step.mode != Mode::kAuto) return;
  // Once, and from the one pool to the other: moving looks at every lease.
  if (learned.pool != Pool::kAsync || !run->async_steps.insert(learned.step).second) return;
  for (const auto& [id, worker] : workers_.all()) {
    for (struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      const Program& program = lease->run->graph().program();
      const uint32_t node = lease->run->NodeOf(*lease->item, lease->vertex);
      if (lease->run != run || program.nodes[node].step != learned.step) continue;
      EndRecall(lease);
      --worker->held[static_cast<size_t>(lease->pool)];
      workers_.NoteRoom(worker.get(), lease->pool);
      recalls_.NoteShort(worker.get(), lease->pool);
      lease->pool = learned.pool;
      ++worker->held[static_cast<size_t>(lease->pool)];
      NoteHeld(worker.get(), *lease);
    }
  }
  Rearrange(run);
}

}  // namespace bue::hub
