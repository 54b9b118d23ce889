#include "cli/script.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/lang/diagnostic.h"
#include "common/lang/script_files.h"
#include "common/status_macros.h"

namespace bue::cli {

void AddScriptFlags(CLI::App* command, ScriptFlags* flags) {
  command->add_option("FILE,-f,--file,--file-path", flags->file, "The .bue script")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--include", flags->include,
                   "Further files that travel with the script: `data/*.csv`, `lib/**`; repeatable")
      ->type_name("GLOB")
      ->allow_extra_args(false);
}

absl::StatusOr<CompiledScript> CompileScript(const ScriptFlags& flags) {
  lang::ScriptFiles files(flags.file);
  CompiledScript script;
  script.name = flags.file;
  ASSIGN_OR_RETURN(script.text, files.ReadScript());
  lang::CompileOptions options;
  ASSIGN_OR_RETURN(options.include, files.Expand(flags.include));
  script.result = lang::Compile(script.text, files.script_name(), &files, options);
  return script;
}

std::string FormatScript(const CompiledScript& script) {
  std::string text = lang::FormatDiagnostics(script.result.diagnostics, script.name, script.text);
  if (script.result.program.has_value() && script.result.program->nodes.empty()) {
    absl::StrAppend(&text, script.name,
                    ": warning: the script calls no step: a run of it has nothing to do and "
                    "succeeds at once; call a pipe, as in `v = my_pipe()`\n");
  }
  return text;
}

NewRun ToNewRun(const CompiledScript& script, const ScriptFlags& flags) {
  NewRun run;
  run.key = HubClient::MakeKey();
  run.name = flags.file;
  run.program = &*script.result.program;
  for (const auto& [sha256, data] : script.result.contents) {
    run.files.push_back({.sha256 = sha256, .data = data});
  }
  return run;
}

}  // namespace bue::cli
