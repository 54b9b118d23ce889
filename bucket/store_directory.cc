#include "bucket/store_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bucket/object_rows.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

namespace fs = std::filesystem;

constexpr char kIdentityFile[] = "BUCKET";
constexpr char kSequenceFile[] = "SEQUENCE";
constexpr char kHubFile[] = "HUB";
constexpr char kLockFile[] = "LOCK";
constexpr char kMagic[] = "bue bucket";

absl::Status CannotUse(const std::string& path, int error) {
  if (error == ENOSPC) {
    return absl::ResourceExhaustedError(
        absl::StrCat("data directory '", path, "': no space left on its disk; make room"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat("data directory '", path, "' cannot be written: ", std::strerror(error),
                   "; make it writable for this user or choose another with --data"));
}

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

absl::Status SyncPath(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotUse(path, errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : CannotUse(path, error);
}

uint16_t RandomStoreId() {
  std::random_device source;
  return static_cast<uint16_t>(std::uniform_int_distribution<int>(1, UINT16_MAX)(source));
}

absl::Status NotOurs(const std::string& path) {
  std::error_code error;
  const bool hub = fs::exists(fs::path(path) / "bue-hub", error);
  return absl::FailedPreconditionError(absl::StrCat(
      "directory '", path, "' holds files but is not a bucket's data directory (no ",
      "file BUCKET in it)", hub ? ": it is a hub's, each role needs a directory of its own" : "",
      "; choose an empty or new one with --data"));
}

// Whether anything lies there that we would not have made before the identity file.
bool HoldsSomethingElse(const std::string& path) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (name != kLockFile && name != kSequenceFile && !absl::EndsWith(name, ".new")) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreDirectory>> StoreDirectory::Open(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path)) {
    return CannotUse(path, error ? error.value() : ENOTDIR);
  }
  // Looked at before anything is made there: what is not ours is to stay as it is.
  if (!fs::exists(fs::path(path) / kIdentityFile, error) && HoldsSomethingElse(path)) {
    return NotOurs(path);
  }
  std::unique_ptr<StoreDirectory> directory(new StoreDirectory(path));
  RETURN_IF_ERROR(directory->Lock());
  RETURN_IF_ERROR(directory->LoadOrCreate());
  return directory;
}

absl::StatusOr<StoreDirectory::Look> StoreDirectory::LookAt(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat("there is no directory '", path, "'"));
  }
  StoreDirectory directory(path);
  const std::optional<std::string> identity = ReadFile(absl::StrCat(path, "/", kIdentityFile));
  if (!identity.has_value()) return NotOurs(path);
  RETURN_IF_ERROR(directory.LoadIdentity(*identity));
  RETURN_IF_ERROR(directory.LoadSequence());
  Look look{
      .format = kFormatVersion, .store_id = directory.store_id_, .reserved = directory.reserved_};
  const std::string lock = absl::StrCat(path, "/", kLockFile);
  const int fd = open(lock.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
      look.in_use_by = absl::StrCat("process ", ReadFile(lock).value_or("unknown"));
    }
    close(fd);  // And with it the lock, if it was ours.
  }
  return look;
}

StoreDirectory::~StoreDirectory() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::Status StoreDirectory::Lock() {
  const std::string path = absl::StrCat(path_, "/", kLockFile);
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd_ < 0) return CannotUse(path_, errno);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    const std::string holder = ReadFile(path).value_or("");
    return absl::FailedPreconditionError(absl::StrCat(
        "data directory '", path_, "' is in use by another bucket (process ",
        holder.empty() ? "unknown" : holder, "); stop it or choose another directory with --data"));
  }
  const std::string pid = absl::StrCat(getpid());
  if (ftruncate(lock_fd_, 0) != 0 || pwrite(lock_fd_, pid.data(), pid.size(), 0) < 0) {
    return CannotUse(path_, errno);
  }
  return absl::OkStatus();
}

absl::Status StoreDirectory::LoadOrCreate() {
  const std::optional<std::string> identity = ReadFile(absl::StrCat(path_, "/", kIdentityFile));
  if (!identity.has_value()) return Create();
  RETURN_IF_ERROR(LoadIdentity(*identity));
  return LoadSequence();
}

absl::Status StoreDirectory::LoadIdentity(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  int version = 0;
  if (lines.size() < 2 || lines[0] != kMagic || !absl::StartsWith(lines[1], "format ") ||
      !absl::SimpleAtoi(lines[1].substr(7), &version)) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory '", path_, "': its file BUCKET is not a bucket's; choose an ",
                     "empty or new directory with --data"));
  }
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory '", path_, "' has format ", version, ", this program reads ",
                     kFormatVersion, "; use the version of bue that wrote it, or another directory",
                     " with --data"));
  }
  uint32_t store = 0;
  if (lines.size() < 3 || !absl::StartsWith(lines[2], "store ") ||
      !absl::SimpleAtoi(lines[2].substr(6), &store) || store == 0 || store > UINT16_MAX) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory '", path_, "': its file BUCKET names no store id from 1 to ",
                     UINT16_MAX, "; restore the file from a copy"));
  }
  store_id_ = static_cast<uint16_t>(store);
  return absl::OkStatus();
}

absl::Status StoreDirectory::LoadSequence() {
  const std::string text = ReadFile(absl::StrCat(path_, "/", kSequenceFile)).value_or("");
  if (!absl::SimpleAtoi(text, &reserved_)) {
    return absl::FailedPreconditionError(
        absl::StrCat("data directory '", path_, "': its file SEQUENCE is missing or holds no ",
                     "number; restore it, with a number above that of any object"));
  }
  return absl::OkStatus();
}

absl::Status StoreDirectory::Create() {
  if (HoldsSomethingElse(path_)) {
    return NotOurs(path_);
  }
  store_id_ = RandomStoreId();
  RETURN_IF_ERROR(Reserve(1));
  // Last, since it is what makes the directory a bucket's.
  return WriteDurably(kIdentityFile, absl::StrCat(kMagic, "\nformat ", kFormatVersion, "\nstore ",
                                                  store_id_, "\n"));
}

absl::Status StoreDirectory::Reserve(uint64_t below) {
  RETURN_IF_ERROR(WriteDurably(kSequenceFile, absl::StrCat(below)));
  reserved_ = below;
  return absl::OkStatus();
}

absl::Status StoreDirectory::ClaimFor(const std::string& hub) {
  if (hub_.empty()) hub_ = ReadFile(absl::StrCat(path_, "/", kHubFile)).value_or("");
  if (hub_ == hub) return absl::OkStatus();
  if (!hub_.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the values in data directory '", path_, "' belong to hub ", hub_, ", not to hub ", hub,
        ", which must not sweep them; if that hub is gone for good, stop the bucket and remove "
        "the ",
        "file HUB there"));
  }
  RETURN_IF_ERROR(WriteDurably(kHubFile, hub));
  hub_ = hub;
  return absl::OkStatus();
}

absl::Status StoreDirectory::WriteDurably(const std::string& name,
                                          const std::string& content) const {
  const std::string path = absl::StrCat(path_, "/", name);
  const std::string next = path + ".new";
  {
    std::ofstream file(next, std::ios::binary | std::ios::trunc);
    file << content;
    if (!file.flush()) return CannotUse(path_, errno);
  }
  RETURN_IF_ERROR(SyncPath(next));
  if (rename(next.c_str(), path.c_str()) != 0) return CannotUse(path_, errno);
  return SyncPath(path_);
}

}  // namespace bue::bucket
