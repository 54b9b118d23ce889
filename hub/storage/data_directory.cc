#include "hub/storage/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace bue::hub {
namespace {

namespace fs = std::filesystem;

// The marker's first line names the format, its second the process that has the folder.
constexpr char kMarker[] = "bue-hub";
constexpr char kTitle[] = "bue hub data, format ";
constexpr int kFormat = 1;

absl::Status Refused(const std::string& path, absl::string_view doing, int error) {
  const std::string text =
      absl::StrCat("cannot ", doing, " the data directory ", path, ": ", std::strerror(error));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return absl::PermissionDeniedError(
        absl::StrCat(text, "; make it writable for this user or choose another"));
  }
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(absl::StrCat(text, "; free some space"));
  }
  return absl::FailedPreconditionError(absl::StrCat(text, "; choose another"));
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return Refused(path, "create", error.value());
  if (!fs::is_directory(path, error)) return Refused(path, "use", ENOTDIR);
  return absl::OkStatus();
}

// A folder without the marker must be new: a mistyped path must not mix a hub into a home.
absl::Status CheckOurs(const std::string& path) {
  std::error_code error;
  if (fs::exists(fs::path(path) / kMarker, error)) return absl::OkStatus();
  fs::directory_iterator entries(path, error);
  if (error) return Refused(path, "read", error.value());
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name == "lost+found") continue;
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a hub's data directory (it holds '", name, "' and no '",
                     kMarker, "'); choose an empty or a new one"));
  }
  return absl::OkStatus();
}

std::string ReadMarker(int marker) {
  char text[128];
  const ssize_t size = pread(marker, text, sizeof(text), 0);
  return std::string(text, size > 0 ? size : 0);
}

absl::Status CheckFormat(const std::string& path, absl::string_view text) {
  if (text.empty()) return absl::OkStatus();  // New.
  int format = 0;
  const absl::string_view line = text.substr(0, text.find('\n'));
  absl::string_view number = line;
  if (!absl::ConsumePrefix(&number, kTitle) || !absl::SimpleAtoi(number, &format)) {
    return absl::DataLossError(
        absl::StrCat(path, "/", kMarker, " is damaged: it should begin with '", kTitle, "'"));
  }
  if (format == kFormat) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, " has format ", format, ", this version of bue reads format ", kFormat,
                   "; use the version that wrote it, or another directory"));
}

absl::Status WriteMarker(const std::string& path, int marker) {
  const std::string text = absl::StrCat(kTitle, kFormat, "\nprocess ", getpid(), "\n");
  if (pwrite(marker, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ftruncate(marker, text.size()) != 0 || fsync(marker) != 0) {
    return Refused(path, "write to", errno);
  }
  return absl::OkStatus();
}

absl::Status Claim(const std::string& path, int marker) {
  const std::string text = ReadMarker(marker);
  if (flock(marker, LOCK_EX | LOCK_NB) != 0) {
    const size_t line = text.find('\n');
    const std::string owner = line == std::string::npos ? "" : text.substr(line + 1);
    return absl::UnavailableError(absl::StrCat("another hub is using ", path, " (",
                                               absl::StripSuffix(owner, "\n"),
                                               "); stop it first, or choose another directory"));
  }
  RETURN_IF_ERROR(CheckFormat(path, ReadMarker(marker)));
  return WriteMarker(path, marker);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& path) {
  RETURN_IF_ERROR(MakeFolder(path));
  RETURN_IF_ERROR(CheckOurs(path));
  const std::string name = (fs::path(path) / kMarker).string();
  const int marker = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (marker < 0) return Refused(path, "write to", errno);
  if (absl::Status status = Claim(path, marker); !status.ok()) {
    close(marker);
    return status;
  }
  return std::unique_ptr<DataDirectory>(new DataDirectory(path, marker));
}

DataDirectory::~DataDirectory() { close(marker_); }

absl::Status DataDirectory::CheckSpace(uint64_t bytes) const {
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return Refused(path_, "look at", errno);
  const uint64_t left = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (left >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the disk of ", path_, " has ", left >> 20,
                                                   " MiB left, the hub needs ", bytes >> 20,
                                                   " MiB to take on work; free some space"));
}

}  // namespace bue::hub
