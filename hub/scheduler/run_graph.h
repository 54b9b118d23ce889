// RunGraph is a Program as the scheduler needs it: for every region the vertices of one of its
// items, and which vertex waits for which.
//
// A vertex is a task (a node of the region) or a loop (a region directly inside). All dependencies
// are between vertices of one item: an input that comes from an enclosing region makes the loop
// around the consumer wait, a fan-in makes the consumer wait for the loop. So an item's vertices
// count down and nothing ever looks outside the item.
//
// Immutable; safe to read from any thread.
#ifndef BUE_HUB_SCHEDULER_RUN_GRAPH_H_
#define BUE_HUB_SCHEDULER_RUN_GRAPH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "common/program/program.h"

namespace bue::hub {

inline constexpr uint32_t kNoVertex = UINT32_MAX;

class RunGraph {
 public:
  // Roots that have a bit in RegionInfo::root_tasks.
  static constexpr size_t kRootBits = 60;

  struct Vertex {
    bool is_loop : 1 = false;
    bool is_source : 1 = false;  // A task that a loop iterates over.
    bool refill : 1 = false;     // A source with `!refill`; one loop, beside it, iterates over it.
    bool kept : 1 = false;       // Its value (a loop: its instance) outlives the item.
    bool final : 1 = false;      // A task whose value no other vertex takes: a result.
    bool held : 1 = false;       // Its value stays when the run has ended: final, or named in the
                                 // script at the top level or for a fan-in.
    uint32_t index = 0;          // Node or region.
    uint32_t needed = 0;         // Vertices of the item it waits for.
    uint32_t unit = 0;           // Connected component; 0 but at the top level.
  };

  struct RegionInfo {
    uint32_t parent = 0;
    uint32_t vertex_in_parent = 0;       // Of the loop, in an item of the parent.
    uint32_t source_vertex = kNoVertex;  // In an item of the parent; none: range or further out.
    uint32_t source_region = 0;          // Where the source's node lies.
    bool refill = false;                 // Its source has `!refill`.
    uint32_t depth = 0;
    uint32_t units = 1;
    bool keeps = false;  // Some value in it (at any depth) outlives its items.
    bool has_root_task = false;
    bool has_loops = false;              // Some vertex is one.
    uint64_t root_tasks = 0;             // Bit i: the i-th root is a task; of the first kRootBits.
    std::vector<Input> by;               // Values of its items that limits go by.
    std::vector<uint32_t> roots;         // Vertices that wait for nothing.
    std::vector<uint32_t> kept_columns;  // Kept vertices, in order.
    uint32_t first = 0;                  // Of its vertices in the table of all.
    uint32_t count = 0;
  };

  explicit RunGraph(std::shared_ptr<const Program> program);

  // False: some vertex waits for itself by way of others, so a run could never end.
  bool acyclic() const { return acyclic_; }

  const Program& program() const { return *program_; }
  const std::shared_ptr<const Program>& shared_program() const { return program_; }
  uint32_t region_count() const { return static_cast<uint32_t>(regions_.size()); }
  const RegionInfo& region(uint32_t r) const { return regions_[r]; }
  const Vertex& vertex(uint32_t region, uint32_t v) const {
    return vertices_[regions_[region].first + v];
  }

  // The region whose items have what `input`, one of Program::by, stands for.
  uint32_t holder(const Input& input) const {
    return input.kind == Input::Kind::kElement ? input.index : program_->nodes[input.index].region;
  }

  // The vertex of node `n` in an item of its region.
  uint32_t vertex_of_node(uint32_t n) const { return vertex_of_node_[n]; }

  // Vertices of the same item that wait for vertex `v`.
  absl::Span<const uint32_t> dependents(uint32_t region, uint32_t v) const;

  // Loops of the same item that iterate over task `v`.
  absl::Span<const uint32_t> loops_over(uint32_t region, uint32_t v) const;

  // The vertices of a unit: of a connected component at the top level, else (unit 0) all.
  absl::Span<const uint32_t> unit_vertices(uint32_t region, uint32_t unit) const;

  // The loop vertex, in an item of `outer`, that leads towards `inner`, a region inside it.
  uint32_t loop_towards(uint32_t outer, uint32_t inner) const;

  // The innermost region that encloses (or is) both.
  uint32_t common_region(uint32_t a, uint32_t b) const;

  // How many nodes of each step a region has: (step, nodes).
  struct StepCount {
    uint32_t step;
    uint32_t region;
    uint64_t nodes;
  };
  const std::vector<StepCount>& step_counts() const { return step_counts_; }

 private:
  struct Edge {
    uint32_t region;
    uint32_t from;
    uint32_t to;
  };
  struct Adjacency {
    // By vertex in the table of all, one more at the end; empty: there is no edge.
    std::vector<uint32_t> begin;
    std::vector<uint32_t> to;
  };

  void PlaceVertices();
  std::vector<Edge> FindEdges(std::vector<Edge>* source_edges);
  void CountNeeded(const std::vector<Edge>& edges);
  void FindUnits(const std::vector<Edge>& edges, const std::vector<Edge>& source_edges);
  void FindKept();
  void FindRoots();
  void FindBy();
  void FindCycles();
  absl::Span<const uint32_t> Edges(const Adjacency& adjacency, uint32_t region, uint32_t v) const;
  Adjacency Pack(std::vector<Edge> edges) const;
  Vertex& at(uint32_t region, uint32_t v) { return vertices_[regions_[region].first + v]; }

  const std::shared_ptr<const Program> program_;
  std::vector<RegionInfo> regions_;
  std::vector<Vertex> vertices_;
  std::vector<uint32_t> vertex_of_node_;
  Adjacency dependents_;
  Adjacency loops_over_;
  // Into unit_vertices_, by unit of the top level; empty: each vertex there is a unit of its own.
  std::vector<uint32_t> unit_begin_;
  std::vector<uint32_t> unit_vertices_;
  std::vector<uint32_t> all_vertices_;  // 0, 1, … as many as any region has.
  std::vector<StepCount> step_counts_;
  bool acyclic_ = true;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_RUN_GRAPH_H_
