#include "bucket/disk_space.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bue::bucket {
namespace {

constexpr uint64_t kLowWaterBytesMax = uint64_t{1} << 30;
// What is in memory must still reach the disk, and deletions need room to give any back.
constexpr uint64_t kLowWaterBytesMin = uint64_t{64} << 20;
constexpr int64_t kLookEveryMs = 100;

uint64_t DefaultLowWater(const std::string& path) {
  struct statvfs disk;
  if (statvfs(path.c_str(), &disk) != 0) return kLowWaterBytesMax;
  return std::clamp<uint64_t>(uint64_t{disk.f_blocks} * disk.f_frsize / 20, kLowWaterBytesMin,
                              kLowWaterBytesMax);
}

}  // namespace

DiskSpace::DiskSpace(std::string path, std::optional<uint64_t> low_water_bytes,
                     std::function<uint64_t()> free_bytes)
    : path_(std::move(path)),
      low_water_bytes_(low_water_bytes.has_value() ? *low_water_bytes : DefaultLowWater(path_)),
      ask_free_bytes_(std::move(free_bytes)) {}

absl::Status DiskSpace::CheckRoom(absl::Time now) {
  const int64_t now_ms = absl::ToUnixMillis(now);
  if (now_ms - looked_ms_.load(std::memory_order_relaxed) >= kLookEveryMs) {
    looked_ms_.store(now_ms, std::memory_order_relaxed);
    free_bytes_.store(FreeBytes(), std::memory_order_relaxed);
  }
  const uint64_t free = free_bytes_.load(std::memory_order_relaxed);
  if (free >= low_water_bytes_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the disk of the bucket's data directory '", path_, "' is nearly full: ", free >> 20,
      " MiB are free, new values need ", low_water_bytes_ >> 20,
      " MiB; make room there or delete runs (`bue delete`); values wait until then"));
}

uint64_t DiskSpace::FreeBytes() const {
  if (ask_free_bytes_ != nullptr) return ask_free_bytes_();
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return UINT64_MAX;
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

}  // namespace bue::bucket
