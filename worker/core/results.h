// Results takes what executors return: small values go to the bucket, those of all calls that
// finished meanwhile in one batch; what an attempt printed goes with them; then the session learns
// the outcome, with the address. What was stored is remembered for the tasks that read it next.
//
// Used by the loop thread only; answers come through the inbox.
#ifndef BUE_WORKER_CORE_RESULTS_H_
#define BUE_WORKER_CORE_RESULTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/bucket_client/bucket_client.h"
#include "worker/core/inbox.h"
#include "worker/core/inputs.h"
#include "worker/core/session.h"
#include "worker/executor.h"

namespace bue::worker {

class Results {
 public:
  // All outlive it, but the inbox, which it shares.
  Results(BucketClient* bucket, Session* session, Inputs* inputs, std::shared_ptr<Inbox> inbox)
      : bucket_(bucket), session_(session), inputs_(inputs), inbox_(std::move(inbox)) {}

  // Takes results in; they go out with Flush.
  void Add(std::vector<CallResult> results);
  void Flush();
  // The run has ended: what of it waits for a bucket's disk is not wanted any more.
  void Forget(uint64_t run) { bucket_->Forget(run); }

  // Values and output under way to the bucket, in bytes.
  size_t bytes_under_way() const { return bytes_under_way_; }

 private:
  // A result whose value or output is being stored.
  struct Job {
    CallResult result;                        // Without data and output.
    std::shared_ptr<const std::string> data;  // For the cache.
    int value = -1;                           // Index among the batch's puts; -1: nothing to put.
    int output = -1;
  };
  struct Batch {
    std::vector<PutItem> puts;
    std::vector<Job> jobs;
    size_t bytes = 0;
  };

  void AddOne(CallResult result);
  void OnStored(std::vector<Job> jobs, size_t bytes, std::vector<absl::StatusOr<uint64_t>> stored);
  void Finish(Job job, const std::vector<absl::StatusOr<uint64_t>>& stored);
  void Report(CallResult result, uint64_t output);

  BucketClient* const bucket_;
  Session* const session_;
  Inputs* const inputs_;
  const std::shared_ptr<Inbox> inbox_;

  Batch batch_;
  size_t bytes_under_way_ = 0;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_RESULTS_H_
