// Plan is a random program together with what its steps do: which attempt of which task fails, is
// handed back, cancels its item, hangs, or makes a list of how many elements. What a task does
// depends only on its name, its attempt and how often it was handed back, so that the end of a run
// does not depend on who ran what when; expected() says what that end is, from the language's rules
// and nothing of the hub's.
//
// Immutable.
#ifndef BUE_TESTS_SIMULATION_PLAN_H_
#define BUE_TESTS_SIMULATION_PLAN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/program/program.h"
#include "tests/simulation/random.h"

namespace bue::sim {

// A value's content, as a number. That of a list is made of its elements'.
using Content = uint64_t;
inline constexpr Content kNone = 1;
inline Content ElementOf(Content list, uint64_t index) { return Mix(list, index + 1); }
Content Fold(const std::vector<Content>& elements);

// What the tasks of a step, at one place in the program, do.
struct Behaviour {
  uint32_t fails = 0;     // So many attempts fail before one does not.
  bool hangs = false;     // They do so by their timeout.
  uint32_t pendings = 0;  // So often it hands itself back as `pending` first,
  uint32_t resets = 0;  // and so often with `reset` after that: the hub tells it how often it has.
  bool cancels = false;
  bool none = false;      // Its value is None, which is not stored.
  std::string id;         // That it gives its item; empty: none.
  bool streams = false;   // A source that is a generator.
  uint64_t elements = 0;  // Of a source's list.
  absl::Duration takes;

  uint64_t handbacks() const { return uint64_t{pendings} + resets; }
};

// Steps that somebody has mended: their tasks do not fail for good any more.
using Steps = std::set<uint32_t>;

// A task for people and for the model: "4.17" names an item, "" the top level.
struct TaskName {
  uint32_t node = 0;
  std::string item;

  friend auto operator<=>(const TaskName&, const TaskName&) = default;
};

// How a run of a plan ends.
struct Expected {
  bool failed = false;
  bool stops = false;  // By a failure (`!on_error stop`), with whatever is done by then.
  uint64_t tasks = 0;
  uint64_t done = 0, tasks_failed = 0, skipped = 0;  // Meaningful unless something is cancelled.
  std::map<TaskName, Content> results;               // Of nodes whose value nobody takes.
  // The loop over a `!refill` source never opens: whether the source was over before that was
  // known is chance.
  bool unread_source = false;
};

class Plan {
 public:
  struct Size {
    uint64_t tasks_max = 150;
    uint64_t range_max = 5;      // Elements of a loop.
    uint32_t big_percent = 0;    // Of loops with more items than a reservation holds.
    uint32_t crowd_percent = 0;  // Of loops with many items for the same few slots.
  };
  Plan(std::string key, uint64_t seed, const Size& size);

  const std::string& key() const { return key_; }
  uint32_t weight() const { return weight_; }
  const std::shared_ptr<const Program>& program() const { return program_; }
  const std::string& text() const { return text_; }    // For people, as tests/support has it.
  const std::string& bytes() const { return bytes_; }  // As bue.v1.Program.

  Behaviour Of(const TaskName& task, const Steps& mended) const;
  // An `auto` step of which the first call shows that it is a coroutine.
  bool TurnsOutAsync(uint32_t step) const { return steps_[step].async; }
  Content ContentOf(const TaskName& task, const std::vector<Content>& inputs) const;
  static Content RangeElement(uint64_t index) { return Mix(0x726e67, index); }

  // Whether every run ends the same: false if cancels and failures race within one item.
  bool ends_exactly() const { return ends_exactly_; }
  // Whether its results are the same, too: false also if items race for an id.
  bool exact() const { return ends_exactly_ && !gives_ids_twice_; }
  // Whether counts are the same too: nothing is cancelled or reset, which counts what it undoes.
  bool counts_exact() const { return exact() && !cancels_ && !resets_; }
  Expected ExpectedWith(const Steps& mended) const;
  // Results that stay what they are when failures of these steps, which are mended or not, run
  // again. Unless something resets.
  std::set<TaskName> Untouched(const Steps& mended, const Steps& retried) const;
  bool resets() const { return resets_; }
  bool limited() const { return limited_; }               // Some step has a limit.
  const Expected& expected() const { return expected_; }  // With nothing mended.

 private:
  friend class Model;

  struct StepPlan {
    uint32_t fails = 0, fail_percent = 0;
    bool hangs = false;
    uint32_t pendings = 0, pending_percent = 0;
    uint32_t resets = 0, reset_percent = 0;
    uint32_t cancel_percent = 0;
    bool none = false;
    bool streams = false;
    bool async = false;
    bool ids = false, ids_twice = false;  // Gives them to items; to two the same.
    uint64_t elements_max = 0;
    bool many = false;  // As many elements as that.
    absl::Duration takes;
  };

  bool Make(Random* random, const Size& size);
  std::string MakeText(Random* random, const Size& size);
  static std::string MakeCrowd(Random* random);
  void LimitSteps(Random* random);
  static std::string DrawBy(const Program& program, const std::string& step, Random* random);
  void RefillSources(Random* random);
  void PlanSteps(Random* random, const Size& size, Program* program);
  void GiveIds(Random* random);
  void StopOnError(Random* random, Program* program);
  std::string IdFor(const TaskName& task) const;
  uint64_t Hash(const TaskName& task, uint64_t salt) const;

  const std::string key_;
  const uint64_t seed_;
  uint32_t weight_ = 1;
  bool ends_exactly_ = true;
  bool gives_ids_twice_ = false;
  bool cancels_ = false;
  bool resets_ = false;
  bool limited_ = false;
  std::vector<StepPlan> steps_;
  std::shared_ptr<const Program> program_;
  std::string text_;
  std::string bytes_;
  Expected expected_;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_PLAN_H_
