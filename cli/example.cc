// `bue example`: a script and its steps to start from.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/example_text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

struct ExampleFile {
  const char* name;
  const char* text;
};

constexpr ExampleFile kFiles[] = {{"example.bue", kExampleScript}, {"example.py", kExampleSteps}};

struct Flags {
  bool force = false;
};

absl::Status RefuseExisting() {
  for (const ExampleFile& file : kFiles) {
    std::error_code ignored;
    if (std::filesystem::exists(std::filesystem::symlink_status(file.name, ignored))) {
      return absl::AlreadyExistsError(
          absl::StrCat(file.name, " is here already, nothing was written; --force overwrites it"));
    }
  }
  return absl::OkStatus();
}

absl::Status Write(const ExampleFile& file) {
  std::ofstream stream(file.name, std::ios::binary | std::ios::trunc);
  stream << file.text;
  stream.close();
  if (!stream) return absl::UnavailableError(absl::StrCat("cannot write ", file.name));
  return absl::OkStatus();
}

absl::StatusOr<int> WriteExample(const Flags& flags) {
  if (!flags.force) RETURN_IF_ERROR(RefuseExisting());
  for (const ExampleFile& file : kFiles) RETURN_IF_ERROR(Write(file));
  absl::PrintF("Wrote example.bue and example.py. Run them: bue run -f example.bue\n");
  return kExitOk;
}

}  // namespace

void AddExample(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("example", "Write example.bue and example.py to start from");
  command->add_flag("--force", flags->force, "Overwrite files of these names");
  command->footer("  bue example && bue run -f example.bue");
  command->callback([flags, action] { *action = [flags] { return WriteExample(*flags); }; });
}

}  // namespace bue::cli
