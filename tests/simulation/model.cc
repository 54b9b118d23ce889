#include "tests/simulation/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace bue::sim {

Model::Model(const Plan* plan, Steps mended)
    : plan_(plan),
      mended_(std::move(mended)),
      program_(*plan->program_),
      taken_(program_.nodes.size()) {
  FindNeeds();
}

Expected Model::Run() {
  RunItem(&top_);
  Expected expected;
  Collect(top_, &expected);
  return expected;
}

// ------------------------------------------------------------------------------- who needs whom

bool Model::Encloses(uint32_t outer, uint32_t inner) const {
  while (inner > outer) inner = program_.regions[inner].parent;
  return inner == outer;
}

uint32_t Model::Common(uint32_t a, uint32_t b) const {
  while (!Encloses(a, b)) a = program_.regions[a].parent;
  return a;
}

// What stands for `self`, which lies in `region`, in an item of `level`.
Model::Place Model::PlaceAt(uint32_t level, uint32_t region, Place self) const {
  if (region == level) return self;
  while (program_.regions[region].parent != level) region = program_.regions[region].parent;
  return {.loop = true, .index = region};
}

void Model::FindNeeds() {
  const auto add = [&](uint32_t region, Place consumer, uint32_t producer) {
    taken_[producer] = true;
    const uint32_t from = program_.nodes[producer].region;
    const uint32_t level = Common(from, region);
    needs_[PlaceAt(level, region, consumer)].insert(
        PlaceAt(level, from, {.loop = false, .index = producer}));
  };
  for (uint32_t n = 0; n < program_.nodes.size(); ++n) {
    for (const Input& input : program_.nodes[n].inputs) {
      if (input.kind == Input::Kind::kNode) {
        add(program_.nodes[n].region, {.loop = false, .index = n}, input.index);
      }
    }
  }
  for (uint32_t r = 1; r < program_.regions.size(); ++r) {
    const Region& region = program_.regions[r];
    if (region.source_node == kNoNode) continue;
    add(region.parent, {.loop = true, .index = r}, region.source_node);
  }
}

// -------------------------------------------------------------------------------------- running

void Model::RunItem(Item* item) {
  for (uint32_t n = 0; n < program_.nodes.size(); ++n) {
    if (program_.nodes[n].region == item->region) item->nodes[n] = State::kOpen;
  }
  for (uint32_t r = 1; r < program_.regions.size(); ++r) {
    if (program_.regions[r].parent == item->region) item->loops[r];
  }
  while (Advance(item)) {
  }
}

bool Model::Advance(Item* item) {
  bool advanced = false;
  for (auto& [node, state] : item->nodes) {
    if (state != State::kOpen) continue;
    const State needs = Needs(*item, {.loop = false, .index = node});
    if (needs == State::kOpen) continue;
    advanced = true;
    state = needs == State::kSucceeded ? (RunTask(item, node) ? State::kSucceeded : State::kFailed)
                                       : State::kSkipped;
    if (state == State::kFailed) item->failed = true;
  }
  for (auto& [region, loop] : item->loops) {
    if (loop.state != State::kOpen) continue;
    const State needs = Needs(*item, {.loop = true, .index = region});
    if (needs == State::kOpen) continue;
    advanced = true;
    loop.state = needs == State::kSucceeded ? State::kSucceeded : State::kSkipped;
    if (loop.state == State::kSucceeded) RunLoop(item, region);
  }
  return advanced;
}

// False: it fails for good. One that cancels its item is as good as any other.
bool Model::RunTask(Item* item, uint32_t node) {
  const TaskName name{.node = node, .item = item->name};
  const Behaviour does = plan_->Of(name, mended_);
  const Step& step = program_.steps[program_.nodes[node].step];
  if (does.fails > step.retries) return false;
  if (step.max_handbacks != 0 && does.handbacks() > step.max_handbacks) return false;
  if (!does.id.empty()) {
    // Which of two is the first is chance; here it is this one.
    const auto [id, is_new] =
        item->outer->loops.at(item->region).ids.try_emplace(does.id, item->index);
    if (id->second != item->index) return false;
  }
  if (does.cancels) item->filtered = true;
  std::vector<Content> inputs;
  for (const Input& input : program_.nodes[node].inputs) {
    inputs.push_back(InputOf(*item, program_.nodes[node], input));
  }
  item->values[node] = plan_->ContentOf(name, inputs);
  item->elements[node] = does.elements;
  return true;
}

void Model::RunLoop(Item* item, uint32_t region) {
  Content list = 0;
  const uint64_t elements = ElementsOf(*item, region, &list);
  const uint64_t by = std::max<uint64_t>(1, program_.regions[region].by);
  const std::string prefix = item->region == 0 ? "" : absl::StrCat(item->name, ".");
  std::vector<Item>& items = item->loops[region].items;
  items.resize((elements + by - 1) / by);
  for (uint64_t i = 0; i < items.size(); ++i) {
    items[i].region = region;
    items[i].index = i;
    items[i].name = absl::StrCat(prefix, i);
    items[i].outer = item;
    RunItem(&items[i]);
  }
}

Model::State Model::StateOf(const Item& item, const Place& place) const {
  return place.loop ? item.loops.at(place.index).state : item.nodes.at(place.index);
}

Model::State Model::Needs(const Item& item, const Place& place) const {
  const auto needs = needs_.find(place);
  if (needs == needs_.end()) return State::kSucceeded;
  State all = State::kSucceeded;
  for (const Place& needed : needs->second) {
    const State state = StateOf(item, needed);
    if (state == State::kFailed || state == State::kSkipped) return State::kSkipped;
    if (state == State::kOpen) all = State::kOpen;
  }
  return all;
}

// --------------------------------------------------------------------------------------- values

const Model::Item& Model::Around(const Item& item, uint32_t region) {
  const Item* at = &item;
  while (at->region != region) at = at->outer;
  return *at;
}

uint64_t Model::ElementsOf(const Item& item, uint32_t region, Content* list) const {
  const Region& loop = program_.regions[region];
  if (loop.source_node == kNoNode) return loop.range;
  const Item& holder = Around(item, program_.nodes[loop.source_node].region);
  *list = holder.values.at(loop.source_node);
  return holder.elements.at(loop.source_node);
}

Content Model::ElementAt(const Item& holder) const {
  Content list = 0;
  const uint64_t elements = ElementsOf(*holder.outer, holder.region, &list);
  const Region& loop = program_.regions[holder.region];
  const auto element = [&](uint64_t i) {
    return loop.source_node == kNoNode ? Plan::RangeElement(i) : ElementOf(list, i);
  };
  if (loop.by == 0) return element(holder.index);
  std::vector<Content> batch;
  for (uint64_t i = holder.index * loop.by; i < std::min(elements, (holder.index + 1) * loop.by);
       ++i) {
    batch.push_back(element(i));
  }
  return Fold(batch);
}

std::vector<Content> Model::FanIn(const Item& item, uint32_t level, uint32_t node) const {
  const uint32_t region = program_.nodes[node].region;
  const Place next = PlaceAt(level, region, {});
  std::vector<Content> list;
  for (const Item& inner : item.loops.at(next.index).items) {
    if (!inner.ok()) continue;
    list.push_back(next.index == region ? inner.values.at(node)
                                        : Fold(FanIn(inner, next.index, node)));
  }
  return list;
}

Content Model::InputOf(const Item& item, const Node& node, const Input& input) const {
  if (input.kind == Input::Kind::kElement) return ElementAt(Around(item, input.index));
  const uint32_t from = program_.nodes[input.index].region;
  const uint32_t level = Common(from, node.region);
  const Item& holder = Around(item, level);
  if (from != level) return Fold(FanIn(holder, level, input.index));
  return holder.values.at(input.index);
}

// -------------------------------------------------------------------------------------- the end

void Model::Collect(const Item& item, Expected* expected) const {
  if (item.filtered && item.region != 0) {  // Nothing in it is left.
    expected->tasks += item.nodes.size();
    return;
  }
  expected->failed = expected->failed || item.failed;
  for (const auto& [node, state] : item.nodes) {
    ++expected->tasks;
    if (state == State::kFailed) ++expected->tasks_failed;
    const bool stops = program_.steps[program_.nodes[node].step].stop_on_error;
    expected->stops = expected->stops || (state == State::kFailed && stops);
    if (state == State::kSkipped) ++expected->skipped;
    if (state != State::kSucceeded) continue;
    ++expected->done;
    if (!IsResult(item, node)) continue;
    expected->results[{.node = node, .item = item.name}] = item.values.at(node);
  }
  for (const auto& [region, loop] : item.loops) {
    const uint32_t source = program_.regions[region].source_node;
    if (loop.state == State::kSkipped && source != kNoNode) {
      expected->unread_source |= program_.steps[program_.nodes[source].step].refill;
    }
    for (const Item& inner : loop.items) Collect(inner, expected);
  }
}

bool Model::IsResult(const Item& item, uint32_t node) const {
  return item.nodes.at(node) == State::kSucceeded && !taken_[node] &&
         (item.region == 0 || !item.failed);
}

// --------------------------------------------------------------------------------- running again

std::set<TaskName> Model::Untouched(const Steps& retried) const {
  std::set<TaskName> names;
  CollectUntouched(top_, retried, &names);
  return names;
}

bool Model::OpensAgain(const Item& item, const Steps& retried) const {
  for (const auto& [node, state] : item.nodes) {
    if (state == State::kFailed && retried.contains(program_.nodes[node].step)) return true;
  }
  for (const auto& [region, loop] : item.loops) {
    for (const Item& inner : loop.items) {
      if (OpensAgain(inner, retried)) return true;
    }
  }
  return false;
}

// What was made from a whole loop is made again when one of its items runs again, and so is what
// was made from that.
void Model::CollectUntouched(const Item& item, const Steps& retried,
                             std::set<TaskName>* names) const {
  std::set<Place> changed;
  for (const auto& [region, loop] : item.loops) {
    for (const Item& inner : loop.items) {
      if (OpensAgain(inner, retried)) changed.insert({.loop = true, .index = region});
    }
  }
  std::set<Place> again;
  for (size_t before = SIZE_MAX; before != again.size();) {
    before = again.size();
    for (const auto& [place, needs] : needs_) {
      for (const Place& needed : needs) {
        if (changed.contains(needed) || again.contains(needed)) again.insert(place);
      }
    }
  }
  for (const auto& [node, state] : item.nodes) {
    if (IsResult(item, node) && !again.contains({.loop = false, .index = node})) {
      names->insert({.node = node, .item = item.name});
    }
  }
  for (const auto& [region, loop] : item.loops) {
    if (again.contains({.loop = true, .index = region})) continue;
    for (const Item& inner : loop.items) {
      if (!inner.filtered) CollectUntouched(inner, retried, names);
    }
  }
}

}  // namespace bue::sim
