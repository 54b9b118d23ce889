#include "common/program/program_codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace bue {
namespace {

constexpr double kSecondsMax = 30 * 86400;  // Of any time that a step names.

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

// Whether `outer` is `inner` or encloses it.
bool Encloses(const Program& program, uint32_t outer, uint32_t inner) {
  while (inner > outer) inner = program.regions[inner].parent;
  return inner == outer;
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

absl::Status CheckNodes(const Program& program) {
  for (size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    if (node.step >= program.steps.size()) return Broken("node", i, "no such step");
    if (node.region >= program.regions.size()) return Broken("node", i, "no such region");
    for (const Input& input : node.inputs) {
      if (input.kind == Input::Kind::kNode) {
        if (input.index >= i) return Broken("node", i, "an input does not come before it");
      } else if (input.index == 0 || input.index >= program.regions.size() ||
                 !Encloses(program, input.index, node.region)) {
        return Broken("node", i, "it takes the element of a loop that does not enclose it");
      }
    }
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
    for (const Input& input : node.inputs) {
      v1::Input* in = n->add_inputs();
      if (input.kind == Input::Kind::kNode) {
        in->set_node(input.index);
      } else {
        in->set_element(input.index);
      }
    }
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

absl::StatusOr<Program> FromProto(const v1::Program& proto) {
  Program program;
  program.script = proto.script();
  for (const v1::Step& step : proto.steps()) {
    ASSIGN_OR_RETURN(Step s, FromProto(step));
    program.steps.push_back(std::move(s));
  }
  for (const v1::Region& region : proto.regions()) {
    program.regions.push_back(
        Region{.parent = region.parent(),
               .source_node = region.source_case() == v1::Region::kNode ? region.node() : kNoNode,
               .range = region.range(),
               .by = region.by(),
               .variable = region.variable(),
               .line = region.line()});
  }
  program.nodes.reserve(proto.nodes_size());
  for (const v1::Node& node : proto.nodes()) {
    Node n{.step = node.step(), .region = node.region(), .line = node.line()};
    for (const v1::Input& input : node.inputs()) {
      const bool element = input.from_case() == v1::Input::kElement;
      n.inputs.push_back(Input{.kind = element ? Input::Kind::kElement : Input::Kind::kNode,
                               .index = element ? input.element() : input.node()});
    }
    program.nodes.push_back(std::move(n));
  }
  for (const v1::File& file : proto.files()) program.files.push_back(FromProto(file));
  for (const v1::Binding& binding : proto.bindings()) {
    program.bindings.push_back(
        Binding{.name = binding.name(), .region = binding.region(), .node = binding.node()});
  }
  RETURN_IF_ERROR(CheckRegions(program));
  RETURN_IF_ERROR(CheckNodes(program));
  RETURN_IF_ERROR(CheckSteps(program));
  return program;
}

}  // namespace bue
