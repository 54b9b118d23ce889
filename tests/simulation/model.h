// Model runs a plan on paper: item by item, call by call, as the language and the README have it,
// to know how a run of it must end. It shares no code with the hub.
//
// Used once.
#ifndef BUE_TESTS_SIMULATION_MODEL_H_
#define BUE_TESTS_SIMULATION_MODEL_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/simulation/plan.h"

namespace bue::sim {

class Model {
 public:
  Model(const Plan* plan, Steps mended);
  Expected Run();
  // After Run(): results that stay when failures of these steps run again.
  std::set<TaskName> Untouched(const Steps& retried) const;

 private:
  enum class State { kOpen, kSucceeded, kFailed, kSkipped };
  struct Loop;
  struct Item {
    uint32_t region = 0;
    uint64_t index = 0;
    std::string name;
    Item* outer = nullptr;
    bool failed = false, filtered = false;
    std::map<uint32_t, State> nodes;
    std::map<uint32_t, Content> values;
    std::map<uint32_t, uint64_t> elements;  // Of lists.
    std::map<uint32_t, Loop> loops;         // By region.

    bool ok() const { return !failed && !filtered; }
  };
  struct Loop {
    State state = State::kOpen;
    std::vector<Item> items;
    std::map<std::string, uint64_t> ids;  // Which item has it.
  };
  // A node or a loop, at the level of one item.
  struct Place {
    bool loop = false;
    uint32_t index = 0;

    friend auto operator<=>(const Place&, const Place&) = default;
  };

  bool Encloses(uint32_t outer, uint32_t inner) const;
  uint32_t Common(uint32_t a, uint32_t b) const;
  Place PlaceAt(uint32_t level, uint32_t region, Place self) const;
  void FindNeeds();

  void RunItem(Item* item);
  bool Advance(Item* item);  // False: nothing could.
  bool RunTask(Item* item, uint32_t node);
  void RunLoop(Item* item, uint32_t region);
  State StateOf(const Item& item, const Place& place) const;
  // kSucceeded: all needed did. kOpen: not all are over.
  State Needs(const Item& item, const Place& place) const;
  Content InputOf(const Item& item, const Node& node, const Input& input) const;
  Content ElementAt(const Item& holder) const;
  std::vector<Content> FanIn(const Item& item, uint32_t level, uint32_t node) const;
  uint64_t ElementsOf(const Item& item, uint32_t region, Content* list) const;
  static const Item& Around(const Item& item, uint32_t region);
  void Collect(const Item& item, Expected* expected) const;
  bool IsResult(const Item& item, uint32_t node) const;
  bool OpensAgain(const Item& item, const Steps& retried) const;
  void CollectUntouched(const Item& item, const Steps& retried, std::set<TaskName>* names) const;

  const Plan* const plan_;
  const Steps mended_;
  const Program& program_;
  std::map<Place, std::set<Place>> needs_;
  std::vector<bool> taken_;  // By node: somebody takes its value.
  Item top_;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_MODEL_H_
