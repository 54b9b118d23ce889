#include "tests/support/scheduler_driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

// As an error's record has it, but for who made it.
TaskInput InputOf(const InputColumn& column, size_t i) {
  const auto at = [i](const auto& list) {
    return list.empty() ? 0 : list.size() == 1 ? list[0] : list[i];
  };
  return TaskInput{.kind = column.kind,
                   .address = at(column.address),
                   .first = at(column.first),
                   .count = at(column.count),
                   .instance = at(column.instance),
                   .node = column.node};
}

}  // namespace

SchedulerDriver::SchedulerDriver(SchedulerOptions options)
    : options_(options), scheduler_(std::make_unique<Scheduler>(options)) {
  CHECK(scheduler_->Load(HubSnapshot{}, now_).ok());
}

// ---------------------------------------------------------------------------------------- turns

void SchedulerDriver::Turn(std::vector<Command> commands) {
  Effects effects;
  scheduler_->BeginTurn(++turn_);
  for (Command& command : commands) scheduler_->Apply(command, now_, &effects);
  scheduler_->Match(now_, &effects);
  scheduler_->CheckInvariants();
  Take(effects);
  // On disk now: turns of their own grant what waited for that.
  bool more = true;
  while (more) {
    effects.Clear();
    scheduler_->Synced(turn_);
    scheduler_->BeginTurn(++turn_);
    scheduler_->Match(now_, &effects);
    scheduler_->CheckInvariants();
    more = !effects.record.empty();
    Take(effects);
  }
  scheduler_->Synced(turn_);
  if (scheduler_->NextDeadline() <= now_) lines_.push_back("(is due again at once)");
  for (auto& [name, worker] : workers_) {
    if (!worker.connected || worker.over.empty()) continue;
    std::vector<Command> said;
    said.push_back(WorkerReported{.worker = worker.stream, .over = std::exchange(worker.over, {})});
    return Turn(std::move(said));
  }
  for (const auto& [name, worker] : workers_) {
    if (worker.asked.empty() || !worker.connected || worker.spec.values == 0) continue;
    return Answer(name, worker.spec.values);
  }
}

void SchedulerDriver::Take(const Effects& effects) {
  for (const RunAdded& run : effects.record.runs) {
    StoredRun stored{.added = run, .program = programs_.at(run.run)};
    runs_[run.run] = std::move(stored);
  }
  for (const Change& change : effects.record.changes) {
    journal_.push_back(change);
    if (change.kind == Change::Kind::kState) {
      static constexpr const char* kNames[] = {"running", "paused",    "succeeded",
                                               "failed",  "cancelled", "stopping"};
      lines_.push_back(absl::StrCat("run r", change.run, " ", kNames[change.a]));
    }
    if (change.kind == Change::Kind::kDeleted) runs_.erase(change.run);
  }
  for (const ErrorRecord& error : effects.record.errors) TakeError(error);
  if (effects.record.workers_changed) stored_workers_ = effects.record.workers;
  const Outgoing& out = effects.outgoing;
  for (const WorkerWelcome& welcome : out.welcomes) {
    for (const uint64_t lease : welcome.dropped) {
      lines_.push_back(absl::StrCat("drop ", WorkerOf(welcome.worker)));
      workers_[WorkerOf(welcome.worker)].over.push_back(lease);
      Forget(lease);
    }
  }
  for (const Revocation& revocation : out.revocations) {
    FakeWorker& worker = workers_[WorkerOf(revocation.worker)];
    worker.over.push_back(revocation.lease);
    for (const auto& [task, lease] : worker.leases) {
      if (lease == revocation.lease) {
        lines_.push_back(absl::StrCat("revoke ", WorkerOf(revocation.worker), " ", task));
      }
    }
    Forget(revocation.lease);
  }
  for (const GrantGroup& group : out.grants) TakeGrants(group);
  for (const HashRequest& request : out.hash_requests) TakeHashRequest(request);
  for (const Recall& recall : out.recalls) {
    lines_.push_back(absl::StrCat("recall ", WorkerOf(recall.worker), " r", recall.run));
  }
  for (const LeaseRecall& recall : out.lease_recalls) {
    const std::string worker = WorkerOf(recall.worker);
    for (const auto& [task, lease] : workers_[worker].leases) {
      if (lease == recall.lease) lines_.push_back(absl::StrCat("recall ", worker, " ", task));
    }
  }
  for (const SourceCredit& credit : out.credits) {
    lines_.push_back(absl::StrCat("credit ", WorkerOf(credit.worker), " ", credit.elements));
  }
  for (const OutcomeAck& ack : out.promises.acks) {
    const auto reported = reported_.find({ack.worker, ack.report});
    if (reported == reported_.end()) continue;
    values_[reported->second.address] = reported->second;
    reported_.erase(reported);
  }
  for (const uint64_t address : out.promises.deletions) {
    values_.erase(address);
    lines_.push_back(absl::StrCat("delete ", ValueName(address)));
    deleted_.insert(address);
    for (const auto& [name, worker] : workers_) {
      if (!worker.connected) continue;  // Its leases may have been taken.
      for (const auto& [lease, inputs] : worker.inputs) {
        if (std::count(inputs.begin(), inputs.end(), address) == 0) continue;
        lines_.push_back(absl::StrCat("(deleted while ", name, " needs it)"));
      }
    }
  }
  for (const auto* replies : {&out.answers, &out.promises.replies}) {
    for (const Reply& reply : *replies) replies_[reply.request] = reply;
  }
}

void SchedulerDriver::TakeError(const ErrorRecord& error) {
  const std::string task =
      absl::StrCat(error.step, error.item.empty() ? "" : absl::StrCat("[", error.item, "]"));
  lines_.push_back(absl::StrCat("error ", task, " attempt=", error.attempt,
                                error.final ? " final: " : ": ", error.message));
  const std::vector<TaskInput>& granted = called_with_[{error.run, task}];
  std::vector<TaskInput> said = error.inputs.value_or(TaskInputs()).shown;
  for (TaskInput& input : said) input.from.clear();
  // What a source was asked for is forgotten with the hub.
  const bool lacks_count = said.size() + 1 == granted.size();
  if (!std::equal(said.begin(), said.end(), granted.begin() + lacks_count, granted.end())) {
    lines_.push_back(absl::StrCat("(its record has other inputs than it was granted with)"));
  }
}

void SchedulerDriver::TakeGrants(const GrantGroup& group) {
  const std::string name = WorkerOf(group.worker);
  FakeWorker& worker = workers_[name];
  const Program& program = *programs_.at(group.run);
  for (size_t i = 0; i < group.lease.size(); ++i) {
    const std::string prefix = group.run > 1 ? absl::StrCat("r", group.run, ".") : "";
    std::string task = absl::StrCat(prefix, program.steps[group.step].name);
    if (program.nodes[group.node].region != 0) {
      absl::StrAppend(&task, "[", group.item_prefix, group.item[i], "]");
    }
    std::vector<std::string> inputs;
    std::vector<uint64_t> addresses;
    std::vector<TaskInput>& called_with = called_with_[{group.run, task.substr(prefix.size())}];
    called_with.clear();
    for (const InputColumn& column : group.inputs) {
      inputs.push_back(InputText(group, column, i, &addresses));
      called_with.push_back(InputOf(column, i));
    }
    std::string line =
        absl::StrCat("grant ", name, " ", task, "(", absl::StrJoin(inputs, ", "), ")");
    if (group.attempt[i] > 1) absl::StrAppend(&line, " attempt=", group.attempt[i]);
    if (group.pass[i] > 0) absl::StrAppend(&line, " pass=", group.pass[i]);
    if (group.yielded.elements > 0) absl::StrAppend(&line, " again=", group.yielded.elements);
    if (group.is_source && group.source_credit != options_.source_window) {
      absl::StrAppend(&line, " credit=", group.source_credit);
    }
    lines_.push_back(line);
    if (worker.leases.contains(task)) lines_.push_back(absl::StrCat("(granted twice: ", task, ")"));
    for (const uint64_t address : addresses) {
      if (!deleted_.contains(address)) continue;
      lines_.push_back(absl::StrCat("(granted deleted ", ValueName(address), ")"));
    }
    worker.inputs[group.lease[i]] = std::move(addresses);
    if (group.is_source) worker.sources[group.lease[i]] = {0, 0};
    worker.leases[task] = group.lease[i];
    worker.held[group.lease[i]] = HeldLease{.lease = group.lease[i],
                                            .run = group.run,
                                            .instance = group.instance,
                                            .item = group.item[i],
                                            .node = group.node,
                                            .pass = group.pass[i],
                                            .attempt = group.attempt[i],
                                            .handbacks = group.handbacks[i],
                                            .pool = group.pool,
                                            .not_started = group.tells_start};
    const size_t each = group.by.size() / group.lease.size();
    worker.held[group.lease[i]].by.assign(group.by.begin() + i * each,
                                          group.by.begin() + (i + 1) * each);
  }
}

void SchedulerDriver::TakeHashRequest(const HashRequest& request) {
  const std::string name = WorkerOf(request.worker);
  std::vector<std::string> values;
  std::vector<uint64_t> addresses;
  for (uint32_t i = 0; i < request.count; ++i) {
    values.push_back(InputText({}, request.values, i, &addresses));
  }
  lines_.push_back(absl::StrCat("ask ", name, " ", absl::StrJoin(values, " ")));
  workers_[name].asked.push_back(request);
}

std::string SchedulerDriver::InputText(const GrantGroup& group, const InputColumn& column, size_t i,
                                       std::vector<uint64_t>* inputs) {
  const auto at = [i](const auto& list) { return list.size() == 1 ? list[0] : list[i]; };
  const std::string count = column.count.empty() ? "" : absl::StrCat("+", column.count[i]);
  switch (column.kind) {
    case InputColumn::Kind::kValues:
      inputs->push_back(at(column.address));
      return ValueName(at(column.address));
    case InputColumn::Kind::kElements:
      inputs->push_back(at(column.address));
      return absl::StrCat(ValueName(at(column.address)), "[", column.first[i], count, "]");
    case InputColumn::Kind::kRange:
      return absl::StrCat("#", column.first[i], count);
    case InputColumn::Kind::kFanIn: {
      std::string text = "all";
      const auto ask = [&](auto& self, uint64_t instance) -> std::string {
        const ReplyBody body =
            Ask(QueryValues{.run = group.run, .instance = instance, .node = column.node});
        const ValuePage& page = std::get<ValuePage>(body);
        std::vector<std::string> parts;
        for (const uint64_t address : page.addresses) parts.push_back(ValueName(address));
        inputs->insert(inputs->end(), page.addresses.begin(), page.addresses.end());
        for (const uint64_t inner : page.instances) parts.push_back(self(self, inner));
        return absl::StrCat("{", absl::StrJoin(parts, " "), "}");
      };
      return ask(ask, column.instance[i]);
    }
  }
  return "?";
}

std::string SchedulerDriver::ValueName(uint64_t address) const {
  return address == 0 ? "None" : absl::StrCat("v", address);
}

std::string SchedulerDriver::WorkerOf(uint64_t stream) const {
  for (const auto& [name, worker] : workers_) {
    if (worker.stream == stream) return name;
  }
  return absl::StrCat("stream", stream);
}

void SchedulerDriver::Forget(uint64_t lease) {
  for (auto& [name, worker] : workers_) {
    worker.held.erase(lease);
    worker.inputs.erase(lease);
    worker.sources.erase(lease);
    for (auto task = worker.leases.begin(); task != worker.leases.end();) {
      task = task->second == lease ? worker.leases.erase(task) : std::next(task);
    }
  }
}

// ------------------------------------------------------------------------------------ commands

uint64_t SchedulerDriver::Run(const std::string& program_text, uint32_t weight) {
  const uint64_t request = next_request_++;
  std::shared_ptr<const Program> program = ParseProgramText(program_text);
  programs_[next_run_] = program;
  std::vector<Command> commands;
  commands.push_back(SubmitRun{.request = request,
                               .key = absl::StrCat("key", request),
                               .name = "test.bue",
                               .weight = weight,
                               .program = program});
  Turn(std::move(commands));
  const Reply& reply = replies_.at(request);
  if (!reply.status.ok()) {
    lines_.push_back(std::string(reply.status.message()));
    return 0;
  }
  ++next_run_;
  return std::get<RunAccepted>(reply.body).run;
}

void SchedulerDriver::Join(const std::string& name, const WorkerSpec& spec) {
  FakeWorker& worker = workers_[name];
  worker = FakeWorker{.spec = spec, .incarnation = next_stream_ + 1000};
  SendJoin(&worker, name);
}

void SchedulerDriver::SendJoin(FakeWorker* worker, const std::string& name) {
  worker->stream = next_stream_++;
  worker->connected = true;
  worker->asked.clear();
  worker->over.clear();
  WorkerJoined joined{.worker = worker->stream,
                      .name = name,
                      .incarnation = worker->incarnation,
                      .scopes = worker->spec.scopes,
                      .priority_first = worker->spec.priority_first,
                      .reverse = worker->spec.reverse};
  for (const auto& [lease, held] : worker->held) {
    joined.held.push_back(held);
    const auto started = worker->started.find(lease);
    if (started == worker->started.end()) continue;
    joined.held.back().started_ago = std::max(now_ - started->second, absl::Milliseconds(1));
  }
  std::vector<Command> commands;
  commands.push_back(std::move(joined));
  WorkerReported room{.worker = worker->stream};
  const auto add = [&](hub::Pool pool, uint32_t slots) {
    if (slots == 0) return;
    room.room.push_back(
        RoomChange{.pool = pool, .room = {.leases = slots + worker->spec.ahead, .slots = slots}});
  };
  add(hub::Pool::kThread, worker->spec.threads);
  add(hub::Pool::kAsync, worker->spec.async);
  add(hub::Pool::kSql, worker->spec.sql);
  commands.push_back(std::move(room));
  Turn(std::move(commands));
}

void SchedulerDriver::Break(const std::string& worker) {
  workers_.at(worker).connected = false;
  std::vector<Command> commands;
  commands.push_back(WorkerGone{.worker = workers_.at(worker).stream});
  Turn(std::move(commands));
}

void SchedulerDriver::Return(const std::string& worker) { SendJoin(&workers_.at(worker), worker); }

void SchedulerDriver::Say(const std::string& worker) {
  std::vector<Command> commands;
  commands.push_back(WorkerReported{.worker = workers_.at(worker).stream});
  Turn(std::move(commands));
}

void SchedulerDriver::Answer(const std::string& worker, uint64_t values) {
  FakeWorker& fake = workers_.at(worker);
  WorkerReported reported{.worker = fake.stream};
  for (const HashRequest& request : std::exchange(fake.asked, {})) {
    const std::vector<uint64_t>& names =
        request.values.first.empty() ? request.values.address : request.values.first;
    HashReply& reply = reported.hashes.emplace_back();
    reply.id = request.id;
    for (const uint64_t name : names) reply.hashes.push_back(1 + name % values);
  }
  std::vector<Command> commands;
  commands.push_back(std::move(reported));
  Turn(std::move(commands));
}

void SchedulerDriver::Stop(const std::string& worker) {
  std::vector<Command> commands;
  commands.push_back(WorkerReported{.worker = workers_.at(worker).stream, .goodbye = true});
  Turn(std::move(commands));
}

void SchedulerDriver::Control(uint64_t run, ControlRun::Action action, absl::Duration grace,
                              const std::string& step) {
  Control(ControlRun{.run = run, .action = action, .grace = grace, .step = step});
}

void SchedulerDriver::Control(Command command) {
  const uint64_t request = next_request_++;
  if (auto* control = std::get_if<ControlRun>(&command)) control->request = request;
  if (auto* limits = std::get_if<SetLimits>(&command)) limits->request = request;
  std::vector<Command> commands;
  commands.push_back(std::move(command));
  Turn(std::move(commands));
  const Reply& reply = replies_.at(request);
  if (!reply.status.ok()) lines_.push_back(std::string(reply.status.message()));
}

void SchedulerDriver::Advance(absl::Duration duration) {
  now_ += duration;
  Turn({});
}

void SchedulerDriver::Restart(bool checkpoint_first, const std::string& first) {
  if (checkpoint_first) {
    for (const uint64_t run : scheduler_->DirtyRuns()) {
      RunSnapshot snapshot = scheduler_->SnapshotRun(run);
      runs_.at(run).state = std::move(snapshot.state);
      for (RunSnapshot::Block& block : snapshot.blocks) {
        blocks_[run][block.key] = std::move(block.bytes);
      }
    }
    journal_.clear();
  }
  HubSnapshot snapshot{.changes = journal_, .workers = stored_workers_};
  for (const auto& [number, run] : runs_) {
    snapshot.runs.push_back(run);
    for (const auto& [key, bytes] : blocks_[number]) snapshot.runs.back().blocks.push_back(bytes);
    snapshot.next_run = number + 1;
  }
  for (auto& [name, worker] : workers_) worker.connected = false;
  ++options_.epoch;
  scheduler_ = std::make_unique<Scheduler>(options_);
  const absl::Status loaded = scheduler_->Load(std::move(snapshot), now_);
  if (!loaded.ok()) lines_.push_back(loaded.ToString());
  CHECK(loaded.ok());
  if (first.empty()) {
    Turn({});
  } else {
    Return(first);
  }
}

// ------------------------------------------------------------------------------------ questions

ReplyBody SchedulerDriver::Ask(Command command) {
  const uint64_t request = next_request_++;
  std::visit(
      [request](auto& c) {
        if constexpr (requires { c.request; }) c.request = request;
      },
      command);
  Effects effects;
  scheduler_->Apply(command, now_, &effects);
  // Of what has ended it is a promise.
  std::vector<Reply> replies = std::move(effects.outgoing.answers);
  for (Reply& reply : effects.outgoing.promises.replies) replies.push_back(std::move(reply));
  CHECK(effects.record.empty() && replies.size() == 1);
  const Reply& reply = replies[0];
  if (!reply.status.ok()) {
    lines_.push_back(std::string(reply.status.message()));
    return Done{};
  }
  return reply.body;
}

std::vector<Ownership> SchedulerDriver::AskOwnership(std::vector<QueryOwnership::Object> objects) {
  Command command = QueryOwnership{.request = next_request_++, .objects = std::move(objects)};
  Effects effects;
  scheduler_->Apply(command, now_, &effects);
  CHECK(effects.record.empty() && effects.outgoing.promises.replies.size() == 1);
  return std::get<OwnershipList>(effects.outgoing.promises.replies[0].body).verdicts;
}

std::vector<QueryOwnership::Object> SchedulerDriver::Values() const {
  std::vector<QueryOwnership::Object> values;
  for (const auto& [address, value] : values_) values.push_back(value);
  return values;
}

RunStatus SchedulerDriver::Status(uint64_t run) {
  return std::get<RunStatus>(Ask(QueryRun{.run = run}));
}

std::vector<std::string> SchedulerDriver::TakeLines() { return std::exchange(lines_, {}); }

}  // namespace bue::hub
