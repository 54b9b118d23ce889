// HashReader says hashes of values to the hub, which sees none of them: limits go by values
// (`!max_running 2 by account`). Values come as inputs of tasks do, from the same caches.
//
// Used by the loop thread only.
#ifndef BUE_WORKER_CORE_HASH_READER_H_
#define BUE_WORKER_CORE_HASH_READER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/core/grant.h"
#include "worker/core/inputs.h"

namespace bue::worker {

class HashReader final : public InputsListener {
 public:
  // `inputs` outlives it, and asks for nothing more once it is gone.
  explicit HashReader(Inputs* inputs) : inputs_(inputs) {}

  // Its reply comes among those of TakeReplies, now or later.
  void Read(HashRequest request);
  bool has_replies() const { return !replies_.empty(); }
  std::vector<HashReply> TakeReplies();
  // The stream has ended: nobody waits for what was asked on it.
  void Forget();

 private:
  struct Pending {
    HashRequest request;
    std::shared_ptr<const GrantGroup> group;  // The values, as inputs of tasks.
    HashReply reply;
    uint32_t next = 0;     // Row that is not read yet.
    uint32_t missing = 0;  // Of those that are being read.
  };
  struct Place {
    uint64_t request = 0;
    uint32_t row = 0;
  };

  // InputsListener: a value is the one input of a call, its lease a number of this reader's.
  void OnReady(std::vector<Call> calls) override;
  void OnInputGone(uint64_t lease, uint64_t address, const absl::Status& status) override;
  void OnInputFailed(uint64_t lease, const absl::Status& status) override;

  void ReadSlice(uint64_t id);
  void Answer(uint64_t lease, const CallInput* input);

  Inputs* const inputs_;
  const std::shared_ptr<const LoadedStep> no_step_ = std::make_shared<const LoadedStep>();
  absl::flat_hash_map<uint64_t, Pending> pending_;  // By request.
  absl::flat_hash_map<uint64_t, Place> places_;     // By number.
  uint64_t last_ = 0;
  std::vector<HashReply> replies_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_HASH_READER_H_
