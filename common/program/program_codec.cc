#include "common/program/program_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/program/limits_by.h"
#include "common/program/refill.h"
#include "common/status_macros.h"

namespace bue {
namespace {

constexpr double kSecondsMax = 30 * 86400;  // Of any time that a step names.
constexpr double kRateSecondsMin = 0.001;
constexpr double kRateSecondsMax = 86400;

void ToProto(const Limit& limit, v1::Limit* out) {
  out->set_count(limit.count);
  out->set_per_seconds(limit.per_seconds);
  out->set_key(limit.key);
  out->set_by(limit.by);
}

Limit FromProto(const v1::Limit& proto) {
  return Limit{.count = proto.count(),
               .per_seconds = proto.per_seconds(),
               .key = proto.key(),
               .by = proto.by()};
}

// The proto's languages are ours plus "unspecified" in front.
v1::Step::Language ToProto(Language language) {
  return static_cast<v1::Step::Language>(static_cast<int>(language) + 1);
}

absl::StatusOr<Language> FromProto(v1::Step::Language language) {
  if (language < v1::Step::PYTHON || language > v1::Step::LIST) {
    return absl::InvalidArgumentError(absl::StrCat("unknown language ", language));
  }
  return static_cast<Language>(language - 1);
}

absl::Status Broken(absl::string_view what, size_t index, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("program: ", what, " ", index, ": ", why));
}

// Deeper nesting or longer lists than any script needs could bring a hub or worker down.
constexpr uint32_t kDepthMax = 64;
constexpr uint64_t kByMax = 1 << 24;

absl::Status CheckRegions(const Program& program) {
  std::vector<uint32_t> depth(program.regions.size());
  if (program.regions.empty() || program.regions[0].parent != 0) {
    return absl::InvalidArgumentError("program: the top level is missing");
  }
  for (size_t i = 1; i < program.regions.size(); ++i) {
    const Region& region = program.regions[i];
    if (region.parent >= i) return Broken("region", i, "its parent does not come before it");
    depth[i] = depth[region.parent] + 1;
    if (depth[i] > kDepthMax) return Broken("region", i, "loops are nested more than 64 deep");
    if (region.by > kByMax) return Broken("region", i, "`by` is more than 16777216");
    if (region.source_node == kNoNode) continue;
    if (region.source_node >= program.nodes.size()) return Broken("region", i, "no such source");
    const uint32_t source_region = program.nodes[region.source_node].region;
    if (source_region >= i || !Encloses(program, source_region, region.parent)) {
      return Broken("region", i, "its source lies in a region that does not enclose it");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInputs(const Program& program, size_t i, const std::vector<Input>& inputs) {
  for (const Input& input : inputs) {
    if (input.kind == Input::Kind::kNode) {
      if (input.index >= i) return Broken("node", i, "an input does not come before it");
    } else if (input.index == 0 || input.index >= program.regions.size() ||
               !Encloses(program, input.index, program.nodes[i].region)) {
      return Broken("node", i, "it takes the element of a loop that does not enclose it");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNodes(const Program& program) {
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    if (node.step >= program.steps.size()) return Broken("node", i, "no such step");
    if (node.region >= program.regions.size()) return Broken("node", i, "no such region");
    RETURN_IF_ERROR(CheckInputs(program, i, node.inputs));
    RETURN_IF_ERROR(CheckInputs(program, i, ByOf(program, node)));
  }
  return absl::OkStatus();
}

absl::Status CheckSteps(const Program& program) {
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (step.file != kNoFile && step.file >= program.files.size()) {
      return Broken("step", i, "no such file");
    }
    if (step.mode > Mode::kProcess) return Broken("step", i, "unknown mode");
    if (!(step.timeout_s > 0)) return Broken("step", i, "its timeout is not above 0");
    if (!(step.backoff_s >= 0) || !(step.poll_s >= 0)) return Broken("step", i, "negative wait");
    if (step.timeout_s > kSecondsMax || step.backoff_s > kSecondsMax || step.poll_s > kSecondsMax) {
      return Broken("step", i, "a time above 30 days");
    }
    if (step.rate.count > 0 &&
        !(step.rate.per_seconds >= kRateSecondsMin && step.rate.per_seconds <= kRateSecondsMax)) {
      return Broken("step", i, "a rate by less than a millisecond or more than a day");
    }
    for (const Limit* limit : {&step.max_running, &step.rate}) {
      if (!limit->key.empty() && !limit->by.empty()) {
        return Broken("step", i, "a limit both by a key and by a value");
      }
    }
    if (step.retries < -1) return Broken("step", i, "retries below -1 (for ever)");
  }
  for (size_t i = 0; i < program.files.size(); ++i) {
    if (program.files[i].sha256.size() != 32) return Broken("file", i, "no SHA-256");
  }
  for (size_t i = 0; i < program.bindings.size(); ++i) {
    if (program.bindings[i].node >= program.nodes.size()) return Broken("binding", i, "no node");
  }
  return absl::OkStatus();
}

void ToProto(const Input& input, v1::Input* out) {
  if (input.kind == Input::Kind::kNode) {
    out->set_node(input.index);
  } else {
    out->set_element(input.index);
  }
}

std::vector<Input> FromProto(const google::protobuf::RepeatedPtrField<v1::Input>& protos) {
  std::vector<Input> inputs;
  inputs.reserve(protos.size());
  for (const v1::Input& proto : protos) {
    const bool element = proto.from_case() == v1::Input::kElement;
    inputs.push_back(Input{.kind = element ? Input::Kind::kElement : Input::Kind::kNode,
                           .index = element ? proto.element() : proto.node()});
  }
  return inputs;
}

absl::Status Check(const Program& program) {
  RETURN_IF_ERROR(CheckRegions(program));
  RETURN_IF_ERROR(CheckNodes(program));
  RETURN_IF_ERROR(CheckSteps(program));
  for (const RefillMisuse& misuse : FindRefillMisuses(program)) {
    return Broken("node", misuse.node, absl::StrCat("a !refill step ", misuse.why));
  }
  // Programs of versions that told no values apart have none: one limit holds for all.
  const bool none = std::all_of(program.nodes.begin(), program.nodes.end(),
                                [](const Node& node) { return node.by == 0; });
  if (none) return absl::OkStatus();
  for (const LimitByMisuse& misuse : FindLimitByMisuses(program)) {
    return Broken("node", misuse.node, absl::StrCat("a limit by a value ", misuse.why));
  }
  return absl::OkStatus();
}

}  // namespace

void ToProto(const Step& step, v1::Step* out) {
  out->set_name(step.name);
  out->set_language(ToProto(step.language));
  out->set_relation(step.relation);
  if (step.file != kNoFile) {
    out->set_file(step.file);
  } else {
    out->set_code(step.code);
  }
  out->set_scope(step.scope);
  out->set_priority(step.priority);
  out->set_timeout_s(step.timeout_s);
  out->set_timeout_text(step.timeout_text);
  out->set_retries(step.retries);
  out->set_backoff_s(step.backoff_s);
  out->set_poll_s(step.poll_s);
  out->set_max_handbacks(step.max_handbacks);
  out->set_mode(static_cast<v1::Step::Mode>(step.mode));
  if (step.max_running.count != 0) ToProto(step.max_running, out->mutable_max_running());
  out->set_queue(step.queue);
  if (step.rate.count != 0) ToProto(step.rate, out->mutable_rate());
  out->set_stop_on_error(step.stop_on_error);
  out->set_refill(step.refill);
  out->set_line(step.line);
}

void ToProto(const File& file, v1::File* out) {
  out->set_path(file.path);
  out->set_sha256(file.sha256);
  out->set_bytes(file.bytes);
}

void ToProto(const Program& program, v1::Program* out) {
  out->set_script(program.script);
  for (const Step& step : program.steps) ToProto(step, out->add_steps());
  for (const Region& region : program.regions) {
    v1::Region* r = out->add_regions();
    r->set_parent(region.parent);
    if (region.source_node != kNoNode) {
      r->set_node(region.source_node);
    } else {
      r->set_range(region.range);
    }
    r->set_by(region.by);
    r->set_variable(region.variable);
    r->set_line(region.line);
  }
  out->mutable_nodes()->Reserve(static_cast<int>(program.nodes.size()));
  for (const Node& node : program.nodes) {
    v1::Node* n = out->add_nodes();
    n->set_step(node.step);
    n->set_region(node.region);
    n->set_line(node.line);
    for (const Input& input : node.inputs) ToProto(input, n->add_inputs());
    for (const Input& input : ByOf(program, node)) ToProto(input, n->add_by());
  }
  for (const File& file : program.files) ToProto(file, out->add_files());
  for (const Binding& binding : program.bindings) {
    v1::Binding* b = out->add_bindings();
    b->set_name(binding.name);
    b->set_region(binding.region);
    b->set_node(binding.node);
  }
}

absl::StatusOr<Step> FromProto(const v1::Step& proto) {
  ASSIGN_OR_RETURN(const Language language, FromProto(proto.language()));
  return Step{.name = proto.name(),
              .language = language,
              .relation = proto.relation(),
              .file = proto.source_case() == v1::Step::kFile ? proto.file() : kNoFile,
              .code = proto.code(),
              .scope = proto.scope(),
              .priority = proto.priority(),
              .timeout_s = proto.timeout_s(),
              .timeout_text = proto.timeout_text(),
              .retries = proto.retries(),
              .backoff_s = proto.backoff_s(),
              .poll_s = proto.poll_s(),
              .max_handbacks = proto.max_handbacks(),
              .mode = static_cast<Mode>(proto.mode()),
              .max_running = FromProto(proto.max_running()),
              .queue = proto.queue(),
              .rate = FromProto(proto.rate()),
              .stop_on_error = proto.stop_on_error(),
              .refill = proto.refill(),
              .line = proto.line()};
}

File FromProto(const v1::File& proto) {
  return File{.path = proto.path(), .sha256 = proto.sha256(), .bytes = proto.bytes()};
}

Region FromProto(const v1::Region& proto) {
  return Region{.parent = proto.parent(),
                .source_node = proto.source_case() == v1::Region::kNode ? proto.node() : kNoNode,
                .range = proto.range(),
                .by = proto.by(),
                .variable = proto.variable(),
                .line = proto.line()};
}

void AddNode(const v1::Node& proto, Program* program) {
  Node node{.step = proto.step(),
            .region = proto.region(),
            .inputs = FromProto(proto.inputs()),
            .line = proto.line()};
  SetBy(FromProto(proto.by()), program, &node);
  program->nodes.push_back(std::move(node));
}

Binding FromProto(const v1::Binding& proto) {
  return Binding{.name = proto.name(), .region = proto.region(), .node = proto.node()};
}

absl::StatusOr<Program> FromProto(const v1::Program& proto) {
  Program program;
  program.script = proto.script();
  for (const v1::Step& step : proto.steps()) {
    ASSIGN_OR_RETURN(Step s, FromProto(step));
    program.steps.push_back(std::move(s));
  }
  for (const v1::Region& region : proto.regions()) program.regions.push_back(FromProto(region));
  program.nodes.reserve(proto.nodes_size());
  for (const v1::Node& node : proto.nodes()) AddNode(node, &program);
  for (const v1::File& file : proto.files()) program.files.push_back(FromProto(file));
  for (const v1::Binding& binding : proto.bindings()) {
    program.bindings.push_back(FromProto(binding));
  }
  RETURN_IF_ERROR(Check(program));
  return program;
}

// ------------------------------------------------------------------------------ in bounded memory

namespace {

constexpr size_t kAllocationBytes = 16;    // What the allocator adds to each piece.
constexpr size_t kNodeBytesMax = 1 << 20;  // Serialized: a call with a hundred thousand arguments.

size_t MemoryOf(const Step& step) {
  return sizeof(Step) + step.name.size() + step.relation.size() + step.code.size() +
         step.scope.size() + step.timeout_text.size() + step.max_running.key.size() +
         step.max_running.by.size() + step.rate.key.size() + step.rate.by.size();
}
size_t MemoryOf(const Region& region) { return sizeof(Region) + region.variable.size(); }
size_t MemoryOf(const std::vector<Input>& inputs) {
  return inputs.empty() ? 0 : kAllocationBytes + inputs.size() * sizeof(Input);
}
// Program::by grows by doubling.
size_t MemoryOfBy(const std::vector<Input>& by) {
  return by.empty() ? 0 : 2 * sizeof(by) + MemoryOf(by);
}
size_t MemoryOf(const Node& node) { return sizeof(Node) + MemoryOf(node.inputs); }
size_t MemoryOf(const File& file) {
  return sizeof(File) + file.path.size() + file.sha256.size() + kAllocationBytes;
}
size_t MemoryOf(const Binding& binding) { return sizeof(Binding) + binding.name.size(); }

absl::Status NotAProgram() {
  return absl::InvalidArgumentError("program: its bytes are no bue.v1.Program");
}

// Calls `take(field, content, whole)` for each field with a length; `whole` has its tag as well.
template <typename Take>
absl::Status ForEachField(absl::string_view message, const Take& take) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                                            static_cast<int>(message.size()));
  while (true) {
    const size_t begin = in.CurrentPosition();
    const uint32_t tag = in.ReadTag();
    if (tag == 0) break;
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&in, tag)) return NotAProgram();
      continue;
    }
    uint32_t size = 0;
    if (!in.ReadVarint32(&size)) return NotAProgram();
    const size_t content = in.CurrentPosition();
    if (size > message.size() - content) return NotAProgram();
    RETURN_IF_ERROR(take(WireFormatLite::GetTagFieldNumber(tag), message.substr(content, size),
                         message.substr(begin, content + size - begin)));
    in.Skip(static_cast<int>(size));
  }
  return in.ConsumedEntireMessage() ? absl::OkStatus() : NotAProgram();
}

// Takes a program in, an element at a time.
class ProgramParser {
 public:
  explicit ProgramParser(size_t memory_max) : memory_max_(memory_max) {}

  absl::StatusOr<Program> Parse(absl::string_view bytes) && {
    RETURN_IF_ERROR(Reserve(bytes));
    RETURN_IF_ERROR(
        ForEachField(bytes, [this](int field, absl::string_view content, absl::string_view whole) {
          return Add(field, content, whole);
        }));
    RETURN_IF_ERROR(Check(program_));
    return std::move(program_);
  }

 private:
  // Makes room at once: growing step by step would take twice the memory.
  absl::Status Reserve(absl::string_view bytes) {
    size_t count[v1::Program::kBindingsFieldNumber + 1] = {};
    RETURN_IF_ERROR(ForEachField(bytes, [&](int field, absl::string_view, absl::string_view) {
      if (field <= v1::Program::kBindingsFieldNumber) ++count[field];
      return absl::OkStatus();
    }));
    const size_t steps = count[v1::Program::kStepsFieldNumber];
    const size_t regions = count[v1::Program::kRegionsFieldNumber];
    const size_t nodes = count[v1::Program::kNodesFieldNumber];
    const size_t files = count[v1::Program::kFilesFieldNumber];
    const size_t bindings = count[v1::Program::kBindingsFieldNumber];
    const size_t memory = steps * sizeof(Step) + regions * sizeof(Region) + nodes * sizeof(Node) +
                          files * sizeof(File) + bindings * sizeof(Binding);
    if (memory > memory_max_) return TooMuch();
    program_.steps.reserve(steps);
    program_.regions.reserve(regions);
    program_.nodes.reserve(nodes);
    program_.files.reserve(files);
    program_.bindings.reserve(bindings);
    return absl::OkStatus();
  }

  absl::Status Add(int field, absl::string_view content, absl::string_view whole) {
    switch (field) {
      case v1::Program::kScriptFieldNumber:
        return TakeScript(whole);
      case v1::Program::kStepsFieldNumber:
        return Take(content, &step_, &program_.steps);
      case v1::Program::kRegionsFieldNumber:
        return Take(content, &region_, &program_.regions);
      case v1::Program::kNodesFieldNumber:
        if (content.size() > kNodeBytesMax) {
          return Broken("node", program_.nodes.size(), "it has more inputs than any call");
        }
        return TakeNode(content);
      case v1::Program::kFilesFieldNumber:
        return Take(content, &file_, &program_.files);
      case v1::Program::kBindingsFieldNumber:
        return Take(content, &binding_, &program_.bindings);
      default:
        return absl::OkStatus();  // Of a later version.
    }
  }

  absl::Status TakeScript(absl::string_view whole) {
    v1::Program proto;
    if (!proto.ParseFromArray(whole.data(), static_cast<int>(whole.size()))) return NotAProgram();
    program_.script = std::move(*proto.mutable_script());
    return Count(program_.script.size());
  }

  absl::Status TakeNode(absl::string_view content) {
    if (!node_.ParseFromArray(content.data(), static_cast<int>(content.size()))) {
      return NotAProgram();
    }
    AddNode(node_, &program_);
    const Node& node = program_.nodes.back();
    return Count(MemoryOf(node) + MemoryOfBy(ByOf(program_, node)));
  }

  template <typename Proto, typename Element>
  absl::Status Take(absl::string_view content, Proto* proto, std::vector<Element>* elements) {
    if (!proto->ParseFromArray(content.data(), static_cast<int>(content.size()))) {
      return NotAProgram();
    }
    ASSIGN_OR_RETURN(Element element, absl::StatusOr<Element>(bue::FromProto(*proto)));
    RETURN_IF_ERROR(Count(MemoryOf(element)));
    elements->push_back(std::move(element));
    return absl::OkStatus();
  }

  absl::Status Count(size_t bytes) {
    memory_ += bytes;
    return memory_ > memory_max_ ? TooMuch() : absl::OkStatus();
  }
  absl::Status TooMuch() const {
    return absl::InvalidArgumentError(
        absl::StrCat("program: it takes more memory than the ", memory_max_, " bytes set aside"));
  }

  const size_t memory_max_;
  size_t memory_ = 0;
  Program program_;

  // Used again and again.
  v1::Step step_;
  v1::Region region_;
  v1::Node node_;
  v1::File file_;
  v1::Binding binding_;
};

template <typename Elements>
size_t MemoryOfAll(const Elements& elements) {
  size_t bytes = 0;
  for (const auto& element : elements) bytes += MemoryOf(element);
  return bytes;
}

}  // namespace

size_t MemoryOf(const Program& program) {
  size_t by_bytes = 0;
  for (const std::vector<Input>& by : program.by) by_bytes += MemoryOfBy(by);
  return by_bytes + program.script.size() + MemoryOfAll(program.steps) +
         MemoryOfAll(program.regions) + MemoryOfAll(program.nodes) + MemoryOfAll(program.files) +
         MemoryOfAll(program.bindings);
}

absl::StatusOr<Program> ParseProgram(absl::string_view bytes, size_t memory_max) {
  return ProgramParser(memory_max).Parse(bytes);
}

}  // namespace bue
