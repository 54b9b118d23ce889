#include "worker/core/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"

namespace bue::worker {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "worker-";
constexpr char kLockName[] = "/lock";

std::string DefaultRoot() {
  const char* tmp = std::getenv("TMPDIR");
  return absl::StrCat(tmp == nullptr || *tmp == '\0' ? "/tmp" : tmp, "/bue-", getuid());
}

// The locked file, or -1 if somebody else holds it or it cannot be opened.
int TryLock(const std::string& directory, int flags) {
  const int file = open((directory + kLockName).c_str(), flags | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return file;
  close(file);
  return -1;
}

void RemoveAbandoned(const std::string& root) {
  std::error_code error;
  for (fs::directory_iterator entry(root, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!absl::StartsWith(entry->path().filename().string(), kPrefix)) continue;
    const int lock = TryLock(entry->path().string(), 0);
    if (lock < 0) continue;
    std::error_code ignored;
    fs::remove_all(entry->path(), ignored);
    close(lock);
    log::info("state of a dead worker removed path={}", entry->path().string());
  }
}

absl::Status CannotWrite(const std::string& path, const std::string& why) {
  return absl::PermissionDeniedError(absl::StrCat("cannot write the worker's state to ", path, ": ",
                                                  why, "; choose another directory with --data"));
}

// Between its making and its locking a directory looks abandoned: then another worker, which starts
// at the same moment, may remove it.
constexpr int kTries = 10;

}  // namespace

absl::StatusOr<std::unique_ptr<StateDir>> StateDir::Make(const std::string& given) {
  const std::string root = given.empty() ? DefaultRoot() : given;
  std::error_code error;
  fs::create_directories(root, error);
  if (error) return CannotWrite(root, error.message());
  RemoveAbandoned(root);
  const std::string absolute = fs::absolute(root, error).string();
  if (error) return CannotWrite(root, error.message());
  for (int tries = 0; tries < kTries; ++tries) {
    std::string path = absl::StrCat(absolute, "/", kPrefix, getpid(), "-XXXXXX");
    if (mkdtemp(path.data()) == nullptr) return CannotWrite(root, std::strerror(errno));
    const int lock = TryLock(path, O_CREAT);
    if (lock < 0) continue;
    if (fs::exists(path + kLockName, error)) {
      return std::unique_ptr<StateDir>(new StateDir(std::move(path), lock));
    }
    close(lock);
  }
  return CannotWrite(root, std::strerror(errno));
}

StateDir::~StateDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  close(lock_);
}

}  // namespace bue::worker
