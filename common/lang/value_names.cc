#include "common/lang/value_names.h"

#include <utility>

namespace bue::lang {

void ValueNames::Bind(NameId name, ValueRef value) {
  if (!frames_.empty()) above_changes_.push_back({name, above_[name]});
  above_[name] = value;
}

void ValueNames::EnterLoop(NameId variable, uint32_t loop) {
  frames_.push_back({above_changes_.size(), fan_in_changes_.size()});
  if (variable != kNoName) Bind(variable, {ValueRef::Kind::kLoopVariable, loop});
}

// Takes back what the body bound, and makes fan-ins of it for the level around: first of what loops
// in the body left behind, then of its own calls, which come before those.
void ValueNames::LeaveLoop() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  std::vector<std::pair<NameId, ValueRef>> left;
  for (size_t i = frame.fan_ins_begin; i < fan_in_changes_.size(); ++i) {
    left.emplace_back(fan_in_changes_[i].name, fan_ins_[fan_in_changes_[i].name]);
  }
  for (size_t i = frame.above_begin; i < above_changes_.size(); ++i) {
    const NameId name = above_changes_[i].name;
    if (above_[name].kind != ValueRef::Kind::kLoopVariable) left.emplace_back(name, above_[name]);
  }
  const auto take_back = [](std::vector<Change>* changes, size_t begin,
                            std::vector<ValueRef>* values) {
    for (size_t i = changes->size(); i > begin; --i) {
      (*values)[(*changes)[i - 1].name] = (*changes)[i - 1].before;
    }
    changes->resize(begin);
  };
  take_back(&above_changes_, frame.above_begin, &above_);
  take_back(&fan_in_changes_, frame.fan_ins_begin, &fan_ins_);
  for (const auto& [name, value] : left) {
    if (!frames_.empty()) fan_in_changes_.push_back({name, fan_ins_[name]});
    fan_ins_[name] = value;
  }
}

}  // namespace bue::lang
