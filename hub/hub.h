// Hub is a running hub: the composition root that the CLI starts. It makes the parts, wires them
// and stops them.
//
//   ASSIGN_OR_RETURN(auto hub, Hub::Start({.binding = "127.0.0.1:0", .data_dir = "d"}));
//   fmt::print("listening on {}\n", hub->address());
//
// Thread-safe.
#ifndef BUE_HUB_HUB_H_
#define BUE_HUB_HUB_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bue::hub {

struct HubOptions {
  std::string binding = "127.0.0.1:65432";  // HOST:PORT; port 0 picks a free one.
  // HOST:PORT of each bucket, as workers and clients reach them. They need not be up yet.
  std::vector<std::string> buckets;
  std::string data_dir;
  std::string token;      // Required from every caller when not empty.
  bool insecure = false;  // Listen beyond loopback although there is no token.
  // Leave it to the operating system when promises reach the disk: a power cut may break them.
  bool sync_os = false;
  // New work is refused below this much free disk, and a start waits for it.
  uint64_t free_bytes_min = 64 << 20;
  absl::Duration wait_for_space = absl::InfiniteDuration();
  // Asked while Start waits: whether to give up, with Cancelled. Unset: no.
  std::function<bool()> give_up;
  uint64_t checkpoint_bytes = 32 << 20;  // Weight of the journal at which a checkpoint is made.
  absl::Duration heartbeat = absl::Seconds(1);  // Between hub and workers.
  // A worker not heard of for this long is gone: its tasks run elsewhere 5 s after it fell silent.
  absl::Duration silence = absl::Milliseconds(4500);
  // After a start, how long to wait for the workers of the last time.
  absl::Duration reattach_grace = absl::Seconds(5);
  absl::Duration keep_results = absl::Hours(7 * 24);  // The values of a run that has ended.
  // About so much of what became of tasks and items, and when, can be read later; 0: nothing.
  uint64_t history_bytes = 256 << 20;
  size_t watches_max = 10'000;  // Calls that watch runs, at a time.
  // How often the buckets are swept of what nobody wants (zero: never), and how old that must be.
  absl::Duration sweep_interval = absl::Minutes(10);
  absl::Duration sweep_grace = absl::Minutes(10);
  // How often the log says how active runs get on; zero: only when one has ended.
  absl::Duration statistics_interval = absl::Seconds(10);
};

class Hub {
 public:
  // Errors, each with its remedy: the directory is in use, of another version, not a hub's, not
  // writable, damaged; the port is taken; a listener beyond loopback without a token.
  static absl::StatusOr<std::unique_ptr<Hub>> Start(const HubOptions& options);
  ~Hub();  // Shuts down.

  // HOST:PORT as bound.
  const std::string& address() const;

  // Ends every call, takes a last turn, writes a checkpoint, closes the files. What workers run
  // goes on: they come back to the next hub. Idempotent. Blocks.
  void Shutdown();

 private:
  class Impl;

  explicit Hub(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_HUB_H_
