#include "hub/service/upload_and_watch.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc.h"
#include "hub/service/client_messages.h"

namespace bue::hub {
namespace {

// First `upload_` has the call, then the write of its acceptance, then `watch_`. Who could not
// watch is refused before it uploads.
class UploadAndWatchCall final : public grpc::ServerBidiReactor<v1::UploadRequest, v1::RunUpdate>,
                                 UploadStream,
                                 WatchStream {
 public:
  UploadAndWatchCall(Uploads* uploads, Watches* watches, grpc::CallbackServerContext* context)
      : watches_(watches), context_(context) {
    const absl::Status status = watches->Enter();
    entered_ = status.ok();
    if (entered_) {
      upload_ = StartUpload(uploads, context, this);
    } else {
      Finish(ToGrpc(status));
    }
  }

  void OnReadDone(bool ok) override {
    if (ok && request_->has_start()) {
      how_.set_interval_ms(request_->start().watch().interval_ms());
      how_.set_only_end(request_->start().watch().only_end());
    }
    const std::shared_ptr<Upload> upload = Uploading();
    if (upload != nullptr) upload->ReadDone(ok);
  }
  void OnWriteDone(bool ok) override {
    if (watch_ != nullptr) return watch_->WriteDone(ok);
    LetUploadGo();
    if (!ok) return Finish(ToGrpc(absl::CancelledError("the watcher is gone")));
    BeginWatch();
  }
  void OnCancel() override {
    std::shared_ptr<Watch> watch;
    std::shared_ptr<Upload> upload;
    {
      absl::MutexLock lock(&mutex_);
      watch = begun_;
      upload = upload_;
    }
    if (upload != nullptr) upload->Cancelled();
    if (watch != nullptr) watch->Cancelled();
  }
  void OnDone() override {
    if (watch_ != nullptr) watches_->Remove(watch_);
    if (entered_) watches_->Leave();
    delete this;
  }

 private:
  // UploadStream.
  void Read(v1::UploadRequest* request) override {
    request_ = request;
    StartRead(request);
  }
  void Accepted(const RunAccepted& accepted) override {
    run_ = accepted.run;
    ToProto(accepted, update_.mutable_accepted());
    StartWrite(&update_);
  }
  void Refused(const absl::Status& status) override { Finish(ToGrpc(status)); }

  // WatchStream.
  void Write(v1::RunStatus* status) override {
    update_.mutable_status()->Swap(status);
    StartWrite(&update_);
  }
  void WriteLast(v1::RunStatus* status) override {
    update_.mutable_status()->Swap(status);
    StartWriteAndFinish(&update_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void End(const absl::Status& status) override { Finish(ToGrpc(status)); }

  std::shared_ptr<Upload> Uploading() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return upload_;
  }
  // A watch may take days: what the upload holds is for others.
  void LetUploadGo() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<Upload> upload;  // Goes without the lock.
    absl::MutexLock lock(&mutex_);
    upload = std::move(upload_);
  }

  void BeginWatch() ABSL_LOCKS_EXCLUDED(mutex_) {
    auto watch = watches_->Add(run_, how_, this);
    if (!watch.ok()) return Finish(ToGrpc(watch.status()));
    const std::shared_ptr<Watch> begun = watch_ = *std::move(watch);
    {
      absl::MutexLock lock(&mutex_);
      begun_ = begun;
    }
    if (context_->IsCancelled()) begun->Cancelled();  // It may have come too early for this watch.
    begun->Start();                                   // From here on the call may end at any time.
  }

  Watches* const watches_;
  grpc::CallbackServerContext* const context_;

  bool entered_ = false;  // Constant after construction.

  // Used by whoever has the call.
  v1::UploadRequest* request_ = nullptr;
  v1::WatchRunRequest how_;
  v1::RunUpdate update_;
  uint64_t run_ = 0;
  std::shared_ptr<Watch> watch_;

  absl::Mutex mutex_;
  std::shared_ptr<Upload> upload_ ABSL_GUARDED_BY(mutex_);  // Null once it was accepted.
  std::shared_ptr<Watch> begun_ ABSL_GUARDED_BY(mutex_);    // As watch_, for OnCancel.
};

}  // namespace

grpc::ServerBidiReactor<v1::UploadRequest, v1::RunUpdate>* ServeUploadAndWatch(
    Uploads* uploads, Watches* watches, grpc::CallbackServerContext* context) {
  return new UploadAndWatchCall(uploads, watches, context);
}

}  // namespace bue::hub
