#include "common/lang/script_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace bue::lang {
namespace {

namespace fs = std::filesystem;

// The bytes of a regular file. The messages do not name it. Pipes and devices are not touched.
absl::StatusOr<std::string> ReadWhole(const fs::path& path, uint64_t bytes_max) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found || error == std::errc::not_a_directory) {
    return absl::NotFoundError("there is no such file");
  }
  if (error) return absl::UnavailableError(absl::StrCat("cannot be read: ", error.message()));
  if (fs::is_directory(status)) return absl::FailedPreconditionError("is a folder, not a file");
  if (!fs::is_regular_file(status)) return absl::FailedPreconditionError("is not a regular file");
  const uint64_t size = fs::file_size(path, error);
  if (!error && size > bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("has ", size, " bytes: at most ", bytes_max, " are allowed"));
  }
  std::ifstream stream(path, std::ios::binary);
  std::string bytes(error ? 0 : size, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (error || !stream.is_open() || static_cast<uint64_t>(stream.gcount()) != bytes.size()) {
    return absl::UnavailableError(absl::StrCat("cannot be read: ", std::strerror(errno)));
  }
  return bytes;
}

bool Matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0;
}

// One walk through the folders for one pattern.
class Expansion {
 public:
  Expansion(fs::path folder, uint32_t most) : folder_(std::move(folder)), most_(most) {}

  // Matches the components of a pattern from `next` on against what is in `path` (relative).
  absl::Status Walk(const fs::path& path, const std::vector<std::string>& pattern, size_t next) {
    if (next == pattern.size()) return AddAll(path);
    const std::string& component = pattern[next];
    if (component == "**") {
      RETURN_IF_ERROR(Walk(path, pattern, next + 1));
      for (const fs::path& entry : Entries(path)) {
        const bool hidden = absl::StartsWith(entry.filename().string(), ".");
        if (!hidden && IsOwnFolder(entry)) RETURN_IF_ERROR(Walk(entry, pattern, next));
      }
      return absl::OkStatus();
    }
    for (const fs::path& entry : Entries(path)) {
      if (Matches(component, entry.filename().string())) {
        RETURN_IF_ERROR(Walk(entry, pattern, next + 1));
      }
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Take() { return std::move(found_); }

 private:
  // What lies in a folder, sorted; nothing if it is none.
  std::vector<fs::path> Entries(const fs::path& path) const {
    std::vector<fs::path> entries;
    std::error_code error;
    for (fs::directory_iterator at(folder_ / path, error), end; !error && at != end;
         at.increment(error)) {
      entries.push_back(path / at->path().filename());
    }
    std::sort(entries.begin(), entries.end());
    return entries;
  }

  // A folder that is not a symbolic link: those may lead in circles.
  bool IsOwnFolder(const fs::path& path) const {
    std::error_code error;
    return fs::is_directory(fs::symlink_status(folder_ / path, error));
  }

  // Adds a file, or all files below a folder.
  absl::Status AddAll(const fs::path& path) {
    std::error_code error;
    if (fs::is_regular_file(folder_ / path, error)) {
      if (found_.size() == most_) {
        return absl::ResourceExhaustedError(absl::StrCat("it matches more than ", most_, " files"));
      }
      found_.push_back(path.generic_string());
      return absl::OkStatus();
    }
    if (!IsOwnFolder(path)) return absl::OkStatus();
    for (const fs::path& entry : Entries(path)) {
      if (!absl::StartsWith(entry.filename().string(), ".")) RETURN_IF_ERROR(AddAll(entry));
    }
    return absl::OkStatus();
  }

  const fs::path folder_;
  const uint32_t most_;
  std::vector<std::string> found_;
};

absl::StatusOr<std::vector<std::string>> Components(absl::string_view pattern) {
  std::vector<std::string> components;
  for (const absl::string_view part : absl::StrSplit(pattern, '/')) {
    if (part == "..") return absl::InvalidArgumentError("it must not leave the script's folder");
    if (!part.empty() && part != ".") components.emplace_back(part);
  }
  if (absl::StartsWith(pattern, "/")) {
    return absl::InvalidArgumentError("it must be relative to the script's folder");
  }
  if (components.empty()) return absl::InvalidArgumentError("it is empty");
  return components;
}

absl::Status AboutPattern(absl::string_view pattern, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("--include '", pattern, "': ", status.message()));
}

}  // namespace

ScriptFiles::ScriptFiles(std::string script_path, ScriptFilesLimits limits)
    : script_path_(std::move(script_path)), limits_(limits) {
  const fs::path path(script_path_);
  script_name_ = path.filename().string();
  folder_ = path.has_parent_path() ? path.parent_path().string() : ".";
}

absl::StatusOr<std::string> ScriptFiles::ReadScript() const {
  absl::StatusOr<std::string> bytes = ReadWhole(script_path_, limits_.script_bytes);
  if (bytes.ok()) return bytes;
  return absl::Status(bytes.status().code(),
                      absl::StrCat(script_path_, ": ", bytes.status().message()));
}

absl::StatusOr<std::string> ScriptFiles::Read(absl::string_view path) {
  // An absolute path replaces the folder.
  return ReadWhole(fs::path(folder_) / std::string(path), limits_.file_bytes);
}

absl::StatusOr<std::vector<std::string>> ScriptFiles::Expand(
    absl::Span<const std::string> patterns) const {
  std::vector<std::string> all;
  for (const std::string& pattern : patterns) {
    const absl::StatusOr<std::vector<std::string>> components = Components(pattern);
    if (!components.ok()) return AboutPattern(pattern, components.status());
    Expansion expansion(folder_, limits_.included_files);
    const absl::Status walked = expansion.Walk(fs::path(), *components, 0);
    if (!walked.ok()) return AboutPattern(pattern, walked);
    const std::vector<std::string> found = expansion.Take();
    if (found.empty()) {
      return AboutPattern(pattern,
                          absl::NotFoundError("there are no files like this beside the script"));
    }
    all.insert(all.end(), found.begin(), found.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace bue::lang
