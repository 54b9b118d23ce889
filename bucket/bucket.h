// Bucket is a running bucket: the composition root that the CLI starts. It keeps values in a data
// directory and serves bucket.proto.
//
//   ASSIGN_OR_RETURN(auto bucket, Bucket::Start({.binding = "127.0.0.1:0", .data_dir = "d"}));
//   fmt::print("listening on {}\n", bucket->address());
#ifndef BUE_BUCKET_BUCKET_H_
#define BUE_BUCKET_BUCKET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bue {

struct BucketOptions {
  std::string binding = "127.0.0.1:61535";  // HOST:PORT; port 0 picks a free one.
  std::string data_dir;
  std::string token;      // Required from every caller when not empty.
  bool insecure = false;  // Listen beyond loopback although there is no token.
  // true: leave it to the operating system when data reaches the disk. Faster; a power cut takes
  // the last seconds' values with it (they are computed again).
  bool sync_os = false;
  // Below this much free disk values wait to be put; gets and deletes go on. Unset: 5 % of the
  // disk, at least 64 MiB and at most 1 GiB.
  std::optional<uint64_t> low_water_bytes;
  int threads = 4;                    // That touch the disk.
  uint64_t put_bytes_max = 16 << 20;  // In memory on the way in, over all streams.
  uint64_t get_bytes_max = 16 << 20;  // In memory on the way out, over all streams.
  // A reader that takes nothing for this long loses its stream.
  absl::Duration stall_patience = absl::Seconds(10);
  uint64_t block_cache_bytes = 16 << 20;  // Of RocksDB.
  // How long Start waits for room if the disk is full to the last byte.
  absl::Duration wait_for_space = absl::InfiniteDuration();
  // Asked while Start waits: whether to give up, with Cancelled. Unset: no.
  std::function<bool()> give_up;
  // Called when a write failed, from any thread: nothing can be promised any more. Unset: logs it
  // and ends the process.
  std::function<void(const absl::Status&)> on_broken;
};

class Bucket {
 public:
  // Errors, each with its remedy: the directory is in use, of another version, not a bucket's, not
  // writable; the port is taken; a listener beyond loopback without a token.
  static absl::StatusOr<std::unique_ptr<Bucket>> Start(const BucketOptions& options);
  virtual ~Bucket() = default;  // Shuts down.

  // HOST:PORT as bound.
  virtual const std::string& address() const = 0;
  virtual uint16_t store_id() const = 0;

  // Stops accepting, lets what is under way end for a moment, breaks it off, closes the files.
  // Idempotent. Blocks.
  virtual void Shutdown() = 0;
};

}  // namespace bue

#endif  // BUE_BUCKET_BUCKET_H_
