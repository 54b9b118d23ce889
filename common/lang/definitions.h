// Definitions finds steps and pipes by name: those of a level before those around it, of equal
// names in one level the first. A pipe's steps are looked up where the pipe is called, so a loop's
// body may define its own `a` and call a pipe of the top that names `a`. Not thread-safe. The tree
// and the report outlive it.
#ifndef BUE_COMMON_LANG_DEFINITIONS_H_
#define BUE_COMMON_LANG_DEFINITIONS_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/lang/report.h"
#include "common/lang/syntax.h"

namespace bue::lang {

// A pipe as called from some level.
struct PipeAtLevel {
  std::vector<uint32_t> steps;  // Into SyntaxTree::steps.
  bool broken = false;          // An error has been reported; it has no steps to rely on.
};

class Definitions {
 public:
  // Warns of definitions that an earlier one of the same name hides.
  Definitions(const SyntaxTree& tree, Report* report);

  // Seen from `level`; kNone if there is none.
  uint32_t FindStep(uint32_t level, NameId name) const { return Find(steps_, level, name); }
  uint32_t FindPipe(uint32_t level, NameId name) const { return Find(pipes_, level, name); }

  // Whether an earlier step of the same level has the name of step `index`.
  bool IsHidden(uint32_t index) const;

  // What calling pipe `index` at `level` runs, as an index for at(). Reports steps there are none
  // of.
  uint32_t Resolve(uint32_t level, uint32_t index);
  const PipeAtLevel& at(uint32_t resolved) const { return resolved_[resolved]; }

  // Looks at the pipes that nobody has called. Their steps might be defined where they would be
  // called, so an unknown one is only worth a warning.
  void CheckUncalledPipes();

  // All names of steps, or of pipes, that can be seen from `level`.
  std::vector<absl::string_view> StepNames(uint32_t level) const;
  std::vector<absl::string_view> PipeNames(uint32_t level) const;

  // Whether `outer` is `inner` or a level around it.
  bool Encloses(uint32_t outer, uint32_t inner) const;

 private:
  // By level and name, see Key.
  using Table = absl::flat_hash_map<uint64_t, uint32_t>;

  static uint64_t Key(uint32_t level, NameId name) { return uint64_t{level} << 32 | name; }
  uint32_t Find(const Table& table, uint32_t level, NameId name) const;
  void FindLevelsWithDefinitions();
  void FillSteps();
  void FillPipes();
  void ReportUnknownStep(const PipeDefinition& pipe, const PipeStep& step, uint32_t level,
                         bool called);

  const SyntaxTree& tree_;
  Report& report_;
  std::vector<uint32_t>
      level_with_definitions_;  // Of each level: itself or the next one around it.
  Table steps_;
  Table pipes_;
  absl::flat_hash_map<uint64_t, uint32_t> resolved_index_;  // By level with definitions and pipe.
  std::vector<PipeAtLevel> resolved_;
  std::vector<bool> called_;         // Per pipe.
  std::vector<bool> step_reported_;  // Per SyntaxTree::pipe_steps.
};

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_DEFINITIONS_H_
