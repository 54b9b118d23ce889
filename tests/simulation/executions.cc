// The worker's executions: inputs are read, the step does what its plan says, its value is stored.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "tests/simulation/connection.h"
#include "tests/simulation/worker_process.h"

namespace bue::sim {
namespace {

// The hub is told of what has run for so long.
constexpr absl::Duration kTellOfStartAfter = absl::Seconds(1);
constexpr absl::Duration kImportMax = absl::Seconds(3);

}  // namespace

void WorkerProcess::Begin(const worker::StartBatch& batch) {
  const worker::GrantGroup& group = *batch.group;
  const auto run = runs_.find(group.run);
  if (run == runs_.end()) {
    return world_->history.Fail(
        absl::StrCat(name_, " was granted a task of run r", group.run, " that it was not told of"));
  }
  const Program& program = *run->second->program();
  for (const uint32_t row : batch.rows) {
    const uint64_t lease = group.lease[row];
    if (executions_.contains(lease)) {
      return world_->history.Fail(absl::StrCat(name_, " starts a lease twice"));
    }
    Execution& execution = executions_[lease];
    execution.task = {.group = batch.group, .row = row};
    execution.name.node = group.node;
    if (program.nodes[group.node].region != 0) {
      execution.name.item = absl::StrCat(group.item_prefix, group.item[row]);
    }
    execution.plan = run->second;
    execution.serial = next_serial_++;
    execution.started = world_->events.now();
    execution.credit = group.source_credit;
    world_->Trace(name_, " starts ", program.steps[group.step].name, "[", execution.name.item,
                  "] attempt ", group.AttemptOf(row), " lease ", absl::Hex(lease));
    if (execution.plan->TurnsOutAsync(group.step)) {
      session_.OnLearnedMode({.run = group.run, .step = group.step, .pool = worker::Pool::kAsync});
    }
    After(lease, world_->Latency(), &WorkerProcess::ReadInputs);
  }
}

// Now and then nothing can interrupt it.
void WorkerProcess::Cancel(const std::vector<uint64_t>& leases) {
  for (const uint64_t lease : leases) {
    const auto execution = executions_.find(lease);
    const bool ran = execution != executions_.end() && execution->second.has_begun();
    executions_.erase(lease);
    if (!ran || !world_->faults || !world_->random.Chance(30)) {
      session_.OnOver(lease);
      continue;
    }
    ghosts_.insert(lease);
    world_->history.GoesOn(lease);
    world_->events.After(absl::Milliseconds(world_->random.Below(20000)), [this, lease] {
      Do([this, lease] {
        if (ghosts_.erase(lease) == 0) return;
        world_->history.IsOver(lease);
        session_.OnOver(lease);
      });
    });
  }
}

void WorkerProcess::LayGhosts() {
  for (const uint64_t lease : std::exchange(ghosts_, {})) world_->history.IsOver(lease);
}

WorkerProcess::Execution* WorkerProcess::Find(uint64_t lease, uint64_t serial) {
  const auto found = executions_.find(lease);
  return found == executions_.end() || found->second.serial != serial ? nullptr : &found->second;
}

void WorkerProcess::After(uint64_t lease, absl::Duration wait,
                          void (WorkerProcess::*step)(uint64_t)) {
  const uint64_t serial = executions_.at(lease).serial;
  world_->events.After(wait, [this, lease, serial, step] {
    Do([this, lease, serial, step] {
      if (Find(lease, serial) != nullptr) (this->*step)(lease);
    });
  });
}

// --------------------------------------------------------------------------------------- inputs

void WorkerProcess::ReadInputs(uint64_t lease) {
  Execution& execution = executions_.at(lease);
  const worker::GrantGroup& group = *execution.task.group;
  const bool refill = execution.plan->program()->steps[group.step].refill;
  while (execution.next_input < group.inputs.size()) {
    const worker::InputColumn& column = group.inputs[execution.next_input];
    if (refill && execution.next_input < 2) {
      if (!ReadCall(lease, column)) return;
      ++execution.next_input;
      continue;
    }
    if (column.kind != worker::InputColumn::Kind::kFanIn) {
      if (!ReadColumn(lease, column)) return;
      ++execution.next_input;
      continue;
    }
    const uint64_t instance = worker::At(column.instance, execution.task.row);
    auto list = std::make_shared<std::vector<Content>>();
    return ReadFanIn(lease, execution.serial, instance, column.node, 0, list,
                     [this, lease](bool ok, std::vector<Content> contents) {
                       if (!ok) {
                         return Report(lease, worker::Outcome::Kind::kFailed, "input",
                                       "the fan-in's list cannot be had");
                       }
                       Execution& execution = executions_.at(lease);
                       execution.contents.push_back(Fold(contents));
                       ++execution.next_input;
                       ReadInputs(lease);
                     });
  }
  // Now and then a step's module has to be imported first.
  const bool imports = world_->random.Chance(10);
  After(lease,
        imports ? world_->random.Between(absl::ZeroDuration(), kImportMax) : absl::ZeroDuration(),
        &WorkerProcess::Run);
}

// False: it is not there, which was reported.
bool WorkerProcess::ReadObject(uint64_t lease, uint64_t address, Content* content,
                               Object** object) {
  *content = kNone;
  *object = nullptr;
  if (address == 0) return true;
  Object* found = world_->bucket.Find(address);
  if (found == nullptr || !found->there) {
    world_->Trace(name_, " misses object ", address);
    world_->history.Missed(lease, address);
    Report(lease, worker::Outcome::Kind::kInputGone, "input", "the object is not there", address);
    return false;
  }
  world_->history.ReadBy(lease, address);
  executions_.at(lease).inputs.push_back(address);
  *content = found->content;
  *object = found;
  return true;
}

// Of a `!refill` source: how many items are wanted, and where it goes on.
bool WorkerProcess::ReadCall(uint64_t lease, const worker::InputColumn& column) {
  Execution& execution = executions_.at(lease);
  if (column.kind == worker::InputColumn::Kind::kRange) {
    execution.wanted = column.first.at(0);
    return true;
  }
  Content content = kNone;
  Object* object = nullptr;
  if (!ReadObject(lease, column.address.at(0), &content, &object)) return false;
  if (object == nullptr) return true;
  if (column.first.at(0) + 1 != object->elements || !object->has_cursor) {
    world_->history.Fail(absl::StrCat(name_, " was given element ", column.first.at(0),
                                      " of object ", object->address, " as a cursor"));
    return false;
  }
  execution.produced = object->offset + object->elements - 1;
  return true;
}

bool WorkerProcess::ReadColumn(uint64_t lease, const worker::InputColumn& column) {
  Execution& execution = executions_.at(lease);
  const uint32_t row = execution.task.row;
  Content content = kNone;
  Object* object = nullptr;
  if (column.kind != worker::InputColumn::Kind::kRange &&
      !ReadObject(lease, worker::At(column.address, row), &content, &object)) {
    return false;
  }
  if (column.kind == worker::InputColumn::Kind::kValues) {
    execution.contents.push_back(content);
    return true;
  }
  const auto element = [&](uint64_t i) {
    return column.kind == worker::InputColumn::Kind::kRange
               ? Plan::RangeElement(i)
               : ElementOf(content, object->offset + i);
  };
  const uint64_t first = column.first[row];
  if (column.count.empty()) {
    execution.contents.push_back(element(first));
    return true;
  }
  std::vector<Content> batch;
  for (uint64_t i = first; i < first + column.count[row]; ++i) batch.push_back(element(i));
  execution.contents.push_back(Fold(batch));
  return true;
}

// Page by page, loop within loop. A hub that does not answer is asked again.
void WorkerProcess::ReadFanIn(uint64_t lease, uint64_t serial, uint64_t instance, uint32_t node,
                              uint64_t start, std::shared_ptr<std::vector<Content>> list,
                              OnList done) {
  const Execution* execution = Find(lease, serial);
  if (execution == nullptr) return;
  hub::QueryValues query{.run = execution->task.group->run,
                         .instance = instance,
                         .node = node,
                         .start = start,
                         .lease = lease};
  world_->Ask(query, [=, this](std::optional<hub::Reply> reply) {
    Do([=, this] {
      if (Find(lease, serial) == nullptr) return;
      if (!reply.has_value() || absl::IsAborted(reply->status)) {
        world_->events.After(absl::Milliseconds(100), [=, this] {
          Do([=, this] { ReadFanIn(lease, serial, instance, node, start, list, done); });
        });
        return;
      }
      if (!reply->status.ok()) return done(false, {});
      const hub::ValuePage& page = std::get<hub::ValuePage>(reply->body);
      for (const uint64_t address : page.addresses) {
        Content content = kNone;
        Object* object = nullptr;
        if (!ReadObject(lease, address, &content, &object)) return;
        list->push_back(content);
      }
      auto inner =
          std::make_shared<std::deque<uint64_t>>(page.instances.begin(), page.instances.end());
      ReadInner(lease, serial, inner, node, list,
                [=, this, end = page.end, next = page.next](bool ok) {
                  if (!ok || end) return done(ok, *list);
                  ReadFanIn(lease, serial, instance, node, next, list, done);
                });
    });
  });
}

void WorkerProcess::ReadInner(uint64_t lease, uint64_t serial,
                              std::shared_ptr<std::deque<uint64_t>> instances, uint32_t node,
                              std::shared_ptr<std::vector<Content>> list,
                              std::function<void(bool)> done) {
  if (instances->empty()) return done(true);
  const uint64_t instance = instances->front();
  instances->pop_front();
  ReadFanIn(lease, serial, instance, node, 0, std::make_shared<std::vector<Content>>(),
            [=, this](bool ok, std::vector<Content> contents) {
              if (!ok) return done(false);
              list->push_back(Fold(contents));
              ReadInner(lease, serial, instances, node, list, done);
            });
}

// -------------------------------------------------------------------------------------- running

void WorkerProcess::TellOfStart(uint64_t lease) {
  session_.OnStarted(lease, executions_.at(lease).began, world_->events.now());
}

Behaviour WorkerProcess::BehaviourOf(const Execution& execution) const {
  return execution.plan->Of(execution.name, world_->mended[execution.plan->key()]);
}

void WorkerProcess::Run(uint64_t lease) {
  Execution& execution = executions_.at(lease);
  if (!session_.HandOver(lease)) {
    executions_.erase(lease);
    return;
  }
  execution.began = world_->events.now();
  After(lease, kTellOfStartAfter, &WorkerProcess::TellOfStart);
  const worker::GrantGroup& group = *execution.task.group;
  world_->history.Starting(lease, execution.began);
  if (group.tells_start) session_.OnStarting(lease, execution.began);
  const Step& step = execution.plan->program()->steps[group.step];
  const Behaviour does = BehaviourOf(execution);
  const bool fails = group.AttemptOf(execution.task.row) <= does.fails;
  if (fails && does.hangs) {
    return After(lease, absl::Seconds(step.timeout_s), &WorkerProcess::Finish);
  }
  if (group.is_source && does.streams) {
    execution.object = world_->bucket.Put(
        {.run = group.run,
         .task = execution.name,
         .lease = lease,
         .content = execution.plan->ContentOf(execution.name, execution.contents),
         .inputs = execution.inputs});
    return After(lease, does.takes * 0.2, &WorkerProcess::Produce);
  }
  After(lease, std::min(does.takes, absl::Seconds(step.timeout_s) * 0.9), &WorkerProcess::Finish);
}

// A generator: elements become durable bit by bit, as far as its credit goes.
void WorkerProcess::Produce(uint64_t lease) {
  Execution& execution = executions_.at(lease);
  const Behaviour does = BehaviourOf(execution);
  const bool fails = execution.task.group->AttemptOf(execution.task.row) <= does.fails;
  const uint64_t last = fails ? does.elements / 2 : does.elements;
  if (execution.produced >= last) return Finish(lease);
  if (execution.credit > 0 && execution.produced >= execution.credit) {
    execution.waits_for_credit = true;
    return;
  }
  execution.produced = std::min(last, execution.produced + 1 + world_->random.Below(3));
  if (execution.credit > 0) execution.produced = std::min(execution.produced, execution.credit);
  world_->bucket.Find(execution.object)->elements = execution.produced;
  session_.OnProgress(
      {.lease = lease, .address = execution.object, .elements = execution.produced});
  After(lease, does.takes * 0.1 + world_->Latency(), &WorkerProcess::Produce);
}

void WorkerProcess::Finish(uint64_t lease) {
  Execution& execution = executions_.at(lease);
  const worker::GrantGroup& group = *execution.task.group;
  const Behaviour does = BehaviourOf(execution);
  const uint64_t handbacks = group.HandbacksOf(execution.task.row);
  using Kind = worker::Outcome::Kind;
  if (world_->faults && world_->random.Chance(world_->config.give_back_percent)) {
    return Report(lease, Kind::kGivenBack, "", "");
  }
  if (group.AttemptOf(execution.task.row) <= does.fails) {
    return Report(lease, Kind::kFailed, does.hangs ? "timeout" : "run", "no luck");
  }
  if (handbacks < does.pendings) return Report(lease, Kind::kPending, "", "");
  if (handbacks < does.handbacks()) return Report(lease, Kind::kReset, "", "");
  if (does.cancels) return Report(lease, Kind::kCancel, "", "");
  const absl::Duration run_time = world_->events.now() - execution.started;
  if (!session_.OnExecuted(lease, run_time).has_value()) {
    executions_.erase(lease);
    return;
  }
  After(lease, world_->Latency(), &WorkerProcess::Succeed);
}

void WorkerProcess::Succeed(uint64_t lease) {
  Execution& execution = executions_.at(lease);
  const worker::GrantGroup& group = *execution.task.group;
  const Behaviour does = BehaviourOf(execution);
  if (execution.plan->program()->steps[group.step].refill) return GiveItems(lease);
  uint64_t address = execution.object;
  if (address == 0 && (!does.none || group.is_source)) {
    address = world_->bucket.Put(
        {.run = group.run,
         .task = execution.name,
         .lease = lease,
         .content = execution.plan->ContentOf(execution.name, execution.contents),
         .elements = group.is_source ? does.elements : 0,
         .inputs = execution.inputs});
  }
  world_->Trace(name_, " succeeds with lease ", absl::Hex(lease), ", object ", address);
  if (does.id.empty()) {
    session_.OnSucceeded(lease, address, group.is_source ? 1 + does.elements : 0, 1);
  } else {
    session_.OnOutcome({.lease = lease,
                        .kind = worker::Outcome::Kind::kSucceeded,
                        .address = address,
                        .item_id = does.id});
  }
  executions_.erase(lease);
}

// One call of a `!refill` source: seldom as many as are wanted, and now and then more.
void WorkerProcess::GiveItems(uint64_t lease) {
  const Execution& execution = executions_.at(lease);
  const worker::GrantGroup& group = *execution.task.group;
  const uint64_t left = BehaviourOf(execution).elements - execution.produced;
  uint64_t by = 1;  // Lists do not straddle calls: whole ones, as the model has them.
  for (const Region& region : execution.plan->program()->regions) {
    if (region.source_node == group.node) by = std::max(by, region.by);
  }
  const uint64_t most = std::min<uint64_t>(execution.wanted + 1, 4);
  const uint64_t items = std::min(left, by * (1 + Mix(lease, execution.produced) % most));
  const uint64_t address =
      world_->bucket.Put({.run = group.run,
                          .task = execution.name,
                          .lease = lease,
                          .content = execution.plan->ContentOf(execution.name, execution.contents),
                          .elements = items + 1,
                          .offset = execution.produced,
                          .has_cursor = true,
                          .inputs = execution.inputs});
  world_->Trace(name_, " gives ", items, " items with lease ", absl::Hex(lease), ", object ",
                address);
  session_.OnSucceeded(lease, address, 1 + items + 1, 1);
  executions_.erase(lease);
}

void WorkerProcess::Report(uint64_t lease, worker::Outcome::Kind kind, const std::string& action,
                           const std::string& message, uint64_t gone) {
  const absl::Duration run_time = world_->events.now() - executions_.at(lease).started;
  executions_.erase(lease);
  if (!session_.OnExecuted(lease, run_time).has_value()) return;
  session_.OnOutcome({.lease = lease,
                      .kind = kind,
                      .error = {.action = action, .message = message},
                      .gone = gone});
}

}  // namespace bue::sim
