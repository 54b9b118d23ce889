// A task's input is gone from the bucket: what made it runs again, where nobody can tell the
// difference; else the unit starts over, and at the top level the task fails.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

// Where a lost value came from.
struct Scheduler::Impl::LostValue {
  Item* holder = nullptr;  // Null: the task does not take such a value.
  uint32_t vertex = 0;     // Of the holder: the task that made it, or the loop it was made in.
  Instance* instance = nullptr;  // Of that loop: the item below made it.
  uint64_t index = 0;
};

namespace {

// The item of `instance` in which, at whatever depth, the value at `address` was made.
bool FindItemOf(Run* run, const Instance& instance, uint64_t address, uint64_t* index) {
  const RunGraph& graph = run->graph();
  const std::vector<uint32_t>& columns = graph.region(instance.region).kept_columns;
  bool found = false;
  instance.kept.Visit(0, [&](uint64_t item, absl::Span<const uint64_t> values) {
    for (size_t i = 0; i < columns.size() && !found; ++i) {
      if (!graph.vertex(instance.region, columns[i]).is_loop) {
        found = values[i] == address;
        continue;
      }
      uint64_t inner_index = 0;
      const Instance* inner = run->FindInstance(values[i]);
      found = inner != nullptr && FindItemOf(run, *inner, address, &inner_index);
    }
    if (found) *index = item;
    return !found;
  });
  return found;
}

// A task of the item in whose name it can start over. kNoVertex: it has none.
uint32_t FindAsker(Run* run, const Item& item) {
  for (uint32_t v = 0; v < item.vertices.size(); ++v) {
    const VertexState state = item.vertices[v].state;
    if (run->graph().vertex(item.instance->region, v).is_loop) continue;
    if (!IsTerminal(state) || state == VertexState::kSucceeded) return v;
  }
  return kNoVertex;
}

}  // namespace

Scheduler::Impl::LostValue Scheduler::Impl::FindLost(Run* run, Item* item, uint32_t v,
                                                     uint64_t address) {
  const RunGraph& graph = run->graph();
  const Program& program = graph.program();
  const Node& node = program.nodes[run->NodeOf(*item, v)];
  for (const Input& input : node.inputs) {
    if (input.kind == Input::Kind::kElement) {
      const Item* element = Run::Around(item, input.index);
      const uint32_t source = program.regions[input.index].source_node;
      if (source == kNoNode) continue;
      const auto& segments = element->instance->segments;
      if (std::none_of(segments.begin(), segments.end(),
                       [&](const auto& segment) { return segment.address == address; })) {
        continue;
      }
      return {.holder = Run::Around(item, program.nodes[source].region),
              .vertex = graph.vertex_of_node(source)};
    }
    const uint32_t from = program.nodes[input.index].region;
    const uint32_t common = graph.common_region(from, node.region);
    Item* holder = Run::Around(item, common);
    if (from == common) {
      const uint32_t producer = graph.vertex_of_node(input.index);
      const Vertex& made = holder->vertices[producer];
      if (made.state == VertexState::kSucceeded && made.value == address) {
        return {.holder = holder, .vertex = producer};
      }
      continue;
    }
    const uint32_t loop = graph.loop_towards(common, from);
    Instance* instance = run->FindInstance(holder->vertices[loop].value);
    uint64_t index = 0;
    if (instance != nullptr && FindItemOf(run, *instance, address, &index)) {
      return {.holder = holder, .vertex = loop, .instance = instance, .index = index};
    }
  }
  return {};
}

void Scheduler::Impl::InputGone(Run* run, Item* item, uint32_t v, uint64_t address,
                                Worker* worker) {
  ++worker->failed;
  const LostValue lost = address == 0 ? LostValue{} : FindLost(run, item, v, address);
  const std::string what = absl::StrCat("an input of this task (object ", absl::Hex(address),
                                        ") is not in its bucket any more");
  Vertex& vertex = item->vertices[v];
  if (lost.holder == nullptr) {
    AttemptFailed(run, item, v, TaskError{.action = "input", .message = what}, worker->name,
                  /*may_retry=*/true);
    return;
  }
  const bool unseen = run->Untaken(*lost.holder, lost.vertex);
  // Else the item starts over. At the top level that would be everything.
  const uint32_t asker = lost.holder->instance->region == 0 || lost.holder->ended
                             ? kNoVertex
                             : FindAsker(run, *lost.holder);
  if (vertex.recomputes >= options_.recomputes_max || (!unseen && asker == kNoVertex)) {
    AttemptFailed(run, item, v,
                  TaskError{.action = "input_lost",
                            .message = absl::StrCat(
                                what, unseen ? absl::StrCat(", though it was made again ",
                                                            options_.recomputes_max, " times")
                                             : ", and it cannot be made again, because other tasks "
                                               "have used it already; run the script again")},
                  worker->name, /*may_retry=*/false);
    return;
  }
  ++vertex.recomputes;
  effects_->record.errors.push_back(ErrorRecord{
      .run = run->number(),
      .step = run->StepOf(*item, v).name,
      .item = run->NameOf(*item),
      .attempt = vertex.attempts + 1,
      .action = "input",
      .worker = worker->name,
      .message = absl::StrCat(what, unseen ? "; it is made again" : "; its item starts over"),
      .at = now_});
  run->Unlease(item, v);
  if (!unseen) {
    Do(run, TaskChange(Change::Kind::kReset, run, lost.holder, asker));
  } else if (lost.instance != nullptr) {
    Do(run,
       Change{.kind = Change::Kind::kRestart, .instance = lost.instance->id, .item = lost.index});
  } else {
    Do(run, TaskChange(Change::Kind::kRecompute, run, lost.holder, lost.vertex));
  }
}

}  // namespace bue::hub
