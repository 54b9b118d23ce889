// KnownReady is what one run certainly has ready, told from its grants and outcomes alone: tasks
// that were never granted although all they read is there, and loops with items to begin. It knows
// too little rather than too much: what was granted before, what a limit or a fan-in may hold back,
// and runs in which anything starts over or is dropped are left out.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_KNOWN_READY_H_
#define BUE_TESTS_SIMULATION_KNOWN_READY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "common/program/program.h"

namespace bue::sim {

class KnownReady {
 public:
  using ItemName = std::pair<uint64_t, uint64_t>;  // Instance, index; (0, …): the top level.

  explicit KnownReady(std::shared_ptr<const Program> program);

  // For the first time.
  void Granted(uint32_t node, const ItemName& item);
  void Succeeded(uint32_t node, const ItemName& item);
  // A power cut came: only what is `durable` has succeeded after all.
  void CutBack(const std::function<bool(uint32_t node, const ItemName&)>& durable);
  // Something in the run starts over, or is dropped: nothing is certain from now on.
  void Blur();

  // Tasks of the node that were never granted, of items that have begun.
  uint64_t Waiting(uint32_t node) const;
  // Whether the node is the first of a loop that has begun, has at most `items_max` items, and not
  // been granted for each of them.
  bool HasMore(uint32_t node, uint64_t items_max) const;
  // Nodes of its item that come right before it, and after it.
  const std::vector<uint32_t>& Before(uint32_t node) const { return nodes_[node].before; }
  const std::vector<uint32_t>& After(uint32_t node) const { return nodes_[node].after; }
  bool IsFirst(uint32_t node) const { return nodes_[node].certain && Before(node).empty(); }
  // Loops of the node's region that have begun.
  uint64_t LoopsBegun(uint32_t node) const;

 private:
  struct NodeInfo {
    uint32_t region = 0;
    bool certain = false;          // It waits for nothing but these.
    std::vector<uint32_t> before;  // Of its own region.
    std::vector<uint32_t> after;   // The reverse.
  };
  struct Loop {
    uint32_t region = 0;
    std::map<uint32_t, uint64_t> granted;  // Items, by node.
  };

  bool Encloses(uint32_t outer, uint32_t inner) const;
  bool IsThere(uint32_t node, const ItemName& item) const;  // What its task waits for.

  const std::shared_ptr<const Program> program_;
  std::vector<NodeInfo> nodes_;
  std::vector<std::vector<uint32_t>> firsts_;  // Nodes that wait for nothing, by region.
  std::vector<bool> stays_;  // By region: no power cut takes back that its items have begun.
  bool blurred_ = false;
  std::map<uint64_t, Loop> loops_;  // By instance.
  std::set<ItemName> begun_;
  std::map<uint32_t, std::set<ItemName>> granted_, succeeded_, waiting_;  // By node.
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_KNOWN_READY_H_
