// Inputs turns the input columns of granted tasks into what executors take: bytes in memory for
// small inputs, streams for large ones. What a batch of tasks needs is asked of the bucket in one
// go; elements of a list come with the chunks they lie in, each of which is read once; what was
// lately read or produced here comes from memory. A bucket or hub that is away is waited for.
//
// Used by the loop thread only; answers come through the inbox.
#ifndef BUE_WORKER_CORE_INPUTS_H_
#define BUE_WORKER_CORE_INPUTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/bucket_client/bucket_client.h"
#include "common/thread_pool.h"
#include "worker/core/grant.h"
#include "worker/core/hub_calls.h"
#include "worker/core/inbox.h"
#include "worker/core/input_streams.h"
#include "worker/core/list_cache.h"
#include "worker/core/value_cache.h"
#include "worker/executor.h"

namespace bue::worker {

// The name people see: "" at the top level, whose instance is 0; else prefix and number.
std::string ItemName(const GrantGroup& group, uint32_t row);

// Called on the loop thread, from within Resolve as well.
class InputsListener {
 public:
  virtual ~InputsListener() = default;
  // Calls of one step, all inputs at hand.
  virtual void OnReady(std::vector<Call> calls) = 0;
  // The bucket does not have the object (any more).
  virtual void OnInputGone(uint64_t lease, uint64_t address, const absl::Status& status) = 0;
  virtual void OnInputFailed(uint64_t lease, const absl::Status& status) = 0;
};

struct InputsOptions {
  size_t cache_bytes_max = 64 << 20;
  size_t list_cache_bytes_max = 32 << 20;
  int fan_in_threads = 4;
};

class Inputs {
 public:
  // All outlive it, but the inbox, which it shares.
  Inputs(const InputsOptions& options, BucketClient* bucket, HubQuestions* hub,
         std::shared_ptr<Inbox> inbox, InputsListener* listener);

  // Every row of the batch is answered by exactly one call of the listener.
  void Resolve(const StartBatch& batch, const std::shared_ptr<const LoadedStep>& step) {
    Resolve(batch, step, listener_);
  }
  // The same, for another listener, which outlives the answer.
  void Resolve(const StartBatch& batch, const std::shared_ptr<const LoadedStep>& step,
               InputsListener* listener);

  // A value that this worker stored: read from here from now on.
  void Remember(uint64_t address, CachedValue value) { cache_.Insert(address, std::move(value)); }

  // The object that a stream of this call found missing, or 0; forgets it.
  uint64_t TakeGone(uint64_t lease) { return gone_->Take(lease); }
  // Whether such an object is missing because its whole store is gone.
  bool StoreIsGone(uint64_t address) const { return bucket_->StoreIsGone(StoreOf(address)); }

  // Waits for the threads. After the hub's questions were stopped.
  void Stop() { fan_ins_.Stop(); }

 private:
  struct Fault {
    uint32_t call = 0;
    absl::Status status;
    uint64_t gone = 0;
  };
  // A batch whose inputs are on their way.
  struct Pending {
    std::vector<Call> calls;
    std::vector<Fault> faults;
    InputsListener* listener = nullptr;
    uint32_t missing = 0;  // Answers still to come.
  };
  using PendingPtr = std::shared_ptr<Pending>;

  static constexpr uint32_t kAllCalls = UINT32_MAX;
  struct Waiter {
    PendingPtr pending;
    uint32_t call = 0;  // Or kAllCalls.
    uint32_t input = 0;
  };
  // Elements of one list for consecutive calls, the first of them from element `first` on.
  struct Range {
    PendingPtr pending;
    uint32_t call = 0;
    uint32_t input = 0;
    uint64_t address = 0;
    uint64_t first = 0;
    std::vector<uint32_t> counts;  // Per call; 0: a single element, not a list.

    // Of the elements that the calls from the n-th on need.
    uint64_t elements(size_t from = 0) const;
    // The first `calls` calls have theirs.
    void Drop(size_t calls);
  };

  void AddValues(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                 const std::vector<uint32_t>& rows, std::vector<uint64_t>* wanted);
  void AddElements(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                   const std::vector<uint32_t>& rows, std::vector<Range>* ranges);
  void AddRange(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                const std::vector<uint32_t>& rows);
  void AddFanIn(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                const std::vector<uint32_t>& rows);
  void Want(uint64_t address, Waiter waiter, std::vector<uint64_t>* wanted);

  void GetValues(std::vector<uint64_t> addresses);
  void OnValues(const std::vector<uint64_t>& addresses, std::vector<absl::StatusOr<Fetched>> got);
  // Elements: inputs_elements.cc.
  void TakeRanges(std::vector<Range> ranges);
  void GetRanges(std::vector<Range> ranges);
  void GetRangesOfStore(std::vector<Range> ranges);
  void OnRanges(std::vector<Range> ranges, std::vector<absl::StatusOr<Fetched>> got);
  std::optional<Range> OnRange(Range range, absl::StatusOr<Fetched> got);
  size_t Give(const Range& range, const ListBlock& block);
  void GiveStream(const Range& range);

  CallInput MakeInput(const CachedValue& value, uint64_t address, uint64_t lease) const;
  CallInput StreamOf(uint64_t lease, uint64_t address, uint64_t first, uint64_t count) const;
  StreamContext ContextOf(uint64_t lease) const;
  void Fill(const Waiter& waiter, uint64_t address, const CachedValue& value);
  void Fail(const PendingPtr& pending, uint32_t call, uint64_t address, const absl::Status& status);
  void Arrived(const PendingPtr& pending);
  void Deliver(Pending* pending);

  BucketClient* const bucket_;
  HubQuestions* const hub_;
  const std::shared_ptr<Inbox> inbox_;
  InputsListener* const listener_;
  const std::shared_ptr<GoneInputs> gone_;
  const std::shared_ptr<const std::string> none_;

  ValueCache cache_;
  ListCache lists_;
  // Ranges of a list wait while others of it are read: what these bring may be all they need. By
  // address; an entry: something is read.
  absl::flat_hash_map<uint64_t, std::vector<Range>> waiting_ranges_;
  absl::flat_hash_map<uint64_t, std::vector<Waiter>> in_flight_;  // By address.
  ThreadPool fan_ins_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_INPUTS_H_
