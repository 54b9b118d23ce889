// Ids that items are given (`Result(id=…)`): the first item of a loop that gives one has it for
// good, and a second one with it fails.
#include <utility>

#include "tests/simulation/history.h"

namespace bue::sim {

uint64_t History::NumberOfId(const std::string& id) {
  return id.empty() ? 0 : id_numbers_.try_emplace(id, id_numbers_.size() + 1).first->second;
}

History::IdName History::NameOfId(const Task& task, uint64_t id) {
  return {task.run, task.upload, task.instance, id};
}

// The hub died before it said what became of these: they may be on disk.
void History::KeepClaims() {
  for (const auto& [id, item] : std::exchange(claimed_, {})) ids_[id].claims.insert(item);
}

History::Lease::Owner History::TakeId(const Task& task, uint64_t name) {
  if (task.instance == 0) return Lease::Owner::kItself;
  Id& id = ids_[NameOfId(task, name)];
  if (!id.owner.has_value()) {
    const bool others = id.claims.size() > id.claims.count(task.item);
    if (others) return Lease::Owner::kUnknown;
    id.owner = task.item;
  }
  return id.owner == task.item ? Lease::Owner::kItself : Lease::Owner::kAnother;
}

// His success was acknowledged.
void History::OwnerIsSure(const Task& task, uint64_t name) {
  if (task.instance != 0) ids_[NameOfId(task, name)].is_sure = true;
}

// What was not acknowledged may not have happened.
void History::CutBackIds() {
  for (auto& [name, id] : ids_) {
    if (id.is_sure || !id.owner.has_value()) continue;
    id.claims.insert(*id.owner);
    id.owner.reset();
  }
}

}  // namespace bue::sim
