// Reading and compiling a script, as check, upload and run do it first: everything wrong is said at
// once, on standard error, and nothing else happens then.
#ifndef BUE_CLI_SCRIPT_H_
#define BUE_CLI_SCRIPT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/hub_client/hub_client.h"
#include "common/lang/compiler.h"

namespace CLI {
class App;
}  // namespace CLI

namespace bue::cli {

struct ScriptFlags {
  std::string file;
  std::vector<std::string> include;
};

// Adds FILE, also as -f, --file, --file-path, and --include.
void AddScriptFlags(CLI::App* command, ScriptFlags* flags);

struct CompiledScript {
  std::string text;
  std::string name;
  lang::CompileResult result;
};

// Reads and compiles. An error only when the script itself cannot be read; what is wrong in it
// stands in result.diagnostics.
absl::StatusOr<CompiledScript> CompileScript(const ScriptFlags& flags);

// The diagnostics as text for people.
std::string FormatScript(const CompiledScript& script);

// The run to upload: `script` has a program and outlives it.
NewRun ToNewRun(const CompiledScript& script, const ScriptFlags& flags);

}  // namespace bue::cli

#endif  // BUE_CLI_SCRIPT_H_
