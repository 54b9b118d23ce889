#include "common/lang/compiler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/lang/call_order.h"
#include "common/lang/definitions.h"
#include "common/lang/file_collector.h"
#include "common/lang/parser.h"
#include "common/lang/program_builder.h"
#include "common/lang/report.h"
#include "common/lang/resolver.h"
#include "common/lang/suggestion.h"
#include "common/program/limits_by.h"
#include "common/program/refill.h"

namespace bue::lang {
namespace {

CompileResult Rejected(Diagnostic diagnostic) {
  CompileResult result;
  result.diagnostics.push_back(std::move(diagnostic));
  return result;
}

void CheckRefills(const Program& program, Report* report) {
  for (const RefillMisuse& misuse : FindRefillMisuses(program)) {
    const Node& node = program.nodes[misuse.node];
    const Step& step = program.steps[node.step];
    report->Error({node.line, 0}, absl::StrCat("the `!refill` step '", step.name, "' ", misuse.why),
                  absl::StrCat("for item in p():  where the pipe p ends in '", step.name, "'"));
  }
}

// Names that a limit of the node could go by, if its call passes them.
std::string NearestBy(const Program& program, const Node& node) {
  std::vector<absl::string_view> names;
  for (uint32_t region = node.region; region != 0; region = program.regions[region].parent) {
    names.push_back(program.regions[region].variable);
  }
  for (const Binding& binding : program.bindings) {
    if (names.size() < kCandidatesMax) names.push_back(binding.name);
  }
  for (const std::string& name : NamesOfBy(program.steps[node.step])) {
    const absl::string_view nearest = Nearest(name, names);
    if (!nearest.empty() && nearest != name) return absl::StrCat("did you mean `", nearest, "`?");
  }
  return "pass the value in this call, or name one that it passes";
}

void CheckLimitsBy(const Program& program, Report* report) {
  for (const LimitByMisuse& misuse : FindLimitByMisuses(program)) {
    const Node& node = program.nodes[misuse.node];
    const Step& step = program.steps[node.step];
    report->Error({node.line, 0},
                  absl::StrCat("the limit `by ", absl::StrJoin(NamesOfBy(step), "`, `by "),
                               "` of the step '", step.name, "' ", misuse.why),
                  NearestBy(program, node));
  }
}

}  // namespace

CompileResult Compile(absl::string_view script_text, absl::string_view script_name,
                      FileSource* files, const CompileOptions& options) {
  if (script_text.size() > options.limits.script_bytes) {
    return Rejected(Diagnostic{
        .message = absl::StrCat("the script has ", script_text.size(), " bytes: at most ",
                                options.limits.script_bytes, " are allowed"),
        .hint = "loop over a list that a step returns"});
  }
  if (std::optional<Diagnostic> error = FindEncodingError(script_text)) {
    return Rejected(*std::move(error));
  }
  const SourceText source(script_text);
  Report report(source, options.limits.diagnostics);
  const SyntaxTree tree = ParseScript(source, options.limits, &report);
  Definitions definitions(tree, &report);
  const Resolution resolution = ResolveNames(tree, options.limits, &definitions, &report);
  const std::vector<Begin> order = OrderCalls(tree, resolution, definitions, &report);
  CollectedFiles collected = CollectFiles(tree, definitions, files, options, &report);

  CompileResult result;
  if (!report.has_errors()) {
    Program& program = result.program.emplace();
    program.script = std::string(script_name);
    program.files = std::move(collected.files);
    BuildProgram(tree, definitions, resolution, order, collected.of_source, &program);
    result.contents = std::move(collected.contents);
    CheckRefills(program, &report);
    CheckLimitsBy(program, &report);
    if (report.has_errors()) result.program.reset();
  }
  result.diagnostics = report.Take();
  return result;
}

}  // namespace bue::lang
