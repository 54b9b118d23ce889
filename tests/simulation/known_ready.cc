#include "tests/simulation/known_ready.h"

#include <algorithm>

namespace bue::sim {

KnownReady::KnownReady(std::shared_ptr<const Program> program)
    : program_(std::move(program)),
      nodes_(program_->nodes.size()),
      firsts_(program_->regions.size()),
      stays_(program_->regions.size(), true) {
  for (uint32_t r = 1; r < program_->regions.size(); ++r) {
    const Region& region = program_->regions[r];
    stays_[r] = region.source_node == kNoNode && stays_[region.parent];
  }
  for (uint32_t n = 0; n < nodes_.size(); ++n) {
    const Node& node = program_->nodes[n];
    nodes_[n].region = node.region;
    nodes_[n].certain = true;
    for (const Input& input : node.inputs) {
      if (input.kind != Input::Kind::kNode) continue;
      const uint32_t from = program_->nodes[input.index].region;
      if (from == node.region) {
        std::vector<uint32_t>& before = nodes_[n].before;
        if (std::find(before.begin(), before.end(), input.index) != before.end()) continue;
        before.push_back(input.index);
        nodes_[input.index].after.push_back(n);
      } else if (!Encloses(from, node.region)) {
        nodes_[n].certain = false;  // It gathers a loop's values, or is beside that loop.
      }
    }
    if (IsFirst(n)) firsts_[node.region].push_back(n);
  }
}

bool KnownReady::Encloses(uint32_t outer, uint32_t inner) const {
  while (inner > outer) inner = program_->regions[inner].parent;
  return inner == outer;
}

bool KnownReady::IsThere(uint32_t node, const ItemName& item) const {
  return std::all_of(Before(node).begin(), Before(node).end(), [&](uint32_t before) {
    const auto items = succeeded_.find(before);
    return items != succeeded_.end() && items->second.contains(item);
  });
}

void KnownReady::Granted(uint32_t node, const ItemName& item) {
  if (blurred_) return;
  const uint32_t region = nodes_[node].region;
  granted_[node].insert(item);
  waiting_[node].erase(item);
  if (region == 0) return;
  Loop& loop = loops_[item.first];
  loop.region = region;
  ++loop.granted[node];
  if (!begun_.insert(item).second) return;
  for (const uint32_t first : firsts_[region]) {
    if (first != node) waiting_[first].insert(item);
  }
}

void KnownReady::Succeeded(uint32_t node, const ItemName& item) {
  if (blurred_ || !succeeded_[node].insert(item).second) return;
  for (const uint32_t after : nodes_[node].after) {
    if (!nodes_[after].certain || granted_[after].contains(item)) continue;
    if (IsThere(after, item)) waiting_[after].insert(item);
  }
}

void KnownReady::CutBack(const std::function<bool(uint32_t node, const ItemName&)>& durable) {
  for (auto& [node, items] : succeeded_) {
    std::erase_if(items, [&, n = node](const ItemName& item) {
      return !stays_[nodes_[n].region] || !durable(n, item);
    });
  }
  for (auto& [node, items] : waiting_) {
    std::erase_if(items, [&, n = node](const ItemName& item) {
      return !stays_[nodes_[n].region] || !IsThere(n, item);
    });
  }
  std::erase_if(loops_, [&](const auto& loop) { return !stays_[loop.second.region]; });
}

void KnownReady::Blur() {
  blurred_ = true;
  loops_.clear();
  waiting_.clear();
}

uint64_t KnownReady::Waiting(uint32_t node) const {
  const auto items = waiting_.find(node);
  return items == waiting_.end() ? 0 : items->second.size();
}

bool KnownReady::HasMore(uint32_t node, uint64_t items_max) const {
  const Region& region = program_->regions[nodes_[node].region];
  if (nodes_[node].region == 0 || region.source_node != kNoNode || !IsFirst(node)) return false;
  const uint64_t by = std::max<uint64_t>(1, region.by);
  const uint64_t items = (region.range + by - 1) / by;
  if (items > items_max) return false;
  return std::any_of(loops_.begin(), loops_.end(), [&](const auto& loop) {
    if (loop.second.region != nodes_[node].region) return false;
    const auto granted = loop.second.granted.find(node);
    return granted == loop.second.granted.end() || granted->second < items;
  });
}

uint64_t KnownReady::LoopsBegun(uint32_t node) const {
  return static_cast<uint64_t>(std::count_if(loops_.begin(), loops_.end(), [&](const auto& loop) {
    return loop.second.region == nodes_[node].region;
  }));
}

}  // namespace bue::sim
