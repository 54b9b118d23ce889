#include "cli/new_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "cli/role_flags.h"

namespace bue::cli {

namespace fs = std::filesystem;

NewDirectory::NewDirectory(const std::string& path) {
  std::error_code error;
  fs::path folder = fs::absolute(path, error).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // It ended in a slash.
  while (!error && !fs::exists(folder, error) && folder.has_relative_path()) {
    missing_.push_back(folder.string());
    folder = folder.parent_path();
  }
}

void NewDirectory::Remove(const std::string& lock) const {
  if (missing_.empty()) return;
  const std::string& path = missing_.front();
  const int file = open((path + "/" + lock).c_str(), O_RDWR | O_CLOEXEC);
  if (file >= 0) {
    // Held meanwhile: nobody else begins to use what goes.
    if (flock(file, LOCK_EX | LOCK_NB) == 0) RemoveDirectory(path);
    close(file);
  }
  RemoveIfEmpty();
}

void NewDirectory::RemoveIfEmpty() const {
  for (const std::string& folder : missing_) {
    if (rmdir(folder.c_str()) != 0 && fs::exists(folder)) return;
  }
}

}  // namespace bue::cli
