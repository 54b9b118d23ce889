#include "worker/core/hub_calls.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "bue/v1/hub.grpc.pb.h"
#include "common/hub_client/blocking_call.h"
#include "common/sha256.h"

namespace bue::worker {
namespace {

constexpr absl::Duration kAttempt = absl::Seconds(10);
constexpr absl::Duration kFirstPause = absl::Milliseconds(20);
constexpr absl::Duration kLongestPause = absl::Seconds(1);
// A hub that was restarted learns from the worker's stream which leases are current.
constexpr absl::Duration kLeasePatience = absl::Seconds(10);
// How many leases that ended are remembered.
constexpr size_t kEndedMax = 65536;
// A file larger than this cannot be uploaded either.
constexpr size_t kFileBytesMax = size_t{1} << 30;

bool HubIsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

}  // namespace

class HubCalls::Impl {
 public:
  explicit Impl(const std::shared_ptr<grpc::Channel>& channel) : stub_(v1::Hub::NewStub(channel)) {}

  auto* stub() { return stub_->async(); }
  void Stop() {
    if (!stopped_.HasBeenNotified()) stopped_.Notify();
  }

  void LeasesEnded(absl::Span<const uint64_t> leases) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    for (const uint64_t lease : leases) {
      if (ended_.insert(lease).second) order_.push_back(lease);
    }
    for (; order_.size() > kEndedMax; order_.pop_front()) ended_.erase(order_.front());
  }

  // Repeats `attempt` while the hub is away, or, as long as the worker has `lease`, for a while if
  // it aborts.
  template <typename Attempt>
  absl::Status Insist(uint64_t lease, const Attempt& attempt) {
    absl::Duration pause = kFirstPause;
    absl::Time aborted_since = absl::InfiniteFuture();
    while (!stopped_.HasBeenNotified()) {
      const absl::Status status = attempt();
      const bool aborted = absl::IsAborted(status);
      if (!aborted && !HubIsAway(status)) return status;
      if (aborted && HasEnded(lease)) return absl::CancelledError("the task was taken back");
      aborted_since = aborted ? std::min(aborted_since, absl::Now()) : absl::InfiniteFuture();
      if (absl::Now() - aborted_since > kLeasePatience) return status;
      stopped_.WaitForNotificationWithTimeout(pause);
      pause = std::min(2 * pause, kLongestPause);
    }
    return absl::CancelledError("the worker is stopping");
  }

  // Reads all of a file; the hub is away if nothing comes for a while.
  absl::Status ReadFile(const v1::GetFileRequest& request, std::string* data) {
    data->clear();
    using Reader = ReplyReader<v1::FileChunk>;
    Reader reader([&](grpc::ClientContext* context, grpc::ClientReadReactor<v1::FileChunk>* r) {
      stub()->GetFile(context, &request, r);
    });
    absl::Time heard = absl::Now();
    while (true) {
      v1::FileChunk* chunk;
      switch (reader.Next(absl::Milliseconds(500), &chunk)) {
        case Reader::Got::kNothing:
          if (stopped_.HasBeenNotified() || absl::Now() - heard > kAttempt) {
            return absl::UnavailableError("the hub fell silent in the middle of a file");
          }
          break;
        case Reader::Got::kEnd:
          return reader.Finish();
        case Reader::Got::kMessage:
          heard = absl::Now();
          data->append(chunk->data());
          if (data->size() > kFileBytesMax) {
            return absl::ResourceExhaustedError("the file is larger than 1 GiB");
          }
      }
    }
  }

 private:
  bool HasEnded(uint64_t lease) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return ended_.contains(lease);
  }

  const std::unique_ptr<v1::Hub::Stub> stub_;
  absl::Notification stopped_;

  absl::Mutex mutex_;
  absl::flat_hash_set<uint64_t> ended_ ABSL_GUARDED_BY(mutex_);
  std::deque<uint64_t> order_ ABSL_GUARDED_BY(mutex_);  // Of ended_: the oldest first.
};

HubCalls::HubCalls(const std::shared_ptr<grpc::Channel>& channel)
    : impl_(std::make_unique<Impl>(channel)) {}

HubCalls::~HubCalls() = default;

void HubCalls::LeasesEnded(absl::Span<const uint64_t> leases) { impl_->LeasesEnded(leases); }
void HubCalls::Stop() { impl_->Stop(); }

absl::StatusOr<ValuePage> HubCalls::ListValues(uint64_t lease, uint64_t run, uint64_t instance,
                                               uint32_t node, uint64_t start) {
  v1::ListValuesRequest request;
  request.set_lease(lease);
  request.set_run(run);
  request.set_instance(instance);
  request.set_node(node);
  request.set_start(start);
  v1::ListValuesReply reply;
  const absl::Status status = impl_->Insist(lease, [&] {
    return CallAndWait(kAttempt, [&](grpc::ClientContext* context, auto done) {
      impl_->stub()->ListValues(context, &request, &reply, std::move(done));
    });
  });
  if (!status.ok()) return status;
  ValuePage page;
  page.addresses.assign(reply.addresses().begin(), reply.addresses().end());
  page.instances.assign(reply.instances().begin(), reply.instances().end());
  page.next = reply.next();
  page.end = reply.end();
  return page;
}

absl::StatusOr<std::string> HubCalls::GetFile(absl::string_view sha256) {
  v1::GetFileRequest request;
  request.set_sha256(sha256.data(), sha256.size());
  std::string data;
  const absl::Status status = impl_->Insist(0, [&] { return impl_->ReadFile(request, &data); });
  if (!status.ok()) return status;
  if (Sha256(data) != std::string(sha256)) {
    return absl::DataLossError(absl::StrCat("the hub sent other contents than those of file ",
                                            absl::BytesToHexString(sha256)));
  }
  return data;
}

}  // namespace bue::worker
