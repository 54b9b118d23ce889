// ScriptFiles reads a script and the files beside it from the disk: the FileSource of `bue check`,
// `upload` and `run`. Which files travel is decided in file_collector.h.
// Not thread-safe.
#ifndef BUE_COMMON_LANG_SCRIPT_FILES_H_
#define BUE_COMMON_LANG_SCRIPT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/lang/compiler.h"

namespace bue::lang {

struct ScriptFilesLimits {
  uint64_t script_bytes = 64 << 20;
  uint64_t file_bytes = 256 << 20;
  uint32_t included_files = 10'000;
};

class ScriptFiles final : public FileSource {
 public:
  // `script_path` as the user gave it; nothing is read yet.
  explicit ScriptFiles(std::string script_path, ScriptFilesLimits limits = {});

  // The script's file name without its folders, for Program::script and messages.
  const std::string& script_name() const { return script_name_; }

  // The script's bytes, whatever they are: Compile says if they are no text. Errors name the path.
  absl::StatusOr<std::string> ReadScript() const;

  absl::StatusOr<std::string> Read(absl::string_view path) override;

  // The files that `--include` patterns mean, as sorted paths relative to the script's folder. `*`,
  // `?`, `[a-z]` match within one component, `**` any number of folders; a folder stands for all
  // files below it. Names that begin with a dot match only if the pattern spells the dot. A pattern
  // that matches nothing, is absolute or leaves the folder is an error naming it.
  absl::StatusOr<std::vector<std::string>> Expand(absl::Span<const std::string> patterns) const;

 private:
  // Constant after construction.
  std::string script_path_;
  std::string script_name_;
  std::string folder_;  // Of the script; "." if it has none.
  ScriptFilesLimits limits_;
};

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_SCRIPT_FILES_H_
