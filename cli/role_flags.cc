#include "cli/role_flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace bue::cli {

void AddRoleFlags(CLI::App* command, RoleFlags* flags) {
  command
      ->add_option("--token-file", flags->token_file, "File with the cluster token (or BUE_TOKEN)")
      ->type_name("FILE");
  command->add_option("--log-level", flags->log_level, "What is logged to standard error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->type_name("LEVEL")
      ->capture_default_str();
}

void AddInsecureFlag(CLI::App* command, RoleFlags* flags) {
  command->add_flag("--insecure", flags->insecure,
                    "Listen beyond this machine although there is no token");
}

std::vector<std::string> SplitList(const std::vector<std::string>& given) {
  std::vector<std::string> parts;
  for (const std::string& text : given) {
    for (const absl::string_view part : absl::StrSplit(text, ',')) {
      const absl::string_view trimmed = absl::StripAsciiWhitespace(part);
      if (!trimmed.empty()) parts.emplace_back(trimmed);
    }
  }
  return parts;
}

void PrintReady(absl::string_view line) {
  absl::FPrintF(stdout, "%s\n", line);
  std::fflush(stdout);
}

absl::Status MakeDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && std::filesystem::is_directory(path, error)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot make the directory '", path,
                   "': ", error ? error.message() : "something else is in its place"));
}

void RemoveDirectory(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

}  // namespace bue::cli
