#include "worker/python/package.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace bue::worker {
namespace {

namespace fs = std::filesystem;

std::string DirectoryName() {
  std::string all;
  for (int i = 0; i < kPackageFileCount; ++i) {
    absl::StrAppend(&all, kPackageFiles[i].path, "\n", kPackageFiles[i].size, "\n");
    all.append(kPackageFiles[i].data, kPackageFiles[i].size);
  }
  return absl::StrCat("runner-", absl::BytesToHexString(Sha256(all)).substr(0, 16));
}

absl::Status Failed(const std::string& path, const std::error_code& error) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot write the Python runner to ", path, ": ", error.message(),
                   "; give a directory that can be written with --state"));
}

absl::Status WriteFiles(const fs::path& root) {
  std::error_code error;
  for (int i = 0; i < kPackageFileCount; ++i) {
    const PackageFile& file = kPackageFiles[i];
    const fs::path path = root / file.path;
    fs::create_directories(path.parent_path(), error);
    if (error) return Failed(path.string(), error);
    std::ofstream out(path, std::ios::binary);
    out.write(file.data, static_cast<std::streamsize>(file.size));
    out.close();
    if (!out) return Failed(path.string(), std::error_code(errno, std::generic_category()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> UnpackRunnerPackage(const std::string& parent) {
  std::error_code error;
  const fs::path root = fs::absolute(parent, error) / DirectoryName();
  if (fs::exists(root, error)) return root.string();
  const fs::path draft = absl::StrCat(root.string(), ".", getpid());
  RETURN_IF_ERROR(WriteFiles(draft));
  fs::rename(draft, root, error);
  if (error && !fs::exists(root)) return Failed(root.string(), error);
  std::error_code ignored;
  fs::remove_all(draft, ignored);  // Somebody else was quicker.
  return root.string();
}

}  // namespace bue::worker
