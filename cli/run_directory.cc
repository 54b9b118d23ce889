#include "cli/run_directory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/role_flags.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "run-";
constexpr char kLock[] = "/lock";
// Whatever is locked when somebody uses the directory: ours, the hub's and the bucket's.
constexpr const char* kLocks[] = {kLock, "/hub/bue-hub", "/bucket/LOCK"};
// Between its making and its locking a directory looks like nobody's.
constexpr absl::Duration kJustMade = absl::Minutes(1);

bool InUse(const std::string& path) {
  for (const char* const name : kLocks) {
    const int file = open((path + name).c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    const bool locked = flock(file, LOCK_SH | LOCK_NB) != 0;
    close(file);  // And with it the lock, if it was ours.
    if (locked) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunDirectory>> RunDirectory::Make(const std::string& parent) {
  RETURN_IF_ERROR(MakeDirectory(parent));
  std::string path = absl::StrCat(parent, "/", kPrefix, "XXXXXX");
  int lock = -1;
  if (mkdtemp(path.data()) != nullptr) {
    lock = open((path + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const std::string why = std::strerror(errno);
    if (lock >= 0) close(lock);
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make a directory in ", parent, "/: ", why));
  }
  return absl::WrapUnique(new RunDirectory(std::move(path), lock));
}

RunDirectory::~RunDirectory() { close(lock_); }

void RunDirectory::Remove() { RemoveDirectory(path_); }

void RunDirectory::RemoveOld(const std::string& parent, size_t keep) {
  std::vector<std::pair<absl::Time, std::string>> found;
  std::error_code error;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!absl::StartsWith(entry->path().filename().string(), kPrefix)) continue;
    struct stat about;
    if (stat(entry->path().c_str(), &about) != 0 || !S_ISDIR(about.st_mode)) continue;
    found.emplace_back(absl::TimeFromTimespec(about.st_mtim), entry->path().string());
  }
  std::sort(found.rbegin(), found.rend());
  const absl::Time old = absl::Now() - kJustMade;
  for (size_t i = keep; i < found.size(); ++i) {
    const auto& [made, path] = found[i];
    if (made <= old && !InUse(path)) RemoveDirectory(path);
  }
}

}  // namespace bue::cli
