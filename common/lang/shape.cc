#include "common/lang/shape.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/lang/expression.h"
#include "common/lang/languages.h"

namespace bue::lang {
namespace {

// Of each region's calls, and of the steps and files, so many are shown to people.
constexpr size_t kShown = 200;

absl::string_view ModeName(Mode mode) {
  switch (mode) {
    case Mode::kAuto:
      return "auto";
    case Mode::kAsync:
      return "async";
    case Mode::kThread:
      return "thread";
    case Mode::kProcess:
      return "process";
  }
  return "";
}

std::string Plural(size_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string Sharing(const Limit& limit) {
  if (!limit.key.empty()) return absl::StrCat(" key ", limit.key);
  if (!limit.by.empty()) return absl::StrCat(" by ", limit.by);
  return "";
}

std::string RateText(const Limit& rate) {
  const absl::string_view unit = rate.per_seconds == 1 ? "s" : rate.per_seconds == 60 ? "m" : "h";
  return absl::StrCat(rate.count, "/", unit, Sharing(rate));
}

std::string Seconds(double value) {
  const std::string text = PythonFloat(value);
  return text.size() > 2 && text.substr(text.size() - 2) == ".0" ? text.substr(0, text.size() - 2)
                                                                 : text;
}

// The directives of a step that differ from the defaults, as in a script.
std::string DirectivesText(const Step& step) {
  const Step plain;
  std::string text;
  const auto add = [&](bool differs, absl::string_view name, const auto& value) {
    if (differs) absl::StrAppend(&text, "  !", name, " ", value);
  };
  add(step.scope != plain.scope, "scope", step.scope);
  add(step.priority != plain.priority, "priority", step.priority);
  add(step.timeout_s != plain.timeout_s, "timeout", step.timeout_text);
  add(step.retries != plain.retries, "retries", step.retries);
  add(step.backoff_s != plain.backoff_s, "backoff", Seconds(step.backoff_s));
  add(step.poll_s != plain.poll_s, "poll", Seconds(step.poll_s));
  add(step.max_handbacks != 0, "max_handbacks", step.max_handbacks);
  add(step.mode != Mode::kAuto, "mode", ModeName(step.mode));
  add(step.max_running.count != 0, "max_running",
      absl::StrCat(step.max_running.count, Sharing(step.max_running)));
  add(step.queue != 0, "queue", step.queue);
  if (step.rate.count != 0) add(true, "rate", RateText(step.rate));
  add(step.stop_on_error, "on_error", "stop");
  if (step.refill) absl::StrAppend(&text, "  !refill");
  return text;
}

// A call as the script has it: the nodes of its pipe, one behind the other.
struct Chain {
  uint32_t first = 0;
  uint32_t last = 0;
};

// Writes a program as people read it.
class ShapeWriter {
 public:
  explicit ShapeWriter(const Program& program)
      : program_(program),
        names_(program.nodes.size()),
        chains_(program.regions.size()),
        inner_(program.regions.size()) {}

  std::string Write() {
    NameNodes();
    FindChains();
    for (uint32_t i = 1; i < program_.regions.size(); ++i) {
      inner_[program_.regions[i].parent].push_back(i);
    }
    WriteSummary();
    WriteFiles();
    WriteSteps();
    absl::StrAppend(&out_, "calls\n");
    WriteRegion(0, 1);
    return std::move(out_);
  }

 private:
  void NameNodes() {
    for (const Binding& binding : program_.bindings) names_[binding.node] = binding.name;
    for (uint32_t i = 0; i < program_.nodes.size(); ++i) {
      if (names_[i].empty()) names_[i] = absl::StrCat("#", i);
    }
  }

  void FindChains() {
    for (uint32_t i = 0; i < program_.nodes.size(); ++i) {
      const Node& node = program_.nodes[i];
      std::vector<Chain>& chains = chains_[node.region];
      const bool goes_on =
          i > 0 && node.inputs.size() == 1 && node.inputs[0] == Input{Input::Kind::kNode, i - 1} &&
          node.line == program_.nodes[i - 1].line && node.region == program_.nodes[i - 1].region;
      if (goes_on) {
        chains.back().last = i;
      } else {
        chains.push_back({i, i});
      }
    }
  }

  void WriteSummary() {
    size_t calls = 0;
    for (const std::vector<Chain>& chains : chains_) calls += chains.size();
    absl::StrAppend(&out_, program_.script, ": ", Plural(program_.steps.size(), "step"), ", ",
                    Plural(calls, "call"), ", ", Plural(program_.regions.size() - 1, "loop"), ", ",
                    Plural(program_.files.size(), "file"), "\n");
  }

  void WriteMore(size_t count, absl::string_view indent) {
    if (count > kShown) absl::StrAppend(&out_, indent, "… and ", count - kShown, " more\n");
  }

  void WriteFiles() {
    if (program_.files.empty()) return;
    absl::StrAppend(&out_, "files\n");
    for (size_t i = 0; i < std::min(program_.files.size(), kShown); ++i) {
      const File& file = program_.files[i];
      absl::StrAppend(&out_, "  ", file.path, "  ", Plural(file.bytes, "byte"), "  ",
                      absl::BytesToHexString(file.sha256.substr(0, 6)), "\n");
    }
    WriteMore(program_.files.size(), "  ");
  }

  void WriteSteps() {
    if (program_.steps.empty()) return;
    absl::StrAppend(&out_, "steps\n");
    for (size_t i = 0; i < std::min(program_.steps.size(), kShown); ++i) {
      const Step& step = program_.steps[i];
      absl::StrAppend(&out_, "  ", step.name, "  ", LanguageName(step.language));
      if (step.language != Language::kList) {
        absl::StrAppend(&out_, " ", step.relation, " in ",
                        step.file == kNoFile ? "the script" : program_.files[step.file].path);
      }
      absl::StrAppend(&out_, DirectivesText(step), "\n");
    }
    WriteMore(program_.steps.size(), "  ");
  }

  std::string InputText(const Input& input) const {
    return input.kind == Input::Kind::kElement ? program_.regions[input.index].variable
                                               : names_[input.index];
  }

  void WriteChain(const Chain& chain, absl::string_view indent) {
    absl::StrAppend(&out_, indent, names_[chain.last], " = ", StepName(chain.first), "(");
    absl::string_view separator;
    for (const Input& input : program_.nodes[chain.first].inputs) {
      absl::StrAppend(&out_, separator, InputText(input));
      separator = ", ";
    }
    absl::StrAppend(&out_, ")");
    for (uint32_t i = chain.first + 1; i <= chain.last; ++i) {
      absl::StrAppend(&out_, " | ", StepName(i));
    }
    absl::StrAppend(&out_, "\n");
  }

  void WriteLoop(uint32_t index, absl::string_view indent) {
    const Region& region = program_.regions[index];
    absl::StrAppend(&out_, indent, "for ", region.variable, " in ",
                    region.source_node == kNoNode ? absl::StrCat("range(", region.range, ")")
                                                  : names_[region.source_node],
                    region.by == 0 ? "" : absl::StrCat(" by ", region.by), ":\n");
  }

  // Calls and loops in the order of the script's lines. Loops nest at most as deep as scripts may.
  void WriteRegion(uint32_t index, size_t depth) {
    const std::string indent(2 * depth, ' ');
    const std::vector<uint32_t>& loops = inner_[index];
    size_t loop = 0;
    const auto write_loops_above = [&](uint32_t line) {
      for (; loop < loops.size() && program_.regions[loops[loop]].line < line; ++loop) {
        if (loop >= kShown) continue;
        WriteLoop(loops[loop], indent);
        WriteRegion(loops[loop], depth + 1);
      }
    };
    const std::vector<Chain>& chains = chains_[index];
    for (size_t i = 0; i < std::min(chains.size(), kShown); ++i) {
      write_loops_above(program_.nodes[chains[i].first].line);
      WriteChain(chains[i], indent);
    }
    WriteMore(chains.size(), indent);
    write_loops_above(UINT32_MAX);
    WriteMore(loops.size(), indent);
  }

  absl::string_view StepName(uint32_t node) const {
    return program_.steps[program_.nodes[node].step].name;
  }

  const Program& program_;
  std::vector<std::string> names_;            // Per node.
  std::vector<std::vector<Chain>> chains_;    // Per region.
  std::vector<std::vector<uint32_t>> inner_;  // Per region: the loops in it.
  std::string out_;
};

nlohmann::json LimitJson(const Limit& limit, bool is_rate) {
  if (limit.count == 0) return nullptr;
  const auto text = [](const std::string& word) {
    return word.empty() ? nlohmann::json(nullptr) : nlohmann::json(word);
  };
  nlohmann::json json = {{"count", limit.count}, {"key", text(limit.key)}, {"by", text(limit.by)}};
  if (is_rate) json["per_seconds"] = limit.per_seconds;
  return json;
}

nlohmann::json CountJson(uint64_t count) {
  return count == 0 ? nlohmann::json(nullptr) : nlohmann::json(count);
}

nlohmann::json StepJson(const Step& step, const Program& program) {
  const bool has_file = step.file != kNoFile;
  nlohmann::json json = {
      {"name", step.name},
      {"line", step.line},
      {"language", std::string(LanguageName(step.language))},
      {"relation", step.relation},
      {"file", nullptr},
      {"code", nullptr},
      {"scope", step.scope},
      {"priority", step.priority},
      {"timeout_s", step.timeout_s},
      {"retries", step.retries},
      {"backoff_s", step.backoff_s},
      {"poll_s", step.poll_s},
      {"max_handbacks", step.max_handbacks},
      {"mode", std::string(ModeName(step.mode))},
      {"max_running", LimitJson(step.max_running, /*is_rate=*/false)},
      {"queue", CountJson(step.queue)},
      {"rate", LimitJson(step.rate, /*is_rate=*/true)},
      {"on_error", step.stop_on_error ? "stop" : "continue"},
      {"refill", step.refill},
  };
  if (has_file) json["file"] = program.files[step.file].path;
  if (!has_file && step.language != Language::kList) json["code"] = step.code;
  return json;
}

nlohmann::json RegionJson(const Program& program, uint32_t index) {
  const Region& region = program.regions[index];
  nlohmann::json json = {{"id", index},      {"parent", nullptr}, {"variable", nullptr},
                         {"line", nullptr},  {"by", nullptr},     {"range", nullptr},
                         {"source", nullptr}};
  if (index == 0) return json;
  json["parent"] = region.parent;
  json["variable"] = region.variable;
  json["line"] = region.line;
  json["by"] = CountJson(region.by);
  if (region.source_node == kNoNode) {
    json["range"] = region.range;
  } else {
    json["source"] = region.source_node;
  }
  return json;
}

nlohmann::json NodeJson(const Program& program, uint32_t index) {
  const Node& node = program.nodes[index];
  const auto list = [](const std::vector<Input>& inputs) {
    nlohmann::json json = nlohmann::json::array();
    for (const Input& input : inputs) {
      json.push_back({{input.kind == Input::Kind::kNode ? "node" : "element", input.index}});
    }
    return json;
  };
  return {{"id", index},
          {"step", program.steps[node.step].name},
          {"region", node.region},
          {"line", node.line},
          {"inputs", list(node.inputs)},
          {"by", list(ByOf(program, node))}};
}

}  // namespace

std::string Shape(const Program& program) { return ShapeWriter(program).Write(); }

nlohmann::json ShapeJson(const Program& program) {
  nlohmann::json json = {{"script", program.script},         {"files", nlohmann::json::array()},
                         {"steps", nlohmann::json::array()}, {"regions", nlohmann::json::array()},
                         {"nodes", nlohmann::json::array()}, {"values", nlohmann::json::array()}};
  for (const File& file : program.files) {
    json["files"].push_back({{"path", file.path},
                             {"sha256", absl::BytesToHexString(file.sha256)},
                             {"bytes", file.bytes}});
  }
  for (const Step& step : program.steps) json["steps"].push_back(StepJson(step, program));
  for (uint32_t i = 0; i < program.regions.size(); ++i) {
    json["regions"].push_back(RegionJson(program, i));
  }
  for (uint32_t i = 0; i < program.nodes.size(); ++i) {
    json["nodes"].push_back(NodeJson(program, i));
  }
  for (const Binding& binding : program.bindings) {
    json["values"].push_back(
        {{"name", binding.name}, {"region", binding.region}, {"node", binding.node}});
  }
  return json;
}

}  // namespace bue::lang
