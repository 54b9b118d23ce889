#include "common/lang/file_collector.h"

#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/lang/python_imports.h"
#include "common/sha256.h"

namespace bue::lang {
namespace {

std::string Folder(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? "" : std::string(path.substr(0, slash));
}

std::string Join(absl::string_view folder, absl::string_view name) {
  return folder.empty() ? std::string(name) : absl::StrCat(folder, "/", name);
}

// Where absolute imports of a file in `folder` are looked for, nearest first.
std::vector<std::string> SearchFolders(std::string folder) {
  std::vector<std::string> folders = {folder};
  const bool outside = absl::StartsWith(folder, "..") || absl::StartsWith(folder, "/");
  if (outside) {
    folders.push_back("");
    return folders;
  }
  while (!folder.empty()) {
    folder = Folder(folder);
    folders.push_back(folder);
  }
  return folders;
}

bool IsText(absl::string_view bytes) {
  return ValidUtf8Prefix(bytes) == bytes.size() && bytes.find('\0') == absl::string_view::npos;
}

class FileCollector {
 public:
  FileCollector(const SyntaxTree& tree, const Definitions& definitions, FileSource* files,
                const CompileOptions& options, Report* report)
      : tree_(tree),
        definitions_(definitions),
        files_(files),
        options_(options),
        report_(*report) {}

  CollectedFiles Collect() {
    collected_.of_source.resize(tree_.sources.size(), kNoFile);
    std::vector<bool> seen(tree_.sources.size());
    for (uint32_t i = 0; i < tree_.steps.size(); ++i) {
      const StepDefinition& step = tree_.steps[i];
      if (step.broken || definitions_.IsHidden(i) || seen[step.source]) continue;
      seen[step.source] = true;
      AddSource(step);
    }
    if (files_ != nullptr) {
      ScanWaiting();
      for (const std::string& path : options_.include) AddIncluded(path);
    }
    return std::move(collected_);
  }

 private:
  // Python code whose imports are still to be looked at.
  struct Waiting {
    std::string folder;
    std::string code;
  };

  void AddSource(const StepDefinition& step) {
    const StepSource& source = tree_.sources[step.source];
    if (source.is_inline) {
      if (step.language == Language::kPython) waiting_.push_back({"", source.text});
      return;
    }
    const std::string path = NormalizePath(source.text);
    const auto known = index_.find(path);
    if (known != index_.end()) {
      collected_.of_source[step.source] = known->second;
      if (known->second == kNoFile) ReportUnreadable(step, path, failures_[path]);
      return;
    }
    const absl::StatusOr<std::string> bytes = Read(path);
    if (!bytes.ok()) {
      failures_[path] = bytes.status();
      return ReportUnreadable(step, path, bytes.status());
    }
    if (!IsText(*bytes)) {
      ReportUnreadable(step, path, absl::InvalidArgumentError("is not a text file in UTF-8"));
    }
    collected_.of_source[step.source] = Add(path, *bytes, source.at);
    if (step.language == Language::kPython) waiting_.push_back({Folder(path), *bytes});
  }

  void ReportUnreadable(const StepDefinition& step, absl::string_view path,
                        const absl::Status& why) {
    const absl::string_view name = tree_.names.Text(step.name);
    const Position at = tree_.sources[step.source].at;
    if (absl::IsNotFound(why)) {
      return report_.Error(at, absl::StrCat("step '", name, "': there is no file '", path, "'"),
                           "paths are relative to the script's folder");
    }
    report_.Error(at, absl::StrCat("step '", name, "': '", path, "' ", why.message()));
  }

  // Nothing if no files are looked at.
  absl::StatusOr<std::string> Read(const std::string& path) {
    if (files_ == nullptr) return std::string();
    absl::StatusOr<std::string> bytes = files_->Read(path);
    if (!bytes.ok()) index_.emplace(path, kNoFile);
    return bytes;
  }

  uint32_t Add(const std::string& path, std::string bytes, Position at) {
    const auto index = static_cast<uint32_t>(collected_.files.size());
    index_[path] = index;
    bytes_ += bytes.size();
    if (collected_.files.size() == options_.limits.files) {
      report_.Error(at, absl::StrCat("more than ", options_.limits.files,
                                     " files would travel with the script"));
    }
    if (bytes_ > options_.limits.files_bytes &&
        bytes_ - bytes.size() <= options_.limits.files_bytes) {
      report_.Error(at,
                    absl::StrCat("the files that travel with the script, up to '", path,
                                 "', are larger than ", options_.limits.files_bytes, " bytes"),
                    "put large data where the workers can read it");
    }
    const std::string sha256 = files_ == nullptr ? std::string(kSha256Bytes, '\0') : Sha256(bytes);
    collected_.files.push_back(File{path, sha256, bytes.size()});
    const bool full =
        collected_.files.size() > options_.limits.files || bytes_ > options_.limits.files_bytes;
    if (files_ != nullptr && !full) collected_.contents.emplace(sha256, std::move(bytes));
    return index;
  }

  void AddIncluded(absl::string_view given) {
    const std::string path = NormalizePath(given);
    const auto known = index_.find(path);
    if (known != index_.end() && known->second != kNoFile) return;
    const absl::StatusOr<std::string> bytes = Read(path);
    if (bytes.ok()) {
      Add(path, *bytes, {});
      return;
    }
    report_.Error({}, absl::StrCat("included file '", path, "': ", bytes.status().message()));
  }

  void ScanWaiting() {
    while (!waiting_.empty()) {
      const Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      const std::vector<std::string> search = SearchFolders(next.folder);
      for (const PythonImport& import : FindPythonImports(next.code)) {
        if (import.dots > 0) {
          AddRelative(import, next.folder);
          continue;
        }
        for (const std::string& folder : search) {
          if (AddModule(import, folder)) break;
        }
      }
    }
  }

  void AddRelative(const PythonImport& import, std::string folder) {
    for (size_t i = 1; i < import.dots; ++i) {
      if (folder.empty()) return;
      folder = Folder(folder);
    }
    AddModule(import, folder);
  }

  // Adds the files that `import` means if it is found in `folder`; false if there are none.
  bool AddModule(const PythonImport& import, std::string folder) {
    bool found = false;
    for (size_t i = 0; i < import.module.size(); ++i) {
      folder = Join(folder, import.module[i]);
      const bool is_last = i + 1 == import.module.size();
      if (is_last && AddPython(folder + ".py")) found = true;
      if (AddPython(Join(folder, "__init__.py"))) found = true;
    }
    if (import.module.empty() && AddPython(Join(folder, "__init__.py"))) found = true;
    for (const std::string& name : import.names) {  // Submodules, maybe.
      if (AddPython(Join(folder, name + ".py"))) found = true;
      if (AddPython(Join(Join(folder, name), "__init__.py"))) found = true;
    }
    return found;
  }

  // Adds a module and has its imports looked at, if there is such a file.
  bool AddPython(const std::string& path) {
    const auto known = index_.find(path);
    if (known != index_.end()) return known->second != kNoFile;
    if (collected_.files.size() > options_.limits.files) return false;
    absl::StatusOr<std::string> bytes = Read(path);
    if (!bytes.ok()) return false;
    Add(path, *bytes, {});
    waiting_.push_back({Folder(path), *std::move(bytes)});
    return true;
  }

  const SyntaxTree& tree_;
  const Definitions& definitions_;
  FileSource* const files_;
  const CompileOptions& options_;
  Report& report_;

  CollectedFiles collected_;
  absl::flat_hash_map<std::string, uint32_t> index_;  // By path; kNoFile: cannot be read.
  absl::flat_hash_map<std::string, absl::Status> failures_;
  std::deque<Waiting> waiting_;
  uint64_t bytes_ = 0;
};

}  // namespace

std::string NormalizePath(absl::string_view path) {
  const bool absolute = absl::StartsWith(path, "/");
  std::vector<absl::string_view> parts;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (part != ".." || !absolute) {
      parts.push_back(part);
    }
  }
  const std::string joined = absl::StrJoin(parts, "/");
  if (absolute) return "/" + joined;
  return joined.empty() ? "." : joined;
}

CollectedFiles CollectFiles(const SyntaxTree& tree, const Definitions& definitions,
                            FileSource* files, const CompileOptions& options, Report* report) {
  return FileCollector(tree, definitions, files, options, report).Collect();
}

}  // namespace bue::lang
