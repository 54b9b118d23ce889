// A task's input is gone from the bucket: what made it runs again, where nobody can tell the
// difference; else the unit starts over, and at the top level the task fails. If all that lay in a
// store is gone, so do the producers of the task's other inputs that lay there.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/bucket_client/object.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

// Where a lost value came from.
struct Scheduler::Impl::LostValue {
  Item* holder = nullptr;
  uint32_t vertex = 0;  // Of the holder: the task that made it, or the loop it was made in.
  Instance* instance = nullptr;  // Of that loop: the items below made it.
  std::vector<uint64_t> items;
};

namespace {

// Items that start over at once: each takes memory until it ends. If there are more, the task finds
// the next ones gone when these have ended.
constexpr size_t kItemsAtOnce = 65536;

bool IsGone(uint64_t value, uint64_t address, bool store) {
  if (value == 0) return false;  // None lies nowhere.
  return store ? StoreOf(value) == StoreOf(address) : value == address;
}

// The first `most` items of `instance` in which, at whatever depth, something was made that `lost`
// says is lost.
template <typename IsLost>
std::vector<uint64_t> FindItemsOf(Run* run, const Instance& instance, const IsLost& lost,
                                  size_t most) {
  const RunGraph& graph = run->graph();
  const std::vector<uint32_t>& columns = graph.region(instance.region).kept_columns;
  std::vector<uint64_t> items;
  instance.kept.Visit(0, [&](uint64_t item, absl::Span<const uint64_t> values) {
    bool found = false;
    for (size_t i = 0; i < columns.size() && !found; ++i) {
      if (!graph.vertex(instance.region, columns[i]).is_loop) {
        found = lost(values[i]);
        continue;
      }
      const Instance* inner = run->FindInstance(values[i]);
      found = inner != nullptr && !FindItemsOf(run, *inner, lost, 1).empty();
    }
    if (found) items.push_back(item);
    return items.size() < most;
  });
  return items;
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

// What the task takes that is gone.
std::vector<Scheduler::Impl::LostValue> Scheduler::Impl::FindLost(Run* run, Item* item, uint32_t v,
                                                                  const Gone& gone) {
  std::vector<LostValue> found;
  // A task may take one value several times, and several of one loop.
  const auto add = [&](LostValue lost) {
    for (LostValue& other : found) {
      if (other.holder != lost.holder || other.vertex != lost.vertex) continue;
      std::vector<uint64_t> items;
      std::set_union(other.items.begin(), other.items.end(), lost.items.begin(), lost.items.end(),
                     std::back_inserter(items));
      other.items = std::move(items);
      return;
    }
    found.push_back(std::move(lost));
  };
  const auto is_gone = [&](uint64_t value) { return IsGone(value, gone.address, gone.store); };
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
                       [&](const auto& segment) { return is_gone(segment.address); })) {
        continue;
      }
      add({.holder = Run::Around(item, program.nodes[source].region),
           .vertex = graph.vertex_of_node(source)});
      continue;
    }
    const uint32_t from = program.nodes[input.index].region;
    const uint32_t common = graph.common_region(from, node.region);
    Item* holder = Run::Around(item, common);
    if (from == common) {
      const uint32_t producer = graph.vertex_of_node(input.index);
      const Vertex& made = holder->vertices[producer];
      if (made.state == VertexState::kSucceeded && is_gone(made.value)) {
        add({.holder = holder, .vertex = producer});
      }
      continue;
    }
    const uint32_t loop = graph.loop_towards(common, from);
    Instance* instance = run->FindInstance(holder->vertices[loop].value);
    if (instance == nullptr) continue;
    std::vector<uint64_t> items =
        FindItemsOf(run, *instance, is_gone, gone.store ? kItemsAtOnce : 1);
    if (items.empty()) continue;
    add({.holder = holder, .vertex = loop, .instance = instance, .items = std::move(items)});
  }
  return found;
}

void Scheduler::Impl::InputGone(Run* run, Item* item, uint32_t v, const Gone& gone,
                                Worker* worker) {
  ++worker->failed;
  std::vector<LostValue> lost =
      gone.address == 0 ? std::vector<LostValue>() : FindLost(run, item, v, gone);
  const std::string what =
      gone.store
          ? absl::StrCat("an input of this task (object ", absl::Hex(gone.address),
                         ") lies in store ", StoreOf(gone.address), ", which no bucket is any more")
          : absl::StrCat("an input of this task (object ", absl::Hex(gone.address),
                         ") is not in its bucket any more");
  Vertex& vertex = item->vertices[v];
  if (lost.empty()) {
    AttemptFailed(run, item, v, TaskError{.action = "input", .message = what}, worker->name,
                  /*may_retry=*/true);
    return;
  }
  // What others have taken may be had from a cache, or be made again once these others are.
  const auto taken = std::stable_partition(lost.begin(), lost.end(), [&](const LostValue& value) {
    return run->Untaken(*value.holder, value.vertex) &&
           std::all_of(value.items.begin(), value.items.end(),
                       [&](uint64_t index) { return run->HasElement(*value.instance, index); });
  });
  const bool unseen = taken != lost.begin();
  // Else the item starts over. At the top level that would be everything.
  uint32_t asker = kNoVertex;
  if (!unseen && taken->holder->instance->region != 0 && !taken->holder->ended) {
    asker = FindAsker(run, *taken->holder);
  }
  const bool too_often = vertex.recomputes >= options_.recomputes_max;
  if (too_often || (!unseen && asker == kNoVertex)) {
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
  // A task that finds one after the other gone is getting on.
  const bool more = std::any_of(lost.begin(), taken, [](const LostValue& value) {
    return value.items.size() >= kItemsAtOnce;
  });
  if (!more) ++vertex.recomputes;
  effects_->record.errors.push_back(RecordOf(
      run, item, v,
      TaskError{
          .action = "input",
          .message = absl::StrCat(what, unseen ? "; it is made again" : "; its item starts over")},
      worker->name));
  run->Unlease(item, v);
  if (!unseen) {
    Do(run, TaskChange(Change::Kind::kReset, run, taken->holder, asker));
    return;
  }
  for (auto value = lost.begin(); value != taken; ++value) MakeAgain(run, *value);
}

void Scheduler::Impl::MakeAgain(Run* run, const LostValue& lost) {
  if (lost.instance == nullptr) {
    Do(run, TaskChange(Change::Kind::kRecompute, run, lost.holder, lost.vertex));
    return;
  }
  const uint64_t instance = lost.instance->id;
  for (const uint64_t index : lost.items) {
    Do(run, Change{.kind = Change::Kind::kRestart, .instance = instance, .item = index});
  }
}

}  // namespace bue::hub
