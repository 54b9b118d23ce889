// Program is a compiled `.bue` script: what the language front end produces, the hub schedules and
// the CLI shows. Plain data; common/lang makes it, program_codec carries it over the wire.
//
// Steps are definitions. A node is a step at a place in a call; calling a pipe of three steps makes
// three nodes in a chain. Regions nest: region 0 is the top level, every loop's body is a region.
// Nothing is unrolled: a loop over a million elements is one Region.
//
// An input that refers to a node in the consumer's own or an enclosing region is that node's value.
// If the node lies in a loop that does not enclose the consumer, the input is the fan-in: the list
// of the values of all succeeded items (lists of lists for deeper loops).
#ifndef BUE_COMMON_PROGRAM_PROGRAM_H_
#define BUE_COMMON_PROGRAM_PROGRAM_H_

#include <compare>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bue {

enum class Language : uint8_t { kPython, kSqlite, kPostgres, kList };
enum class Mode : uint8_t { kAuto, kAsync, kThread, kProcess };

// `!max_running` and `!rate`. count 0 means no limit.
struct Limit {
  uint64_t count = 0;
  double per_seconds = 0;  // Rates only: `count` starts per this many seconds.
  std::string key;         // `key WORD`: shared by all runs that name it.
  std::string by;          // `by ARG`: one limit per value of that name.
};

inline constexpr uint32_t kNoFile = UINT32_MAX;

struct Step {
  std::string name;
  Language language = Language::kPython;
  std::string relation;     // Python: the function. SQL: the table that input 1 appears as.
  uint32_t file = kNoFile;  // Index into Program::files, or kNoFile when `code` holds the source.
  std::string code;         // Inline source, byte for byte as between the backticks.
  std::string scope = "default";
  int32_t priority = 0;
  double timeout_s = 1200;
  std::string timeout_text = "1200";  // As `{{timeout}}` shows it.
  int64_t retries = 0;                // Further attempts after a failure; -1: for ever.
  double backoff_s = 1;
  double poll_s = 5;
  uint64_t max_handbacks = 0;  // 0: no limit.
  Mode mode = Mode::kAuto;
  Limit max_running;
  uint64_t queue = 0;  // 0: no limit.
  Limit rate;
  bool stop_on_error = false;
  bool refill = false;
  uint32_t line = 0;  // 1-based line of the definition.
};

struct Input {
  enum class Kind : uint8_t { kNode, kElement };
  Kind kind = Kind::kNode;
  uint32_t index = 0;  // Node, or region whose current element is meant.

  friend auto operator<=>(const Input&, const Input&) = default;
};

struct Node {
  uint32_t step = 0;
  uint32_t region = 0;
  std::vector<Input> inputs;  // In call order.
  uint32_t line = 0;          // 1-based line of the call.
  uint32_t by = 0;            // Into Program::by: what the step's limits go by.
};

inline constexpr uint32_t kNoNode = UINT32_MAX;

struct Region {
  uint32_t parent = 0;             // Its own index for region 0.
  uint32_t source_node = kNoNode;  // In the parent or a region enclosing it; its value is the list.
  uint64_t range = 0;              // Used when source_node is kNoNode: elements 0 … range-1.
  uint64_t by = 0;                 // Elements are lists of at most `by`; 0: single elements.
  std::string variable;
  uint32_t line = 0;
};

struct File {
  std::string path;    // As the step names it, relative to the script.
  std::string sha256;  // 32 raw bytes.
  uint64_t bytes = 0;
};

// The name of a value: `name = pipe(…)` in `region` ends in `node`. For rebound names, the last.
struct Binding {
  std::string name;
  uint32_t region = 0;
  uint32_t node = 0;
};

struct Program {
  std::string script;  // The script's file name, for people.
  std::vector<Step> steps;
  std::vector<Region> regions;  // [0] is the top level; parents come before their children.
  std::vector<Node> nodes;      // A node comes after the nodes its inputs name.
  std::vector<File> files;
  std::vector<Binding> bindings;
  // By whose values limits tell tasks apart: that of `!max_running … by` first, then that of
  // `!rate … by`; common/program/limits_by.h. [0] is empty; few nodes have others.
  std::vector<std::vector<Input>> by = std::vector<std::vector<Input>>(1);
};

// By whose values the limits of a node's step go.
inline const std::vector<Input>& ByOf(const Program& program, const Node& node) {
  return program.by[node.by];
}
inline const std::vector<Input>& ByOf(const Program& program, uint32_t node) {
  return program.by[program.nodes[node].by];
}
inline void SetBy(std::vector<Input> by, Program* program, Node* node) {
  node->by = by.empty() ? 0 : static_cast<uint32_t>(program->by.size());
  if (!by.empty()) program->by.push_back(std::move(by));
}

// Whether region `outer` is `inner` or encloses it. REQUIRES: parents come before their children.
inline bool Encloses(const Program& program, uint32_t outer, uint32_t inner) {
  while (inner > outer) inner = program.regions[inner].parent;
  return inner == outer;
}

}  // namespace bue

#endif  // BUE_COMMON_PROGRAM_PROGRAM_H_
