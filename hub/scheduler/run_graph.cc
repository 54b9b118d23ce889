#include "hub/scheduler/run_graph.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "common/check.h"

namespace bue::hub {

RunGraph::RunGraph(std::shared_ptr<const Program> program) : program_(std::move(program)) {
  PlaceVertices();
  std::vector<Edge> source_edges;
  std::vector<Edge> edges = FindEdges(&source_edges);
  CountNeeded(edges);
  FindUnits(edges, source_edges);
  FindKept();
  FindRoots();
  FindBy();
  dependents_ = Pack(std::move(edges));
  loops_over_ = Pack(std::move(source_edges));
  FindCycles();
}

// Tasks first, in program order, then loops.
void RunGraph::PlaceVertices() {
  const Program& p = *program_;
  regions_.resize(p.regions.size());
  vertex_of_node_.resize(p.nodes.size());
  for (const Node& node : p.nodes) ++regions_[node.region].count;
  for (uint32_t r = 1; r < p.regions.size(); ++r) ++regions_[p.regions[r].parent].count;
  uint32_t first = 0;
  for (RegionInfo& region : regions_) {
    region.first = first;
    first += region.count;
    region.count = 0;
  }
  vertices_.resize(first);
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> steps;
  for (uint32_t n = 0; n < p.nodes.size(); ++n) {
    RegionInfo& region = regions_[p.nodes[n].region];
    vertex_of_node_[n] = region.count;
    vertices_[region.first + region.count++].index = n;
    ++steps[{p.nodes[n].step, p.nodes[n].region}];
  }
  for (const auto& [key, nodes] : steps) {
    step_counts_.push_back(StepCount{.step = key.first, .region = key.second, .nodes = nodes});
  }
  for (uint32_t r = 1; r < p.regions.size(); ++r) {
    RegionInfo& parent = regions_[p.regions[r].parent];
    regions_[r].parent = p.regions[r].parent;
    regions_[r].depth = parent.depth + 1;
    regions_[r].vertex_in_parent = parent.count;
    Vertex& loop = vertices_[parent.first + parent.count++];
    loop.is_loop = true;
    loop.index = r;
  }
}

uint32_t RunGraph::common_region(uint32_t a, uint32_t b) const {
  while (a != b) {
    if (regions_[a].depth >= regions_[b].depth) {
      a = regions_[a].parent;
    } else {
      b = regions_[b].parent;
    }
  }
  return a;
}

uint32_t RunGraph::loop_towards(uint32_t outer, uint32_t inner) const {
  CHECK(outer != inner);
  while (regions_[inner].parent != outer) inner = regions_[inner].parent;
  return regions_[inner].vertex_in_parent;
}

std::vector<RunGraph::Edge> RunGraph::FindEdges(std::vector<Edge>* source_edges) {
  const Program& p = *program_;
  std::vector<Edge> edges;
  // Makes the consumer, or the loop around it, wait for the producer, or the loop around that: both
  // in an item of the innermost region that holds both.
  const auto connect = [&](uint32_t producer, uint32_t consumer_region, uint32_t consumer_vertex) {
    const uint32_t from_region = p.nodes[producer].region;
    const uint32_t common = common_region(from_region, consumer_region);
    edges.push_back(Edge{
        .region = common,
        .from =
            from_region == common ? vertex_of_node_[producer] : loop_towards(common, from_region),
        .to = consumer_region == common ? consumer_vertex : loop_towards(common, consumer_region)});
  };
  for (uint32_t n = 0; n < p.nodes.size(); ++n) {
    for (const Input& input : p.nodes[n].inputs) {
      if (input.kind == Input::Kind::kNode) {
        connect(input.index, p.nodes[n].region, vertex_of_node_[n]);
      }
    }
  }
  for (uint32_t r = 1; r < p.regions.size(); ++r) {
    const uint32_t source = p.regions[r].source_node;
    if (source == kNoNode) continue;
    RegionInfo& region = regions_[r];
    region.source_region = p.nodes[source].region;
    at(region.source_region, vertex_of_node_[source]).is_source = true;
    if (region.source_region != region.parent) {
      connect(source, region.parent, region.vertex_in_parent);
      continue;
    }
    region.source_vertex = vertex_of_node_[source];
    region.refill = p.steps[p.nodes[source].step].refill;
    at(region.parent, region.source_vertex).refill = region.refill;
    source_edges->push_back(
        Edge{.region = region.parent, .from = region.source_vertex, .to = region.vertex_in_parent});
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return std::tie(a.region, a.from, a.to) < std::tie(b.region, b.from, b.to);
  });
  edges.erase(std::unique(edges.begin(), edges.end(),
                          [](const Edge& a, const Edge& b) {
                            return a.region == b.region && a.from == b.from && a.to == b.to;
                          }),
              edges.end());
  return edges;
}

void RunGraph::CountNeeded(const std::vector<Edge>& edges) {
  for (const Edge& edge : edges) ++at(edge.region, edge.to).needed;
}

// Only the top level has several units; in a loop's body the item is one.
void RunGraph::FindUnits(const std::vector<Edge>& edges, const std::vector<Edge>& source_edges) {
  std::vector<uint32_t> parent(regions_[0].count);
  std::iota(parent.begin(), parent.end(), 0);
  const auto find = [&](uint32_t v) {
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
  };
  for (const auto* list : {&edges, &source_edges}) {
    for (const Edge& edge : *list) {
      if (edge.region == 0) parent[find(edge.to)] = find(edge.from);
    }
  }
  uint32_t units = 0;
  std::vector<uint32_t> unit_of_root(parent.size(), kNoVertex);
  for (uint32_t v = 0; v < parent.size(); ++v) {
    uint32_t& unit = unit_of_root[find(v)];
    if (unit == kNoVertex) unit = units++;
    vertices_[v].unit = unit;
  }
  regions_[0].units = units;
  if (units < parent.size()) {
    unit_begin_.assign(units + 1, 0);
    for (uint32_t v = 0; v < parent.size(); ++v) ++unit_begin_[vertices_[v].unit + 1];
    std::partial_sum(unit_begin_.begin(), unit_begin_.end(), unit_begin_.begin());
    unit_vertices_.resize(parent.size());
    std::vector<uint32_t> next(unit_begin_.begin(), unit_begin_.end() - 1);
    for (uint32_t v = 0; v < parent.size(); ++v) unit_vertices_[next[vertices_[v].unit]++] = v;
  }
  uint32_t largest = 0;
  for (uint32_t r = unit_begin_.empty() ? 0 : 1; r < regions_.size(); ++r) {
    largest = std::max(largest, regions_[r].count);
  }
  all_vertices_.resize(largest);
  std::iota(all_vertices_.begin(), all_vertices_.end(), 0);
}

absl::Span<const uint32_t> RunGraph::unit_vertices(uint32_t region, uint32_t unit) const {
  if (region != 0) return absl::MakeConstSpan(all_vertices_).first(regions_[region].count);
  if (unit_begin_.empty()) return absl::MakeConstSpan(all_vertices_).subspan(unit, 1);
  return absl::MakeConstSpan(unit_vertices_)
      .subspan(unit_begin_[unit], unit_begin_[unit + 1] - unit_begin_[unit]);
}

// Kept: what a fan-in takes, and what the run's end leaves to look at.
void RunGraph::FindKept() {
  const Program& p = *program_;
  std::vector<bool> taken(p.nodes.size()), fanned_in(p.nodes.size());
  const auto take = [&](uint32_t producer, uint32_t consumer_region) {
    taken[producer] = true;
    const uint32_t region = p.nodes[producer].region;
    if (common_region(region, consumer_region) != region) fanned_in[producer] = true;
  };
  for (const Node& node : p.nodes) {
    for (const Input& input : node.inputs) {
      if (input.kind == Input::Kind::kNode) take(input.index, node.region);
    }
  }
  for (uint32_t r = 1; r < p.regions.size(); ++r) {
    if (p.regions[r].source_node != kNoNode) take(p.regions[r].source_node, p.regions[r].parent);
  }
  std::vector<bool> named(p.nodes.size());
  for (const Binding& binding : p.bindings) named[binding.node] = true;
  for (uint32_t n = 0; n < p.nodes.size(); ++n) {
    Vertex& vertex = at(p.nodes[n].region, vertex_of_node_[n]);
    vertex.final = !taken[n];
    // A `!refill` source has no value of its own.
    const bool is_named = named[n] && !vertex.refill;
    vertex.held = vertex.final || (is_named && (p.nodes[n].region == 0 || fanned_in[n]));
    vertex.kept = vertex.held || fanned_in[n];
    for (uint32_t r = p.nodes[n].region; vertex.kept && !regions_[r].keeps;
         r = regions_[r].parent) {
      regions_[r].keeps = true;
      if (r == 0) break;
      at(regions_[r].parent, regions_[r].vertex_in_parent).kept = true;
    }
  }
  for (RegionInfo& region : regions_) {
    for (uint32_t v = 0; v < region.count; ++v) {
      if (vertices_[region.first + v].kept) region.kept_columns.push_back(v);
    }
  }
}

void RunGraph::FindBy() {
  for (const Node& node : program_->nodes) {
    for (const Input& input : ByOf(*program_, node)) regions_[holder(input)].by.push_back(input);
  }
  for (RegionInfo& region : regions_) {
    std::sort(region.by.begin(), region.by.end());
    region.by.erase(std::unique(region.by.begin(), region.by.end()), region.by.end());
  }
}

void RunGraph::FindRoots() {
  for (RegionInfo& region : regions_) {
    for (uint32_t v = 0; v < region.count; ++v) {
      const Vertex& vertex = vertices_[region.first + v];
      region.has_loops |= vertex.is_loop;
      if (vertex.needed != 0) continue;
      if (vertex.is_loop && regions_[vertex.index].source_vertex != kNoVertex) continue;
      region.roots.push_back(v);
      if (vertex.is_loop) continue;
      region.has_root_task = true;
      const size_t root = region.roots.size() - 1;
      if (root < kRootBits) region.root_tasks |= uint64_t{1} << root;
    }
  }
}

// Takes vertices away that wait for nothing until none is left, or only a cycle.
void RunGraph::FindCycles() {
  for (uint32_t r = 0; r < regions_.size(); ++r) {
    std::vector<uint32_t> waits(regions_[r].count);
    for (uint32_t v = 0; v < waits.size(); ++v) {
      for (const uint32_t d : dependents(r, v)) ++waits[d];
      for (const uint32_t d : loops_over(r, v)) ++waits[d];
    }
    std::vector<uint32_t> free;
    for (uint32_t v = 0; v < waits.size(); ++v) {
      if (waits[v] == 0) free.push_back(v);
    }
    size_t taken = 0;
    while (!free.empty()) {
      const uint32_t v = free.back();
      free.pop_back();
      ++taken;
      for (const uint32_t d : dependents(r, v)) {
        if (--waits[d] == 0) free.push_back(d);
      }
      for (const uint32_t d : loops_over(r, v)) {
        if (--waits[d] == 0) free.push_back(d);
      }
    }
    if (taken < waits.size()) acyclic_ = false;
  }
}

RunGraph::Adjacency RunGraph::Pack(std::vector<Edge> edges) const {
  Adjacency packed;
  if (edges.empty()) return packed;
  packed.begin.assign(vertices_.size() + 1, 0);
  packed.to.resize(edges.size());
  for (const Edge& edge : edges) ++packed.begin[regions_[edge.region].first + edge.from + 1];
  std::partial_sum(packed.begin.begin(), packed.begin.end(), packed.begin.begin());
  std::vector<uint32_t> next(packed.begin.begin(), packed.begin.end() - 1);
  for (const Edge& edge : edges) {
    packed.to[next[regions_[edge.region].first + edge.from]++] = edge.to;
  }
  return packed;
}

absl::Span<const uint32_t> RunGraph::Edges(const Adjacency& adjacency, uint32_t region,
                                           uint32_t v) const {
  if (adjacency.begin.empty()) return {};
  const uint32_t g = regions_[region].first + v;
  return absl::MakeConstSpan(adjacency.to)
      .subspan(adjacency.begin[g], adjacency.begin[g + 1] - adjacency.begin[g]);
}

absl::Span<const uint32_t> RunGraph::dependents(uint32_t region, uint32_t v) const {
  return Edges(dependents_, region, v);
}

absl::Span<const uint32_t> RunGraph::loops_over(uint32_t region, uint32_t v) const {
  return Edges(loops_over_, region, v);
}

}  // namespace bue::hub
