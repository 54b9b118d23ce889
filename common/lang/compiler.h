// Compile turns the text of a `.bue` script into a Program, or says everything that is wrong with
// it. The language is described in README.md of this room; Program in common/program/program.h.
//
//   ScriptFiles files(script_path);
//   ASSIGN_OR_RETURN(std::string text, files.ReadScript());
//   CompileResult compiled = Compile(text, files.script_name(), &files);
//   std::cerr << FormatDiagnostics(compiled.diagnostics, files.script_name(), text);
//   if (!compiled.program) return 2;
//
// Pure but for the FileSource it is given. Thread-safe: it keeps nothing between calls.
#ifndef BUE_COMMON_LANG_COMPILER_H_
#define BUE_COMMON_LANG_COMPILER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/lang/diagnostic.h"
#include "common/program/program.h"

namespace bue::lang {

// Where Compile finds the files that steps name and the modules that those import.
class FileSource {
 public:
  virtual ~FileSource() = default;

  // The bytes of the file at `path`: '/' separated, relative to the script's folder, without `.`
  // and inner `..` components; absolute only if the script says so. NotFound: there is no such
  // file. Anything else (a directory, no permission, too big): the message says which, without the
  // path.
  virtual absl::StatusOr<std::string> Read(absl::string_view path) = 0;
};

// What a script may be at most. Each is hit by a test and named in its error.
struct CompileLimits {
  uint64_t script_bytes = 64 << 20;
  uint32_t nesting_depth = 64;     // Loops in loops.
  uint32_t name_characters = 200;  // Names, scopes, functions, tables.
  uint32_t path_bytes = 4096;
  uint32_t pipe_steps = 10'000;  // Steps of one pipe.
  uint32_t call_arguments = 10'000;
  uint32_t nodes = 20'000'000;            // Steps of all calls together.
  uint32_t files = 10'000;                // That travel with the script.
  uint64_t files_bytes = 1ull << 30;      // Of all those together.
  uint64_t inline_code_bytes = 64 << 20;  // Of all steps together.
  uint64_t range_elements = 1'000'000'000'000;
  uint32_t diagnostics = 100;  // Further ones are counted, not listed.
};

struct CompileOptions {
  std::vector<std::string> include;  // Further files that travel: paths, see ScriptFiles::Expand.
  CompileLimits limits;
};

struct CompileResult {
  std::optional<Program> program;       // Absent if there is any error.
  std::vector<Diagnostic> diagnostics;  // By line. Warnings do not keep a program from being made.

  // The files' bytes by their SHA-256 (32 raw bytes, File::sha256).
  absl::flat_hash_map<std::string, std::string> contents;
};

// Compiles `script_text`, reporting all of its errors at once. `script_name` is for people. Reads
// the files that travel from `files`; with nullptr it looks at none, and the program's files have
// size 0 and a hash of zeros (for tools that only want the shape).
CompileResult Compile(absl::string_view script_text, absl::string_view script_name,
                      FileSource* files, const CompileOptions& options = {});

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_COMPILER_H_
