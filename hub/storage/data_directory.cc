#include "hub/storage/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace bue::hub {
namespace {

namespace fs = std::filesystem;

// The marker's first line names the format, its second the process that has the folder, its third
// the epoch of the last hub in it.
constexpr char kMarker[] = "bue-hub";
constexpr char kTitle[] = "bue hub data, format ";
constexpr int kFormat = 1;
constexpr char kEpochTitle[] = "epoch ";

// What is left of so much after so long is still half of it, whoever writes there.
constexpr uint64_t kPlenty = uint64_t{4} << 30;
constexpr int64_t kPlentyLastsNs = 50'000'000;

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

absl::Status NotOurs(const std::string& path, absl::string_view holds) {
  const absl::string_view bucket =
      holds == "BUCKET" ? ": it is a bucket's, each role needs a directory of its own" : "";
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is not a hub's data directory (it holds '", holds, "' and no '", kMarker,
                   "')", bucket, "; choose an empty or a new one"));
}

// A folder without the marker must be new: a mistyped path must not mix a hub into a home.
absl::Status CheckOurs(const std::string& path) {
  std::error_code error;
  if (fs::exists(fs::path(path) / kMarker, error)) return absl::OkStatus();
  fs::directory_iterator entries(path, error);
  if (error) return Refused(path, "read", error.value());
  if (fs::exists(fs::path(path) / "BUCKET", error)) return NotOurs(path, "BUCKET");
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name != "lost+found") return NotOurs(path, name);
  }
  return absl::OkStatus();
}

std::string ReadMarker(int marker) {
  char text[128];
  const ssize_t size = pread(marker, text, sizeof(text), 0);
  return std::string(text, size > 0 ? size : 0);
}

// What follows `title` in the marker's line that begins with it; empty: there is none.
absl::string_view LineOf(absl::string_view text, absl::string_view title) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, title)) return line;
  }
  return "";
}

uint64_t EpochOf(absl::string_view text) {
  uint64_t epoch = 0;
  return absl::SimpleAtoi(LineOf(text, kEpochTitle), &epoch) ? epoch : 0;
}

absl::StatusOr<int> FormatOf(const std::string& path, absl::string_view text) {
  int format = 0;
  absl::string_view number = text.substr(0, text.find('\n'));
  if (!absl::ConsumePrefix(&number, kTitle) || !absl::SimpleAtoi(number, &format)) {
    return absl::DataLossError(absl::StrCat(
        path, "/", kMarker, " is damaged: it should begin with '", kTitle, kFormat,
        "'; restore it from a copy, or write that line into it if everything else is in order "
        "(`bue hub --verify`)"));
  }
  if (format == kFormat) return format;
  return absl::FailedPreconditionError(
      absl::StrCat(path, " has format ", format, ", this version of bue reads format ", kFormat,
                   "; use the version that wrote it, or another directory"));
}

absl::Status CheckFormat(const std::string& path, absl::string_view text) {
  if (!text.empty()) return FormatOf(path, text).status();
  std::error_code error;  // Empty: new, unless a hub has been here.
  return fs::exists(fs::path(path) / "db", error) ? FormatOf(path, text).status()
                                                  : absl::OkStatus();
}

absl::Status WriteMarker(const std::string& path, int marker, uint64_t epoch) {
  const std::string text =
      absl::StrCat(kTitle, kFormat, "\nprocess ", getpid(), "\n", kEpochTitle, epoch, "\n");
  if (pwrite(marker, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ftruncate(marker, text.size()) != 0 || fsync(marker) != 0) {
    return Refused(path, "write to", errno);
  }
  return absl::OkStatus();
}

std::string OwnerOf(absl::string_view text) {
  const absl::string_view process = LineOf(text, "process ");
  return process.empty() ? "another process" : absl::StrCat("process ", process);
}

// The epoch that the marker names.
absl::StatusOr<uint64_t> Claim(const std::string& path, int marker) {
  const std::string text = ReadMarker(marker);
  if (flock(marker, LOCK_EX | LOCK_NB) != 0) {
    return absl::UnavailableError(absl::StrCat("another hub is using ", path, " (", OwnerOf(text),
                                               "); stop it first, or choose another directory"));
  }
  const std::string ours = ReadMarker(marker);
  RETURN_IF_ERROR(CheckFormat(path, ours));
  RETURN_IF_ERROR(WriteMarker(path, marker, EpochOf(ours)));
  return EpochOf(ours);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& path) {
  RETURN_IF_ERROR(MakeFolder(path));
  RETURN_IF_ERROR(CheckOurs(path));
  const std::string name = (fs::path(path) / kMarker).string();
  const int marker = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (marker < 0) return Refused(path, "write to", errno);
  const absl::StatusOr<uint64_t> epoch = Claim(path, marker);
  if (!epoch.ok()) {
    close(marker);
    return epoch.status();
  }
  return std::unique_ptr<DataDirectory>(new DataDirectory(path, marker, *epoch));
}

absl::StatusOr<DataDirectory::Look> DataDirectory::LookAt(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat("there is no directory ", path));
  }
  RETURN_IF_ERROR(CheckOurs(path));
  const std::string name = (fs::path(path) / kMarker).string();
  const int marker = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (marker < 0) return Refused(path, "read", errno);
  const std::string text = ReadMarker(marker);
  const bool in_use = flock(marker, LOCK_SH | LOCK_NB) != 0;
  close(marker);  // And with it the lock, if it was ours.
  ASSIGN_OR_RETURN(const int format, FormatOf(path, text));
  return Look{.format = format, .epoch = EpochOf(text), .in_use_by = in_use ? OwnerOf(text) : ""};
}

absl::Status DataDirectory::RecordEpoch(uint64_t epoch) {
  epoch_ = epoch;
  return WriteMarker(path_, marker_, epoch);
}

DataDirectory::~DataDirectory() { close(marker_); }

absl::Status DataDirectory::CheckSpace(uint64_t bytes) const {
  const int64_t now_ns =
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  if (bytes <= kPlenty / 2 && now_ns < plenty_until_ns_) return absl::OkStatus();
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return Refused(path_, "look at", errno);
  const uint64_t left = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (left >= kPlenty) plenty_until_ns_ = now_ns + kPlentyLastsNs;
  if (left >= bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the disk of the hub's data directory ", path_, " is nearly full: ", left >> 20,
                   " MiB are free, new work needs ", bytes >> 20,
                   " MiB; free some space there; what is under way goes on"));
}

}  // namespace bue::hub
