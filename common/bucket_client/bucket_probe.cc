#include "common/bucket_client/bucket_probe.h"

#include <grpcpp/grpcpp.h>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "common/rpc.h"

namespace bue {

class BucketProbe::Impl {
 public:
  Impl(const std::string& bucket, const std::string& token)
      : stub_(v1::Bucket::NewStub(MakeChannel(bucket, token))) {}

  absl::Status Ask(absl::Duration timeout) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    const v1::InfoRequest request;
    v1::InfoReply reply;
    absl::Status status;
    absl::Notification answered;
    stub_->async()->GetInfo(&context, &request, &reply, [&](const grpc::Status& result) {
      status = FromGrpc(result);
      answered.Notify();
    });
    answered.WaitForNotification();
    return status;
  }

 private:
  const std::unique_ptr<v1::Bucket::Stub> stub_;
};

BucketProbe::BucketProbe(const std::string& bucket, const std::string& token)
    : impl_(std::make_unique<Impl>(bucket, token)) {}
BucketProbe::~BucketProbe() = default;

absl::Status BucketProbe::Ask(absl::Duration timeout) { return impl_->Ask(timeout); }

}  // namespace bue
