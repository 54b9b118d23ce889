// `bue check`: everything that is wrong with a script, or its shape.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/run_report.h"
#include "cli/script.h"
#include "common/lang/shape.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct Flags {
  ScriptFlags script;
  bool json = false;
};

Json DiagnosticJson(const lang::Diagnostic& diagnostic) {
  return Json{
      {"severity", diagnostic.severity == lang::Severity::kError ? "error" : "warning"},
      {"line", diagnostic.line == 0 ? Json(nullptr) : Json(diagnostic.line)},
      {"column", diagnostic.line == 0 ? Json(nullptr) : Json(diagnostic.column)},
      {"message", diagnostic.message},
      {"hint", diagnostic.hint.empty() ? Json(nullptr) : Json(diagnostic.hint)},
  };
}

void PrintJson(const CompiledScript& script) {
  Json diagnostics = Json::array();
  for (const lang::Diagnostic& diagnostic : script.result.diagnostics) {
    diagnostics.push_back(DiagnosticJson(diagnostic));
  }
  const bool ok = script.result.program.has_value();
  const Json report{
      {"file", script.name},
      {"ok", ok},
      {"diagnostics", std::move(diagnostics)},
      {"program", ok ? Json(lang::ShapeJson(*script.result.program)) : Json(nullptr)},
  };
  absl::PrintF("%s\n", ToLine(report));
}

absl::StatusOr<int> Check(const Flags& flags) {
  ASSIGN_OR_RETURN(const CompiledScript script, CompileScript(flags.script));
  const bool ok = script.result.program.has_value();
  if (flags.json) {
    PrintJson(script);
  } else {
    absl::FPrintF(stderr, "%s", FormatScript(script));
    if (ok) absl::PrintF("%s", lang::Shape(*script.result.program));
  }
  return ok ? kExitOk : kExitRefused;
}

}  // namespace

void AddCheck(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("check", "Say what is wrong with a script, or show its shape");
  AddScriptFlags(command, &flags->script);
  command->add_flag("--json", flags->json, "One JSON object");
  command->footer(
      "Looks at the script and at the files it names, not at what is in them. Runs nothing, needs "
      "no\n"
      "hub and no Python. Exit code: 0 fine (warnings may be there), 2 there are errors.\n"
      "  bue check example.bue\n"
      "JSON: file, ok, diagnostics [{severity, line, column, message, hint}], program {script,\n"
      "files, steps, regions, nodes, values} or null.");
  command->callback([flags, action] { *action = [flags] { return Check(*flags); }; });
}

}  // namespace bue::cli
