// ValueNames knows, while a script is walked through in the order of its text, what each name of a
// value means at the place reached: the nearest binding above in this level or one around it.
// Behind a loop it also knows what the loop's body bound: there such a name is the list of all
// items' values (the fan-in). Not thread-safe.
#ifndef BUE_COMMON_LANG_VALUE_NAMES_H_
#define BUE_COMMON_LANG_VALUE_NAMES_H_

#include <cstdint>
#include <vector>

#include "common/lang/syntax.h"

namespace bue::lang {

// What a name of a value stands for.
struct ValueRef {
  enum class Kind : uint8_t {
    kUnbound,
    kCall,          // The value of a call; index into SyntaxTree::calls.
    kLoopVariable,  // The current element; index into SyntaxTree::loops.
    kBroken,        // Its binding has been reported as wrong.
  };
  Kind kind = Kind::kUnbound;
  uint32_t index = 0;
};

class ValueNames {
 public:
  explicit ValueNames(uint32_t names) : above_(names), fan_ins_(names) {}

  void Bind(NameId name, ValueRef value);
  // `variable` may be kNoName.
  void EnterLoop(NameId variable, uint32_t loop);
  void LeaveLoop();

  // The nearest binding above, in this level or one around it.
  ValueRef FindAbove(NameId name) const { return above_[name]; }
  // What the nearest loop above that has ended bound.
  ValueRef FindFanIn(NameId name) const { return fan_ins_[name]; }

 private:
  struct Change {
    NameId name;
    ValueRef before;
  };
  // Where a level's changes begin.
  struct Frame {
    size_t above_begin;
    size_t fan_ins_begin;
  };

  std::vector<ValueRef> above_;    // By name.
  std::vector<ValueRef> fan_ins_;  // By name.
  std::vector<Change> above_changes_;
  std::vector<Change> fan_in_changes_;
  std::vector<Frame> frames_;  // Of the loops being inside of.
};

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_VALUE_NAMES_H_
