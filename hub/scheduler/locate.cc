// Where a value lies that a person names, or why it has none.
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

constexpr size_t kNamesShown = 30;
constexpr char kFiltered[] = "it was filtered out: a step answered cancel";
constexpr char kWhatIsKept[] =
    "it was not kept: results are, and values with a name at the top level or gathered after "
    "their loop";

// A name is a value's or, if no value has it, a step's. The last binding counts.
uint32_t NodeCalled(const Program& program, const std::string& name) {
  uint32_t node = kNoNode;
  for (const Binding& binding : program.bindings) {
    if (binding.name == name) node = binding.node;
  }
  for (uint32_t n = 0; n < program.nodes.size() && node == kNoNode; ++n) {
    if (program.steps[program.nodes[n].step].name == name) node = n;
  }
  return node;
}

// "a, b and 3 more"
std::string Names(const Program& program) {
  absl::flat_hash_set<absl::string_view> seen;
  std::string text;
  const auto add = [&](absl::string_view name) {
    if (!seen.insert(name).second || seen.size() > kNamesShown) return;
    absl::StrAppend(&text, text.empty() ? "" : ", ", name);
  };
  for (const Binding& binding : program.bindings) add(binding.name);
  for (const Node& node : program.nodes) add(program.steps[node.step].name);
  if (seen.size() > kNamesShown) {
    absl::StrAppend(&text, " and ", seen.size() - kNamesShown, " more");
  }
  return text.empty() ? "none" : text;
}

std::string Items(uint64_t count) {
  if (count == 0) return "the loop has no items";
  if (count == 1) return "the loop has one item, 0";
  return absl::StrCat("the loop has ", count, " items, 0 to ", count - 1);
}

// Why a vertex of an item that is still there cannot be read.
std::string WhyNot(const Run& run, const Vertex& vertex, bool is_loop) {
  switch (vertex.state) {
    case VertexState::kWaiting:
    case VertexState::kReady:
    case VertexState::kDelayed:
      if (!run.active()) return "its step never ran";
      return is_loop ? "its loop has not begun yet" : "its step has not run yet";
    case VertexState::kLeased:
      return "its step has not ended yet";
    case VertexState::kFailed:
      return absl::StrCat(is_loop ? "what its loop iterates over" : "its step",
                          " failed: bue errors r", run.number());
    case VertexState::kSkipped:
      return absl::StrCat("its step never ran, since one before it failed: bue errors r",
                          run.number());
    case VertexState::kFiltered:
      return kFiltered;
    case VertexState::kOpen:
    case VertexState::kSucceeded:
      return kWhatIsKept;
  }
  CHECK(false);
}

// The same of an item that is not there any more.
std::string WhyNot(const Run& run, const Instance& instance, uint64_t index) {
  if (index >= instance.next) {
    return run.active() ? "its item has not begun yet" : "its item never began";
  }
  if (instance.kept.Has(index) && !instance.kept.Succeeded(index)) {
    return kFiltered;
  }
  return kWhatIsKept;
}

}  // namespace

// Without an item, a value of a loop is the list of all its items' values.
absl::StatusOr<ValuePlace> Scheduler::Impl::Locate(Run* run, const std::string& name,
                                                   const std::string& item) {
  const RunGraph& graph = run->graph();
  const Program& program = graph.program();
  const uint32_t node = NodeCalled(program, name);
  if (node == kNoNode) {
    return absl::InvalidArgumentError(absl::StrCat(
        "run r", run->number(), " has no value or step '", name, "'; it has: ", Names(program)));
  }
  const auto none = [&](absl::string_view why) {
    return absl::NotFoundError(absl::StrCat("'", name, "'",
                                            item.empty() ? "" : absl::StrCat(" of item ", item),
                                            " has no value: ", why));
  };
  const uint32_t region = program.nodes[node].region;
  std::vector<std::string> indices;
  if (!item.empty()) indices = absl::StrSplit(item, '.');
  if (indices.size() > graph.region(region).depth) {
    const uint32_t depth = graph.region(region).depth;
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' lies in ",
                     depth == 0 ? "no loop" : absl::StrCat(depth, depth == 1 ? " loop" : " loops"),
                     ", so it has no item ", item));
  }
  const RunGraph::Vertex& named = graph.vertex(region, graph.vertex_of_node(node));
  // Nobody could read it any more when the run succeeded; a `!refill` source has no value of its
  // own.
  const bool deleted = (run->state() == RunState::kSucceeded && !named.held) || named.refill;
  Instance* instance = run->top();
  uint64_t index = 0;
  for (size_t depth = 0;; ++depth) {
    // `index` names an item of `instance`; go into the loop towards the node, or stop at its value.
    const bool own = instance->region == region;
    const uint32_t v =
        own ? graph.vertex_of_node(node) : graph.loop_towards(instance->region, region);
    uint64_t value = 0;
    bool found = false;
    std::string why;
    if (Item* live = run->FindItem(instance->id, index)) {
      const Vertex& vertex = live->vertices[v];
      // A loop whose source failed has what was made from the elements that there were.
      const bool begun = !own && (vertex.state == VertexState::kOpen ||
                                  (vertex.state == VertexState::kSkipped && vertex.value != 0));
      found = vertex.state == VertexState::kSucceeded || begun;
      value = vertex.value;
      const UnitState& unit = run->unit(*live, v);
      if (own && unit.open == 0 && !unit.failed && !graph.vertex(instance->region, v).held) {
        found = false;  // The unit is over: it was deleted.
      }
      if (!found) why = unit.filtered ? kFiltered : WhyNot(*run, vertex, !own);
    } else {
      const std::vector<uint32_t>& columns = graph.region(instance->region).kept_columns;
      const auto column = std::find(columns.begin(), columns.end(), v) - columns.begin();
      instance->kept.Visit(index, [&](uint64_t at, absl::Span<const uint64_t> values) {
        found = at == index && static_cast<size_t>(column) < columns.size();
        if (found) value = values[column];
        return false;
      });
      if (!found) why = WhyNot(*run, *instance, index);
    }
    if (!found) return none(why);
    if (own && deleted) return none(kWhatIsKept);
    if (own) return ValuePlace{.address = value};
    instance = run->FindInstance(value);
    if (instance == nullptr) return none(kWhatIsKept);
    if (depth >= indices.size()) {
      // Without a fan-in, what other steps of the item took went with the item.
      if (deleted || !named.kept) return none(kWhatIsKept);
      return ValuePlace{.fan_in = true, .instance = instance->id, .node = node};
    }
    if (!absl::SimpleAtoi(indices[depth], &index)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", item, "' is not an item; one looks like 4 or 4.17"));
    }
    if (index >= instance->available) {
      const std::string items = Items(instance->available);
      if (!instance->source_done && run->active()) return none(absl::StrCat(items, " so far"));
      return absl::InvalidArgumentError(
          absl::StrCat("'", name, "' has no item ", item, ": ", items));
    }
  }
}

}  // namespace bue::hub
