// DiskSpace says when a disk is too full for more data.
// Thread-safe.
#ifndef BUE_BUCKET_DISK_SPACE_H_
#define BUE_BUCKET_DISK_SPACE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace bue::bucket {

class DiskSpace {
 public:
  // `low_water_bytes` unset: 5 % of the disk, at least 64 MiB and at most 1 GiB.
  // `free_bytes` null: what the system says.
  DiskSpace(std::string path, std::optional<uint64_t> low_water_bytes,
            std::function<uint64_t()> free_bytes);

  // ResourceExhausted if less than the low-water mark is free. Looks at the disk ten times a
  // second.
  absl::Status CheckRoom(absl::Time now);

  uint64_t FreeBytes() const;

 private:
  const std::string path_;
  const uint64_t low_water_bytes_;
  const std::function<uint64_t()> ask_free_bytes_;
  std::atomic<int64_t> looked_ms_{0};
  std::atomic<uint64_t> free_bytes_{UINT64_MAX};
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_DISK_SPACE_H_
