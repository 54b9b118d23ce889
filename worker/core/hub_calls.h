// HubCalls are the questions a worker asks the hub beside its stream: a run's files, and which
// values a fan-in consists of. Blocking, for the worker's own threads; a hub that is away is waited
// for until Stop.
//
// Thread-safe.
#ifndef BUE_WORKER_CORE_HUB_CALLS_H_
#define BUE_WORKER_CORE_HUB_CALLS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace bue::worker {

struct ValuePage {
  std::vector<uint64_t> addresses;  // The loop's own values …
  std::vector<uint64_t> instances;  // … or the loops within it: ask again for each.
  uint64_t next = 0;
  bool end = false;
};

// What fan-ins and files need of the hub. Tests have another.
class HubQuestions {
 public:
  virtual ~HubQuestions() = default;

  // Values of `node` in the succeeded items of `instance`, in item order, from `start`, as an input
  // of the task that has `lease`. Aborted: the hub does not know that lease, for ten seconds now.
  virtual absl::StatusOr<ValuePage> ListValues(uint64_t lease, uint64_t run, uint64_t instance,
                                               uint32_t node, uint64_t start) = 0;
  // A file's contents, checked against its hash. DataLoss if they do not match.
  virtual absl::StatusOr<std::string> GetFile(absl::string_view sha256) = 0;
};

class HubCalls final : public HubQuestions {
 public:
  explicit HubCalls(const std::shared_ptr<grpc::Channel>& channel);
  ~HubCalls() override;

  absl::StatusOr<ValuePage> ListValues(uint64_t lease, uint64_t run, uint64_t instance,
                                       uint32_t node, uint64_t start) override;
  absl::StatusOr<std::string> GetFile(absl::string_view sha256) override;

  // These leases are not the worker's any more: what asks for one of them fails with Cancelled as
  // soon as the hub says the same.
  void LeasesEnded(absl::Span<const uint64_t> leases);

  // Calls under way fail with Cancelled within a second or so, later ones at once.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_HUB_CALLS_H_
