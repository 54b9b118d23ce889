#include "tests/support/program_text.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace bue {
namespace {

class Parser {
 public:
  void Line(const std::string& line) {
    line_ = line;
    words_ = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words_.empty()) return;
    if (words_[0] == "step") {
      StepLine();
    } else if (words_[0] == "loop") {
      LoopLine();
    } else if (words_[0] == "node") {
      NodeLine();
    } else if (words_[0] == "by" && words_.size() > 2) {
      std::vector<Input> by;
      AddInputs(2, &by, nullptr);
      SetBy(std::move(by), &program, &program.nodes[NodeNamed(words_[1])]);
    } else if (words_[0] == "name" && words_.size() == 4) {
      const uint32_t node = NodeNamed(words_[3]);
      program.bindings.push_back(
          Binding{.name = words_[1], .region = program.nodes[node].region, .node = node});
    } else {
      Die();
    }
  }

  Program program{.script = "test.bue", .regions = {Region{}}};

 private:
  [[noreturn]] void Die() {
    std::fprintf(stderr, "program text: cannot read: %s\n", line_.c_str());
    std::abort();
  }

  uint64_t Number(absl::string_view text) {
    uint64_t n;
    if (!absl::SimpleAtoi(text, &n)) Die();
    return n;
  }

  uint32_t StepNamed(const std::string& name) {
    for (uint32_t i = 0; i < program.steps.size(); ++i) {
      if (program.steps[i].name == name) return i;
    }
    program.steps.push_back(Step{.name = name, .relation = name});
    return static_cast<uint32_t>(program.steps.size() - 1);
  }

  void StepLine() {
    Step& step = program.steps[StepNamed(words_.at(1))];
    for (size_t i = 2; i < words_.size(); ++i) {
      const std::pair<std::string, std::string> kv = absl::StrSplit(words_[i], '=');
      int64_t n = 0;
      double d = 0;
      const bool integer = absl::SimpleAtoi(kv.second, &n);
      const bool real = absl::SimpleAtod(kv.second, &d);
      if (kv.first == "scope") {
        step.scope = kv.second;
      } else if (kv.first == "priority" && integer) {
        step.priority = static_cast<int32_t>(n);
      } else if (kv.first == "retries" && integer) {
        step.retries = n;
      } else if (kv.first == "handbacks" && integer) {
        step.max_handbacks = n;
      } else if (kv.first == "timeout" && real) {
        step.timeout_s = d;
        step.timeout_text = kv.second;
      } else if (kv.first == "backoff" && real) {
        step.backoff_s = d;
      } else if (kv.first == "poll" && real) {
        step.poll_s = d;
      } else if (kv.first == "max_running") {
        step.max_running = LimitOf(kv.second);
      } else if (kv.first == "rate") {
        step.rate = LimitOf(kv.second);
      } else if (kv.first == "queue" && integer) {
        step.queue = static_cast<uint64_t>(n);
      } else if (kv.first == "on_error" && kv.second == "stop") {
        step.stop_on_error = true;
      } else if (kv.first == "refill") {
        step.refill = true;
      } else if (kv.first == "sql") {
        step.language = Language::kSqlite;
      } else if (kv.second == "async") {
        step.mode = Mode::kAsync;
      } else {
        Die();
      }
    }
  }

  Limit LimitOf(absl::string_view text) {
    const bool by = absl::ConsumeSuffix(&text, "%");
    const std::pair<absl::string_view, absl::string_view> shared =
        absl::StrSplit(text, absl::MaxSplits('@', 1));
    const std::pair<absl::string_view, absl::string_view> rate =
        absl::StrSplit(shared.first, absl::MaxSplits('/', 1));
    Limit limit{
        .count = Number(rate.first), .key = std::string(shared.second), .by = by ? "value" : ""};
    if (!rate.second.empty() && !absl::SimpleAtod(rate.second, &limit.per_seconds)) Die();
    return limit;
  }

  uint32_t NodeNamed(const std::string& word) {
    uint32_t n;
    if (absl::SimpleAtoi(word, &n)) return n;
    for (uint32_t i = 0; i < program.nodes.size(); ++i) {
      if (program.steps[program.nodes[i].step].name == word) return i;
    }
    Die();
  }

  void LoopLine() {
    if (words_.size() < 5 || words_[1] != "in" || words_[3] != "over") Die();
    Region region{.parent = static_cast<uint32_t>(Number(words_[2]))};
    if (absl::StartsWith(words_[4], "range:")) {
      region.range = Number(words_[4].substr(6));
    } else {
      region.source_node = NodeNamed(words_[4]);
    }
    if (words_.size() > 5) region.by = Number(words_[5].substr(3));
    program.regions.push_back(region);
  }

  void NodeLine() {
    Node node{.step = StepNamed(words_.at(1))};
    size_t i = 2;
    if (words_.size() > 3 && words_[2] == "in") {
      node.region = static_cast<uint32_t>(Number(words_[3]));
      i = 4;
    }
    std::vector<Input> by;
    AddInputs(i, &node.inputs, &by);
    SetBy(std::move(by), &program, &node);
    program.nodes.push_back(std::move(node));
  }

  // From the i-th word on; those behind "by" to `by`.
  void AddInputs(size_t i, std::vector<Input>* to, std::vector<Input>* by) {
    for (; i < words_.size(); ++i) {
      uint32_t region;
      if (words_[i] == "by" && by != nullptr) {
        to = by;
      } else if (words_[i][0] == 'e' && absl::SimpleAtoi(words_[i].substr(1), &region)) {
        to->push_back(Input{.kind = Input::Kind::kElement, .index = region});
      } else {
        to->push_back(Input{.index = NodeNamed(words_[i])});
      }
    }
  }

  std::string line_;
  std::vector<std::string> words_;
};

}  // namespace

std::shared_ptr<const Program> ParseProgramText(const std::string& text) {
  Parser parser;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) parser.Line(std::string(line));
  return std::make_shared<const Program>(std::move(parser.program));
}

}  // namespace bue
