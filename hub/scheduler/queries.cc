// Answers to clients' questions. They promise nothing and change nothing.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

constexpr size_t kPageEntries = 4096;
// A run's end names its results if there are no more than these, in no more calls and loops.
constexpr size_t kFewResults = 16;
constexpr size_t kFewCalls = 64;

absl::Status Expired(uint64_t run) {
  return absl::NotFoundError(
      absl::StrCat("the values of run r", run, " were kept for --keep-results and are gone now"));
}

absl::StatusOr<ResultCursor> ParseCursor(const std::string& text) {
  ResultCursor cursor;
  if (text.empty()) return cursor;
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &cursor.instance) ||
      !absl::SimpleAtoi(parts[1], &cursor.item)) {
    return absl::InvalidArgumentError("not a place in a list of results");
  }
  return cursor;
}

// How many tasks wait at limits that go by values, step by step.
void AddQueuedByValue(Run* run, ReadyQueue* ready, RunStatus* status) {
  if (!run->active()) return;
  const std::vector<Step>& steps = run->graph().program().steps;
  for (uint32_t s = 0; s < steps.size(); ++s) {
    if (steps[s].max_running.by.empty() && steps[s].rate.by.empty()) continue;
    const auto shown = std::find_if(status->steps.begin(), status->steps.end(),
                                    [&](const StepStatus& of) { return of.name == steps[s].name; });
    if (shown == status->steps.end()) continue;
    const Gate* ahead = ready->FindGate(run, Gate::Kind::kAhead, s, /*key=*/"");
    if (ahead != nullptr) shown->queued_by_value += ahead->for_room;
  }
}

}  // namespace

absl::Status NoRun(uint64_t run) {
  return absl::NotFoundError(absl::StrCat("no run r", run, "; `bue status` lists those there are"));
}

void Scheduler::Impl::Handle(QueryRun& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) return Answer(command.request, NoRun(command.run), Done{});
  RunStatus status = StatusOf(run);
  // An end that is known only here could still be lost.
  if (run->active()) {
    Answer(command.request, absl::OkStatus(), std::move(status));
  } else {
    Promise(command.request, absl::OkStatus(), std::move(status));
  }
}

RunStatus Scheduler::Impl::StatusOf(Run* run) {
  RunStatus status = ProgressOf(*run);
  AddQueuedByValue(run, &ready_, &status);
  if (run->active() || run->expired() || run->graph().program().nodes.size() > kFewCalls ||
      run->instances().size() > kFewCalls) {
    return status;
  }
  ResultPage page = Results(run, ResultCursor(), kFewResults);
  if (page.next.empty() && page.results.size() <= kFewResults) {
    status.results = std::move(page.results);
  }
  return status;
}

void Scheduler::Impl::Handle(QueryRuns& command) {
  RunList list;
  for (const auto& [number, run] : runs_) list.runs.push_back(ProgressOf(*run));
  Answer(command.request, absl::OkStatus(), std::move(list));
}

void Scheduler::Impl::Handle(QueryWorkers& command) {
  WorkerList list;
  absl::flat_hash_set<absl::string_view> there;
  for (const auto& [id, worker] : workers_.all()) {
    there.insert(worker->name);
    list.workers.push_back(worker->Status());
  }
  for (const GoneWorkers::Entry& gone : gone_workers_.entries(now_)) {
    if (gone.lost && !there.contains(gone.status.name)) list.workers.push_back(gone.status);
  }
  Answer(command.request, absl::OkStatus(), std::move(list));
}

void Scheduler::Impl::Handle(QueryValues& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) return Answer(command.request, NoRun(command.run), Done{});
  if (run->expired()) return Answer(command.request, Expired(command.run), Done{});
  Instance* instance = run->FindInstance(command.instance);
  const RunGraph& graph = run->graph();
  if (command.lease != 0 && !run->active()) {
    return Answer(command.request, absl::FailedPreconditionError("the run has ended"), Done{});
  }
  if (command.lease != 0 && !MayRead(command.lease, run, instance)) {
    return Answer(command.request, absl::AbortedError("the task that reads is not current"),
                  Done{});
  }
  if (instance == nullptr || command.node >= graph.program().nodes.size()) {
    return Answer(command.request, absl::NotFoundError("no such loop's values"), Done{});
  }
  const uint32_t region = graph.program().nodes[command.node].region;
  if (graph.common_region(region, instance->region) != instance->region) {
    return Answer(command.request, absl::InvalidArgumentError("the node lies elsewhere"), Done{});
  }
  const bool own = region == instance->region;
  const uint32_t wanted =
      own ? graph.vertex_of_node(command.node) : graph.loop_towards(instance->region, region);
  const std::vector<uint32_t>& columns = graph.region(instance->region).kept_columns;
  const auto column = std::find(columns.begin(), columns.end(), wanted) - columns.begin();
  if (static_cast<size_t>(column) == columns.size()) {
    return Answer(command.request, absl::NotFoundError("these values were not kept"), Done{});
  }
  ValuePage page;
  instance->kept.Visit(command.start, [&](uint64_t index, absl::Span<const uint64_t> values) {
    std::vector<uint64_t>& list = own ? page.addresses : page.instances;
    if (list.size() == kPageEntries) {
      page.next = index;
      page.end = false;
      return false;
    }
    list.push_back(values[column]);
    return true;
  });
  Answer(command.request, absl::OkStatus(), std::move(page));
}

// A grant leaves before it is on disk. A power cut may then take back what the task waited for: the
// loop has not ended any more, or another one has its number. Once the task's worker is back with
// its lease, the loop has ended again; until then a list would lack items and nobody would notice.
bool Scheduler::Impl::MayRead(uint64_t lease, const Run* run, const Instance* loop) {
  const struct Lease* reader = leases_.Find(lease);
  if (reader == nullptr || reader->run != run || loop == nullptr || !loop->closed) return false;
  // The loop lies in the reader's item, or in one around it.
  const Instance* around = reader->item->instance;
  for (uint64_t index = reader->item->index; around != nullptr;
       index = around->parent_index, around = around->parent) {
    for (const Instance* inner = loop; inner->parent != nullptr; inner = inner->parent) {
      if (inner->parent == around) return inner->parent_index == index;
    }
  }
  return false;
}

// Values that the run ends in, instance by instance.
void Scheduler::Impl::Handle(QueryResults& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) return Answer(command.request, NoRun(command.run), Done{});
  if (run->expired()) return Answer(command.request, Expired(command.run), Done{});
  absl::StatusOr<ResultCursor> cursor = ParseCursor(command.start);
  if (!cursor.ok()) return Answer(command.request, cursor.status(), Done{});
  Answer(command.request, absl::OkStatus(),
         command.failed ? FailedItems(run, *cursor, kPageEntries)
                        : Results(run, *cursor, kPageEntries));
}

// A page is full with `limit` results of loops; those of calls outside loops come as one.
ResultPage Scheduler::Impl::Results(Run* run, const ResultCursor& start, size_t limit) {
  const RunGraph& graph = run->graph();
  const std::vector<Step>& steps = graph.program().steps;
  const auto step_name = [&](uint32_t node) {
    return steps[graph.program().nodes[node].step].name;
  };
  ResultPage page;
  auto entry = run->instances().lower_bound(start.instance);
  for (; entry != run->instances().end() && page.next.empty(); ++entry) {
    Instance* instance = entry->second.get();
    const uint32_t region = instance->region;
    if (region == 0) {
      const std::vector<Vertex>& vertices = instance->first_item->vertices;
      for (uint32_t v = 0; v < vertices.size(); ++v) {
        // Values of a unit that was cancelled are gone with it.
        if (graph.vertex(0, v).final && vertices[v].state == VertexState::kSucceeded &&
            !run->unit(*instance->first_item, v).filtered) {
          page.results.push_back(ResultEntry{.step = step_name(graph.vertex(0, v).index),
                                             .address = vertices[v].value,
                                             .index = graph.vertex(0, v).unit});
        }
      }
      continue;
    }
    const std::vector<uint32_t>& columns = graph.region(region).kept_columns;
    const auto is_final = [&](uint32_t v) { return graph.vertex(region, v).final; };
    if (std::none_of(columns.begin(), columns.end(), is_final)) continue;
    const uint64_t first = entry->first == start.instance ? start.item : 0;
    instance->kept.Visit(first, [&](uint64_t index, absl::Span<const uint64_t> values) {
      if (page.results.size() >= limit) {
        page.next = absl::StrCat(entry->first, ".", index);
        return false;
      }
      for (size_t c = 0; c < columns.size(); ++c) {
        const RunGraph::Vertex& info = graph.vertex(region, columns[c]);
        if (!info.final) continue;
        page.results.push_back(ResultEntry{.step = step_name(info.index),
                                           .item = absl::StrCat(instance->prefix, index),
                                           .address = values[c],
                                           .instance = instance->id,
                                           .index = index});
      }
      return true;
    });
  }
  return page;
}

// Items that failed and have ended, each with the first of its tasks that did; those of the top
// level come as one page.
ResultPage Scheduler::Impl::FailedItems(Run* run, const ResultCursor& start, size_t limit) {
  const RunGraph& graph = run->graph();
  ResultPage page;
  const auto add = [&](const Item& item, uint32_t v, uint64_t index) {
    page.results.push_back(ResultEntry{.step = run->StepOf(item, v).name,
                                       .item = run->NameOf(item),
                                       .instance = item.instance->id,
                                       .index = index,
                                       .failed = true});
  };
  const auto is_failed = [&](const Item& item, uint32_t v) {
    const UnitState& unit = run->unit(item, v);
    return item.vertices[v].state == VertexState::kFailed && unit.failed &&
           (unit.open == 0 || !run->active());
  };
  auto entry = run->instances().lower_bound(start.instance);
  for (; entry != run->instances().end(); ++entry) {
    const Instance& instance = *entry->second;
    if (instance.region == 0) {
      absl::flat_hash_set<uint32_t> units;
      const Item& item = *instance.first_item;
      for (uint32_t v = 0; v < item.vertices.size(); ++v) {
        const uint32_t unit = graph.vertex(0, v).unit;
        if (is_failed(item, v) && units.insert(unit).second) add(item, v, unit);
      }
      continue;
    }
    std::vector<const Item*> items;  // Those that were run again stand at the end of the list.
    const uint64_t first = entry->first == start.instance ? start.item : 0;
    for (const Item* item = instance.first_item; item != nullptr; item = item->next) {
      if (item->index >= first && item->unit.failed) items.push_back(item);
    }
    std::sort(items.begin(), items.end(),
              [](const Item* a, const Item* b) { return a->index < b->index; });
    for (const Item* item : items) {
      if (page.results.size() >= limit) {
        page.next = absl::StrCat(entry->first, ".", item->index);
        return page;
      }
      for (uint32_t v = 0; v < item->vertices.size(); ++v) {
        if (!is_failed(*item, v)) continue;
        add(*item, v, item->index);
        break;
      }
    }
  }
  return page;
}

void Scheduler::Impl::Handle(QueryPlace& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) return Answer(command.request, NoRun(command.run), Done{});
  if (run->expired()) return Answer(command.request, Expired(command.run), Done{});
  absl::StatusOr<ValuePlace> place = Locate(run, command.name, command.item);
  if (!place.ok()) return Answer(command.request, place.status(), Done{});
  Answer(command.request, absl::OkStatus(), *place);
}

void Scheduler::Impl::Handle(QueryRunning& command) {
  Run* run = FindRun(command.run);
  if (run == nullptr) return Answer(command.request, NoRun(command.run), Done{});
  RunningList list;
  for (const auto& [id, worker] : workers_.all()) {
    for (const struct Lease* lease = worker->first_lease; lease != nullptr; lease = lease->next) {
      if (lease->run != run) continue;
      list.entries.push_back(
          RunningList::Entry{.worker = id,
                             .lease = lease->id,
                             .worker_name = worker->name,
                             .step = run->StepOf(*lease->item, lease->vertex).name,
                             .item = run->NameOf(*lease->item),
                             .attempt = lease->item->vertices[lease->vertex].attempts + 1});
    }
  }
  Answer(command.request, absl::OkStatus(), std::move(list));
}

}  // namespace bue::hub
