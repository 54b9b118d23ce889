// PipeStream keeps one bidirectional stream to a bucket going: starts it when there is something to
// say, has one write in flight, and starts it anew when it breaks. What is said and what the
// answers mean is its owner's business.
// While no answer is awaited it does not read: gRPC tells the other side about a message it took as
// soon as the next one is asked for, with a message of its own; asked for after the next request,
// this goes with it. An end of the stream in between shows then, which is soon enough.
//
// Everything runs under the owner's lock, which gRPC's Start… functions allow: they never call back
// from within. What the owner wants called without the lock, it does in Deliver().
// Included by the pipes' .cc files only: it needs gRPC's headers.
#ifndef BUE_COMMON_BUCKET_CLIENT_PIPE_STREAM_H_
#define BUE_COMMON_BUCKET_CLIENT_PIPE_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/bucket_client/pipe_options.h"
#include "common/rpc.h"

namespace bue {

// A stream that broke sooner than this after it was started is not started again at once.
inline constexpr absl::Duration kStreamBackoff = absl::Milliseconds(200);

// What a pipe does with its stream. All but Deliver are called with the lock held.
template <typename Request, typename Reply>
class PipeOwner {
 public:
  virtual ~PipeOwner() = default;

  // Keeps the owner alive.
  virtual std::shared_ptr<void> Self() = 0;
  // Whether anything waits to be said or answered.
  virtual bool HasWork() const = 0;
  // Fills the next message; false: there is nothing to say.
  virtual bool BuildRequest(Request* request) = 0;
  virtual void TakeReply(Reply* reply) = 0;
  // False: nothing that was said will be answered any more.
  virtual bool AwaitsReply() const { return true; }
  // The stream is gone, with what was said and not answered.
  virtual void StreamBroke() = 0;
  // Fails everything that waits.
  virtual void GiveUp(const absl::Status& status) = 0;
  // Makes the calls that became due. Without the lock.
  virtual void Deliver() = 0;
};

template <typename Request, typename Reply>
class PipeStream {
 public:
  using Reactor = grpc::ClientBidiReactor<Request, Reply>;
  using StartRpc = std::function<void(grpc::ClientContext*, Reactor*)>;

  PipeStream(absl::Mutex* mutex, PipeOwner<Request, Reply>* owner, const PipeOptions& options,
             StartRpc start_rpc)
      : mutex_(mutex), owner_(owner), options_(options), start_rpc_(std::move(start_rpc)) {}

  // Sends what the owner has to say, if it can go out now. With the lock held.
  void Pump() {
    if (closed_ || !owner_->HasWork()) return;
    if (!connected_ && down_since_ == absl::InfiniteFuture()) down_since_ = absl::Now();
    if (call_ == nullptr) {
      Start();
    } else if (connected_ && !writing_ && !call_->ended()) {
      call_->request()->Clear();
      writing_ = owner_->BuildRequest(call_->request());
      if (!writing_) return;
      call_->StartWrite(call_->request());
      call_->ReadOn();
    }
  }

  // With the lock held; the owner then delivers.
  void Tick(absl::Time now) {
    if (connected_ && now - started_ > kStreamBackoff) down_since_ = absl::InfiniteFuture();
    if (!connected_ && now - down_since_ > options_.patience && owner_->HasWork()) {
      owner_->GiveUp(
          absl::UnavailableError(absl::StrCat("bucket ", options_.bucket, " was not reachable for ",
                                              absl::FormatDuration(options_.patience))));
      down_since_ = absl::InfiniteFuture();
    }
    if (call_ == nullptr) Pump();
  }

  // Fails what waits, ends the stream and returns after the last callback. Without the lock.
  void Close() {
    {
      absl::MutexLock lock(mutex_);
      closed_ = true;
      owner_->GiveUp(ClosedError());
      if (call_ != nullptr) {
        call_->Cancel();
        call_->ReadOn();  // Its end is read.
      }
      while (calls_ > 0) ended_.Wait(mutex_);
    }
    owner_->Deliver();
  }

  // With the lock held.
  bool connected() const { return connected_; }
  absl::Time waits_since() const { return connected_ ? absl::InfiniteFuture() : down_since_; }

  bool closed() const { return closed_; }
  static absl::Status ClosedError() { return absl::CancelledError("the bucket client was closed"); }

 private:
  class Call final : public Reactor {
   public:
    explicit Call(PipeStream* pipe) : owner_(pipe->owner_->Self()), pipe_(pipe) {
      context_.set_wait_for_ready(true);
    }

    void Run() {
      pipe_->start_rpc_(&context_, this);
      this->AddHold();  // Writes start outside of reactions.
      this->StartRead(&reply_);
      this->StartCall();
    }
    void Cancel() { context_.TryCancel(); }
    Request* request() { return &request_; }
    bool ended() const { return ended_; }
    // With the lock held.
    void ReadOn() {
      if (!std::exchange(reading_, true)) this->StartRead(&reply_);
    }

    void OnReadInitialMetadataDone(bool ok) override {
      if (ok) pipe_->OnConnected();
    }
    void OnReadDone(bool ok) override {
      if (ok) {
        pipe_->OnReply(&reply_);
        absl::MutexLock lock(pipe_->mutex_);
        reading_ = pipe_->closed_ || pipe_->owner_->AwaitsReply();
        if (reading_) this->StartRead(&reply_);
        return;
      }
      {
        absl::MutexLock lock(pipe_->mutex_);
        ended_ = true;
      }
      this->RemoveHold();
    }
    void OnWriteDone(bool ok) override { pipe_->OnWritten(ok); }
    void OnDone(const grpc::Status& status) override {
      pipe_->OnBroken(FromGrpc(status));
      PipeStream* const pipe = pipe_;
      const std::shared_ptr<void> owner = owner_;
      delete this;
      absl::MutexLock lock(pipe->mutex_);
      --pipe->calls_;
      pipe->ended_.SignalAll();
    }

   private:
    const std::shared_ptr<void> owner_;
    PipeStream* const pipe_;
    grpc::ClientContext context_;
    Request request_;  // Used by the write under way only.
    Reply reply_;      // Used by the read under way only.
    // Guarded by the lock.
    bool reading_ = true;
    bool ended_ = false;  // Nothing can be written any more.
  };

  void Start() {
    const absl::Time now = absl::Now();
    if (now < retry_at_) return;
    started_ = now;
    retry_at_ = now + kStreamBackoff;
    ++calls_;
    call_ = new Call(this);  // Deletes itself when it is done.
    call_->Run();
  }

  void OnConnected() {
    absl::MutexLock lock(mutex_);
    connected_ = true;
    started_ = absl::Now();
    retry_at_ = started_ + kStreamBackoff;
    Pump();
  }

  void OnReply(Reply* reply) {
    {
      absl::MutexLock lock(mutex_);
      down_since_ = absl::InfiniteFuture();
      owner_->TakeReply(reply);
      Pump();
    }
    owner_->Deliver();
  }

  void OnWritten(bool ok) {
    absl::MutexLock lock(mutex_);
    writing_ = false;
    if (ok) Pump();
  }

  void OnBroken(const absl::Status& status) {
    {
      absl::MutexLock lock(mutex_);
      call_ = nullptr;
      connected_ = false;
      writing_ = false;
      owner_->StreamBroke();
      if (IsFinal(status)) owner_->GiveUp(Named(status));
      if (closed_) owner_->GiveUp(ClosedError());
      if (!owner_->HasWork()) down_since_ = absl::InfiniteFuture();
      Pump();
    }
    owner_->Deliver();
  }

  absl::Status Named(const absl::Status& status) const {
    return absl::Status(status.code(),
                        absl::StrCat("bucket ", options_.bucket, ": ", status.message()));
  }

  // Whether the bucket is there and will not have us.
  static bool IsFinal(const absl::Status& status) {
    return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
           absl::IsUnimplemented(status) || absl::IsInvalidArgument(status) ||
           absl::IsResourceExhausted(status);
  }

  absl::Mutex* const mutex_;
  PipeOwner<Request, Reply>* const owner_;  // Outlives this; has this as a member.
  const PipeOptions options_;
  const StartRpc start_rpc_;

  // Guarded by *mutex_.
  Call* call_ = nullptr;
  int calls_ = 0;  // That have not returned from their last callback.
  absl::CondVar ended_;
  bool connected_ = false;
  bool writing_ = false;
  bool closed_ = false;
  absl::Time started_ = absl::InfinitePast();
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time down_since_ = absl::InfiniteFuture();  // Since when work waits in vain.
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_PIPE_STREAM_H_
