// Why a task does not run now: every task that waits has a reason that can be told.
#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/program/limits_by.h"
#include "hub/scheduler/scheduler_impl.h"
#include "hub/scheduler/waiting_tasks.h"

namespace bue::hub {
namespace {

constexpr absl::string_view kNextTurn = "its turn comes next";
constexpr size_t kFew = 5;  // That are named one by one.

absl::string_view NameOf(Pool pool) {
  constexpr absl::string_view kNames[] = {"async", "thread", "process", "sql"};
  return kNames[static_cast<size_t>(pool)];
}

absl::string_view NameOf(VertexState state) {
  constexpr absl::string_view kNames[] = {"waiting",   "ready",  "running", "delayed", "open",
                                          "succeeded", "failed", "skipped", "filtered"};
  return kNames[static_cast<size_t>(state)];
}

std::string Seconds(absl::Duration duration) {
  return absl::StrFormat("%.*f s", duration < absl::Seconds(10) ? 2 : 0,
                         absl::ToDoubleSeconds(std::max(duration, absl::ZeroDuration())));
}

std::string PerUnit(absl::Duration per) {
  if (per == absl::Seconds(1)) return "s";
  if (per == absl::Minutes(1)) return "m";
  if (per == absl::Hours(1)) return "h";
  return Seconds(per);
}

std::string Count(uint64_t n, absl::string_view things) {
  return absl::StrCat(n, " ", things, n == 1 ? "" : "s");
}

std::string Quoted(absl::string_view name) { return absl::StrCat("`", name, "`"); }

}  // namespace

void Scheduler::Impl::Handle(QueryReasons& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) {
    return Answer(command.request, NoRun(command.run), Done{});
  }
  if (run->expired() && !command.step.empty()) {
    return Answer(command.request,
                  absl::NotFoundError(absl::StrCat("run r", command.run,
                                                   " ended so long ago that only its counts and "
                                                   "errors are left")),
                  Done{});
  }
  absl::StatusOr<Reasons> reasons =
      command.step.empty() ? ReasonsOfAll(run) : ReasonsOfTask(run, command.step, command.item);
  if (!reasons.ok()) return Answer(command.request, reasons.status(), Done{});
  Answer(command.request, absl::OkStatus(), *std::move(reasons));
}

// ------------------------------------------------------------------------------------ one task

absl::StatusOr<Reasons> Scheduler::Impl::ReasonsOfTask(Run* run, const std::string& step,
                                                       const std::string& item) {
  const Program& program = run->graph().program();
  Reasons reasons;
  bool known = false;
  for (uint32_t node = 0; node < program.nodes.size(); ++node) {
    if (program.steps[program.nodes[node].step].name != step) continue;
    known = true;
    Reasons::Entry entry{.step = step, .item = item};
    if (Explain(run, node, item, &entry)) reasons.entries.push_back(std::move(entry));
    if (reasons.entries.size() == kFew) break;
  }
  if (!known) {
    return absl::NotFoundError(absl::StrCat("run r", run->number(), " has no step '", step, "'"));
  }
  if (reasons.entries.empty() && item.empty()) return ReasonsOfStep(run, step);
  if (reasons.entries.empty()) {
    return absl::NotFoundError(
        absl::StrCat("step '", step, "' has no item '", item, "'; one looks like 4 or 4.17"));
  }
  return reasons;
}

// Of a step in a loop, all its items together.
Reasons Scheduler::Impl::ReasonsOfStep(Run* run, const std::string& step) {
  Reasons all = ReasonsOfAll(run);
  std::erase_if(all.entries, [&](const Reasons::Entry& entry) {
    return run->active() && entry.step != step && entry.state != "not begun";
  });
  if (all.entries.empty()) {
    all.entries.push_back(
        {.step = step,
         .tasks = 0,
         .state = "waiting",
         .reasons = {"none of its tasks waits for a worker, a limit or a time: they "
                     "run, are done, or wait for what comes before them"}});
  }
  return all;
}

// Goes from the top level down to the item. False: there is no such item.
bool Scheduler::Impl::Explain(Run* run, uint32_t node, const std::string& name,
                              Reasons::Entry* entry) {
  const RunGraph& graph = run->graph();
  const uint32_t region = graph.program().nodes[node].region;
  std::vector<std::string> indices;
  if (!name.empty()) indices = absl::StrSplit(name, '.');
  if (indices.size() != graph.region(region).depth) return false;
  Instance* instance = run->top();
  uint64_t index = 0;
  for (size_t depth = 0;; ++depth) {
    Item* item = run->FindItem(instance->id, index);
    const bool own = instance->region == region;
    if (item == nullptr) {
      if (index >= instance->available && instance->source_done) return false;
      if (index >= instance->next) {
        entry->state = "waiting";
        entry->reasons = ReasonsOfLoop(run, *instance, index);
        return true;
      }
      entry->state = "succeeded";  // Nothing but that is left of it; it may have been filtered.
      entry->reasons = {"its item has ended"};
      return true;
    }
    const uint32_t v =
        own ? graph.vertex_of_node(node) : graph.loop_towards(instance->region, region);
    if (own || item->vertices[v].state != VertexState::kOpen) {
      const VertexState state = item->vertices[v].state;
      entry->state = state == VertexState::kOpen ? "resting" : std::string(NameOf(state));
      entry->reasons = ReasonsOf(run, *item, v);
      if (own) return true;
      if (IsTerminal(item->vertices[v].state)) {
        // A loop that never opened has no instance; 0 is the top level's.
        const uint64_t id = item->vertices[v].value;
        Instance* ended = id == 0 ? nullptr : run->FindInstance(id);
        if (ended != nullptr) {
          instance = ended;
          if (depth >= indices.size() || !absl::SimpleAtoi(indices[depth], &index)) return false;
          continue;
        }
      }
      entry->state = item->vertices[v].state == VertexState::kWaiting ? "waiting" : entry->state;
      return true;
    }
    instance = run->FindInstance(item->vertices[v].value);
    if (instance == nullptr || depth >= indices.size() ||
        !absl::SimpleAtoi(indices[depth], &index)) {
      return false;
    }
  }
}

std::vector<std::string> Scheduler::Impl::ReasonsOf(Run* run, const Item& item, uint32_t v) {
  const Vertex& vertex = item.vertices[v];
  std::vector<std::string> reasons;
  if (IsTerminal(vertex.state)) {
    if (vertex.state == VertexState::kSkipped) reasons.push_back("what it waited for has failed");
    if (vertex.state == VertexState::kFailed) {
      reasons.push_back(absl::StrCat("bue errors r", run->number(), " says why; bue retry r",
                                     run->number(), " runs it again"));
    }
    return reasons;
  }
  switch (vertex.state) {
    case VertexState::kWaiting:
      if (!run->active()) return ReasonsOfRun(run);
      return ReasonsOfWaiting(run, item, v);
    case VertexState::kReady:
      reasons = ReasonsOfRun(run);
      if (!run->active()) return reasons;  // It stands in no line.
      {
        const uint32_t node = run->NodeOf(item, v);
        const Line* line = LineOf(run, run->FindItem(item.instance->id, item.index), v);
        for (std::string& reason : ReasonsOfLine(run, node, *line)) {
          reasons.push_back(std::move(reason));
        }
      }
      return reasons;
    case VertexState::kDelayed: {
      const absl::Time due = absl::FromUnixMicros(static_cast<int64_t>(vertex.value));
      reasons.push_back(
          vertex.attempts > 0 && vertex.handbacks == 0
              ? absl::StrCat("attempt ", vertex.attempts, " failed; the next one is due in ",
                             Seconds(due - now_), " (!backoff)")
              : absl::StrCat("it was handed back (pending) ", Count(vertex.handbacks, "time"),
                             " and is asked again in ", Seconds(due - now_), " (!poll)"));
      for (std::string& reason : ReasonsOfRun(run)) reasons.push_back(std::move(reason));
      return reasons;
    }
    case VertexState::kLeased: {
      if (vertex.lease == 0) return reasons;
      const struct Lease* lease = leases_.at(vertex.lease - 1);
      reasons.push_back(
          absl::StrCat("given to worker ", lease->worker->name,
                       lease->started == absl::InfiniteFuture()
                           ? ""
                           : absl::StrCat(", running there for ", Seconds(now_ - lease->started)),
                       lease->worker->connected ? "" : ", whose connection has just broken"));
      return reasons;
    }
    case VertexState::kOpen:
      if (!run->graph().vertex(item.instance->region, v).is_loop) {
        reasons = ReasonsOfRun(run);
        if (run->active()) reasons.push_back(ReasonOfRest(run, item, v));
        return reasons;
      }
      break;
    default:
      break;
  }
  if (const Instance* instance = run->FindInstance(vertex.value)) {
    reasons.push_back(absl::StrCat(
        "its loop goes on: ", instance->done, " of ",
        instance->source_done ? absl::StrCat(instance->available) : "an unknown number of",
        " items are done"));
  }
  return reasons;
}

// Of a `!refill` source between two calls.
std::string Scheduler::Impl::ReasonOfRest(Run* run, const Item& item, uint32_t v) {
  const uint32_t loop = run->graph().loops_over(item.instance->region, v).front();
  const Instance* instance = item.vertices[loop].state == VertexState::kOpen
                                 ? run->FindInstance(item.vertices[loop].value)
                                 : nullptr;
  if (instance == nullptr) return "it has given items, and its loop waits for other values";
  const uint64_t queue = run->QueueOf(*instance);
  return absl::StrCat("its loop has ", Count(instance->available - instance->next, "item"),
                      " that have not begun; it is asked for more when there are fewer than ",
                      (queue + 1) / 2);
}

// Which values are not there yet.
std::vector<std::string> Scheduler::Impl::ReasonsOfWaiting(Run* run, const Item& item, uint32_t v) {
  const RunGraph& graph = run->graph();
  const uint32_t region = item.instance->region;
  std::vector<std::string> missing;
  for (uint32_t w = 0; w < item.vertices.size() && missing.size() <= kFew; ++w) {
    const VertexState state = item.vertices[w].state;
    if (state == VertexState::kSucceeded) continue;
    const auto dependents = graph.dependents(region, w);
    const auto loops = graph.loops_over(region, w);
    if (std::find(dependents.begin(), dependents.end(), v) == dependents.end() &&
        std::find(loops.begin(), loops.end(), v) == loops.end()) {
      continue;
    }
    const RunGraph::Vertex& info = graph.vertex(region, w);
    missing.push_back(
        info.is_loop ? absl::StrCat("the loop over `", graph.program().regions[info.index].variable,
                                    "`, line ", graph.program().regions[info.index].line)
                     : absl::StrCat(Quoted(run->StepOf(item, w).name), " (", NameOf(state), ")"));
  }
  if (missing.size() > kFew) missing.back() = "more";
  std::vector<std::string> reasons;
  if (!missing.empty()) {
    reasons.push_back(absl::StrCat("waits for ", absl::StrJoin(missing, ", ")));
  }
  return reasons;
}

// ----------------------------------------------------------------------- what holds many tasks

std::vector<std::string> Scheduler::Impl::ReasonsOfRun(Run* run) {
  switch (run->state()) {
    case RunState::kPaused:
      return {absl::StrCat("the run is paused: bue resume r", run->number())};
    case RunState::kStopping:
      return {run->stopped_by_failure()
                  ? "the run is stopping, because a step with !on_error stop has failed"
                  : "the run is being stopped"};
    case RunState::kRunning:
      return {};
    case RunState::kSucceeded:
      return {"the run has ended, and all of it is done"};
    default:
      return {absl::StrCat(
          "the run has ended",
          run->stopped_by_failure() ? ", because a step with !on_error stop has failed" : "",
          "; bue retry r", run->number(), " goes on with what is left")};
  }
}

std::string Scheduler::Impl::ReasonOfGate(const Gate& gate) {
  if (!gate.HasRoom(now_) || !in_grace_) {
    std::string shared = gate.key.empty() ? "" : absl::StrCat(" key ", gate.key);
    if (gate.hash != 0) {
      const Step& step = gate.run->graph().program().steps[gate.step];
      const bool is_rate = gate.kind == Gate::Kind::kRate;
      shared = absl::StrCat(" by ", is_rate ? step.rate.by : step.max_running.by);
    }
    switch (gate.kind) {
      case Gate::Kind::kRunning:
        return absl::StrCat(
            "!max_running ", gate.limit(), shared, ": ", gate.count(), " run",
            gate.hash != 0 ? " with the same value" : "",
            gate.ghosts == 0
                ? ""
                : absl::StrCat(", ", gate.ghosts,
                               " of which nobody waits for any more: cancelled or "
                               "timed out, and not ended so far (GHOSTS in bue workers)"));
      case Gate::Kind::kAhead:
        return absl::StrCat(Count(gate.count(), "task"), " of ",
                            Quoted(gate.run->graph().program().steps[gate.step].name),
                            " wait at limits that go by a value; no more are looked at ahead");
      case Gate::Kind::kQueue:
        return absl::StrCat("!queue ", gate.limit(), " of ",
                            Quoted(gate.run->graph().program().steps[gate.step].name), ": ",
                            gate.count() - gate.held, " wait in front of it, ", gate.held,
                            " are on the way there");
      case Gate::Kind::kRate: {
        const absl::Time next = gate.pace.next(gate.count());
        return absl::StrCat(
            "!rate ", gate.limit(), "/", PerUnit(gate.wish.per), shared, ": ",
            next == absl::InfiniteFuture()
                ? absl::StrCat(Count(gate.count(), "task"), " with a worker, not started yet")
                : absl::StrCat("the next one starts in ", Seconds(next - now_)));
      }
    }
  }
  return absl::StrCat("the hub has just started and waits for ", Count(awaited_.size(), "worker"),
                      " that may be running tasks under the same limit");
}

// What keeps ready tasks of a node from running; never nothing.
std::vector<std::string> Scheduler::Impl::ReasonsOfLine(Run* run, uint32_t node, const Line& line) {
  const uint32_t number = run->graph().program().nodes[node].step;
  const Step& step = run->graph().program().steps[number];
  std::vector<std::string> reasons;
  for (const Gate* gate : line.gates) {
    if (!ready_.HasRoom(*gate)) reasons.push_back(ReasonOfGate(*gate));
  }
  const auto pool = static_cast<size_t>(line.queue->pool);
  uint64_t serve = 0, slots = 0, held = 0;
  absl::btree_set<std::string> scopes;
  for (const auto& [id, worker] : workers_.all()) {
    if (!worker->connected) continue;
    scopes.insert(worker->scope_names.begin(), worker->scope_names.end());
    if (!worker->scopes.empty() && std::find(worker->scopes.begin(), worker->scopes.end(),
                                             line.queue->scope) == worker->scopes.end()) {
      continue;
    }
    ++serve;
    slots += worker->room[pool].slots;
    held += worker->held[pool];
  }
  if (workers_.all().empty()) {
    reasons.push_back("no worker is connected");
  } else if (serve == 0) {
    reasons.push_back(absl::StrCat("no worker serves its scope, ", Quoted(step.scope),
                                   "; those that are connected serve ",
                                   scopes.empty() ? "others" : absl::StrJoin(scopes, ", ")));
  } else if (held >= slots) {
    reasons.push_back(absl::StrCat("no slot is free: ", Count(serve, "worker"), " for its scope ",
                                   serve == 1 ? "has " : "have ",
                                   Count(slots, absl::StrCat(NameOf(line.queue->pool), " slot"))));
  }
  if (reasons.empty() && in_grace_) {
    reasons.push_back(absl::StrCat("the hub has just started and waits for ",
                                   Count(awaited_.size(), "worker"), " that may be running it"));
  }
  if (reasons.empty() && line.asks && IsAsking(run, number)) {
    reasons.push_back(absl::StrCat("a worker is asked for the value of ",
                                   Quoted(absl::StrJoin(NamesOfBy(step), "` and `")),
                                   ", which its limits go by"));
  }
  if (reasons.empty()) reasons.push_back(std::string(kNextTurn));
  return reasons;
}

// The same, of all its step's tasks together.
std::vector<std::string> Scheduler::Impl::ReasonsOfReady(Run* run, uint32_t node) {
  const Line* line = LineOf(run, node);
  if (!line->asks) return ReasonsOfLine(run, node, *line);
  std::vector<std::string> reasons;
  const Node& info = run->graph().program().nodes[node];
  const Step& step = run->graph().program().steps[info.step];
  for (const Gate::Kind kind : {Gate::Kind::kRunning, Gate::Kind::kRate}) {
    const std::string& key = kind == Gate::Kind::kRate ? step.rate.key : step.max_running.key;
    const Gate* for_all = ready_.FindGate(run, kind, info.step, key);
    if (for_all != nullptr && !ready_.HasRoom(*for_all)) {
      reasons.push_back(ReasonOfGate(*for_all));
    }
    uint64_t shut = 0, tasks = 0;
    for (const Gate* gate : ready_.GatesOfValues(run, kind, info.step)) {
      if (ready_.HasRoom(*gate) || gate->waiting.empty()) continue;
      ++shut;
      tasks += TasksWaitingAt(*gate);
    }
    const bool is_rate = kind == Gate::Kind::kRate;
    if (shut == 0) continue;
    reasons.push_back(absl::StrCat(
        is_rate ? "!rate by " : "!max_running by ", is_rate ? step.rate.by : step.max_running.by,
        ": ", Count(shut, "value"), shut == 1 ? " has" : " have", " no room for more, ",
        Count(tasks, "task"), tasks == 1 ? " waits" : " wait", " there"));
  }
  if (reasons.empty() || !ready_.HasRoom(*line->ahead)) {
    for (std::string& reason : ReasonsOfLine(run, node, *line)) {
      reasons.push_back(std::move(reason));
    }
  }
  return reasons;
}

std::vector<std::string> Scheduler::Impl::ReasonsOfLoop(Run* run, const Instance& instance,
                                                        uint64_t index) {
  std::vector<std::string> reasons = ReasonsOfRun(run);
  if (!run->active()) return reasons;
  const RunGraph& graph = run->graph();
  if (index >= instance.available) {
    reasons.push_back("the loop's source has not yielded its element yet");
    return reasons;
  }
  if (index > instance.next) {
    reasons.push_back(absl::StrCat(Count(index - instance.next, "item"), " of its loop before it"));
  }
  if (instance.live >= options_.begun_items_max) {
    reasons.push_back(absl::StrCat(instance.live, " items of the loop have begun, the most that ",
                                   "may be under way at once"));
  }
  bool first = true;  // Whichever root is taken first begins the item.
  for (const uint32_t root : graph.region(instance.region).roots) {
    const RunGraph::Vertex& vertex = graph.vertex(instance.region, root);
    if (vertex.is_loop) continue;
    const uint32_t step = graph.program().nodes[vertex.index].step;
    const Gate* full = ready_.FindGate(run, Gate::Kind::kQueue, step, /*key=*/"");
    if (full != nullptr && !ready_.HasRoom(*full)) reasons.push_back(ReasonOfGate(*full));
    if (!std::exchange(first, false)) continue;
    for (std::string& reason : ReasonsOfLine(run, vertex.index, *LineOf(run, vertex.index))) {
      if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) {
        reasons.push_back(std::move(reason));
      }
    }
  }
  if (reasons.size() > 1) std::erase(reasons, kNextTurn);
  return reasons;
}

// One entry for each step of which something could run now: how many, and what they wait for.
Reasons Scheduler::Impl::ReasonsOfAll(Run* run) {
  Reasons reasons;
  const std::vector<std::string> of_run = ReasonsOfRun(run);
  if (!run->active()) {
    reasons.entries.push_back({.step = "the run", .tasks = 0, .state = "ended", .reasons = of_run});
    return reasons;
  }
  const RunGraph& graph = run->graph();
  const Program& program = graph.program();
  absl::btree_set<uint32_t> seen;
  for (uint32_t node = 0; node < program.nodes.size() && reasons.entries.size() < 100; ++node) {
    const uint32_t step = program.nodes[node].step;
    const Run::StepCounts& counts = run->CountsOf(step);
    if (counts.ready + counts.delayed == 0 || !seen.insert(step).second) continue;
    if (counts.delayed > 0) {
      reasons.entries.push_back({.step = program.steps[step].name,
                                 .tasks = counts.delayed,
                                 .state = "delayed",
                                 .reasons = {"each waits for its !poll or !backoff"}});
    }
    if (counts.ready == 0) continue;
    Reasons::Entry entry{.step = program.steps[step].name,
                         .tasks = run->CountsOf(step).ready,
                         .state = "ready",
                         .reasons = of_run};
    for (std::string& reason : ReasonsOfReady(run, node)) {
      entry.reasons.push_back(std::move(reason));
    }
    reasons.entries.push_back(std::move(entry));
  }
  absl::btree_set<uint32_t> loops;
  for (const auto& [id, instance] : run->instances()) {
    if (instance->closed || !Run::HasMore(*instance) || reasons.entries.size() >= 100 ||
        !loops.insert(instance->region).second) {
      continue;
    }
    const Region& region = program.regions[instance->region];
    reasons.entries.push_back(
        {.step = absl::StrCat("for ", region.variable, ", line ", region.line),
         .tasks = instance->available - instance->next,
         .state = "not begun",
         .reasons = ReasonsOfLoop(run, *instance, instance->next)});
  }
  return reasons;
}

}  // namespace bue::hub
