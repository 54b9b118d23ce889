// Blocking use of gRPC's callback API, as clients need it: one reply, a stream of replies, a stream
// of requests with one reply, or with a stream of replies after it. The process keeps to the
// callback API throughout (two poller styles in one process slow both), so waiting happens here, on
// the caller's thread.
//
// Internal to clients: this header includes gRPC.
#ifndef BUE_COMMON_HUB_CLIENT_BLOCKING_CALL_H_
#define BUE_COMMON_HUB_CLIENT_BLOCKING_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc.h"

namespace bue {

// Starts a unary call with `start(context, on_done)` and waits for it.
template <typename Start>
absl::Status CallAndWait(absl::Duration timeout, const Start& start) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  absl::Notification done;
  absl::Status result;
  start(&context, [&](grpc::Status status) {
    result = FromGrpc(status);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

// Reads the replies of a call message by message. Reads ahead, so that a long listing does not
// change threads for every message. Not thread-safe.
template <typename Reply, typename Reactor>
class ReplyQueue : public Reactor {
 public:
  enum class Got { kMessage, kEnd, kNothing };  // kNothing: `timeout` passed.

  // Waits for the next message, which stays valid until the next call.
  Got Next(absl::Duration timeout, Reply** message) {
    if (taken_ == batch_.size()) {
      if (const Got got = TakeBatch(timeout); got != Got::kMessage) return got;
    }
    *message = &batch_[taken_++];
    return Got::kMessage;
  }

  // How the call ended. After Next said kEnd.
  absl::Status Finish() {
    Drain();
    done_.WaitForNotification();
    return FromGrpc(status_);
  }

  void OnReadDone(bool ok) final {
    bool go_on = false;
    {
      absl::MutexLock lock(&mutex_);
      if (ok) arrived_.push_back(std::move(message_));
      ended_ = !ok;
      go_on = ok && arrived_.size() < kAhead;
      reading_ = go_on;
    }
    if (go_on) this->StartRead(&message_);
  }
  void OnDone(const grpc::Status& status) final {
    status_ = status;
    done_.Notify();
  }

 protected:
  grpc::ClientContext* context() { return &context_; }

  // Once the stub knows the call.
  void Begin() {
    this->AddHold();  // Reads are also started from outside the reactor.
    this->StartRead(&message_);
    this->StartCall();
  }
  // Cancels what is still open and waits for the end: who is told of anything calls it first when
  // it goes.
  void Stop() {
    context_.TryCancel();
    Drain();
    done_.WaitForNotification();
  }

 private:
  static constexpr size_t kAhead = 256;

  bool Ready() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return ended_ || !arrived_.empty(); }

  // Takes everything that has arrived, waiting for the first.
  Got TakeBatch(absl::Duration timeout) {
    batch_.clear();
    taken_ = 0;
    bool read_on = false;
    {
      absl::MutexLock lock(&mutex_);
      if (!mutex_.AwaitWithTimeout(absl::Condition(this, &ReplyQueue::Ready), timeout)) {
        return Got::kNothing;
      }
      batch_.swap(arrived_);
      read_on = !reading_ && !ended_;
      if (read_on) reading_ = true;
    }
    if (read_on) this->StartRead(&message_);
    return batch_.empty() ? Got::kEnd : Got::kMessage;
  }

  // Reads until the call has no more to say, then lets it end.
  void Drain() {
    if (drained_) return;
    drained_ = true;
    while (TakeBatch(absl::InfiniteDuration()) != Got::kEnd) {
    }
    this->RemoveHold();
  }

  grpc::ClientContext context_;
  absl::Notification done_;
  grpc::Status status_;  // Written before done_.
  Reply message_;        // Used by the read that is under way.

  // Used by the caller's thread only.
  std::vector<Reply> batch_;
  size_t taken_ = 0;
  bool drained_ = false;

  absl::Mutex mutex_;
  std::vector<Reply> arrived_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// One server-streaming call.
template <typename Reply>
class ReplyReader final : public ReplyQueue<Reply, grpc::ClientReadReactor<Reply>> {
 public:
  // `open(context, reactor)` starts the call on the stub.
  template <typename Open>
  explicit ReplyReader(const Open& open) {
    open(this->context(), this);
    this->Begin();
  }
  ~ReplyReader() override { this->Stop(); }
};

// The requests of a call, written one after the other: `next(request)` fills the next message;
// true: it is the last. Called from the caller's thread, then from gRPC's, one at a time. What is
// one message is one packet.
template <typename Request>
class RequestFeed {
 public:
  explicit RequestFeed(std::function<bool(Request*)> next) : next_(std::move(next)) {}

  // Starts the next write of `reactor`.
  template <typename Reactor>
  void WriteNext(Reactor* reactor) {
    request_.Clear();
    last_ = next_(&request_);
    if (last_) {
      reactor->StartWriteLast(&request_, grpc::WriteOptions());
    } else {
      reactor->StartWrite(&request_);
    }
  }

  // It has ended. Not ok: the call is over.
  template <typename Reactor>
  void WriteDone(bool ok, Reactor* reactor) {
    if (!ok) return;
    written_.fetch_add(1, std::memory_order_relaxed);
    if (!last_) WriteNext(reactor);
  }

  // Whether anything was written since this was asked last. By the caller's thread.
  bool TakeMoved() {
    const uint64_t written = written_.load(std::memory_order_relaxed);
    return std::exchange(seen_, written) != written;
  }

 private:
  const std::function<bool(Request*)> next_;
  Request request_;
  bool last_ = false;  // request_ is. Of the write under way.
  std::atomic<uint64_t> written_ = 0;
  uint64_t seen_ = 0;
};

// One call with requests and replies.
template <typename Request, typename Reply>
class Exchange final : public ReplyQueue<Reply, grpc::ClientBidiReactor<Request, Reply>> {
 public:
  // `next`: see RequestFeed.
  template <typename Open>
  Exchange(const Open& open, std::function<bool(Request*)> next) : feed_(std::move(next)) {
    this->context()->set_initial_metadata_corked(true);
    open(this->context(), this);
    feed_.WriteNext(this);
    this->Begin();
  }
  ~Exchange() override { this->Stop(); }

  bool TakeMoved() { return feed_.TakeMoved(); }

  void OnWriteDone(bool ok) override { feed_.WriteDone(ok, this); }

 private:
  RequestFeed<Request> feed_;
};

// One client-streaming call.
template <typename Request, typename Reply>
class RequestWriter final : public grpc::ClientWriteReactor<Request> {
 public:
  // `next`: see RequestFeed.
  template <typename Open>
  RequestWriter(const Open& open, std::function<bool(Request*)> next) : feed_(std::move(next)) {
    context_.set_initial_metadata_corked(true);
    open(&context_, &reply_, this);
    feed_.WriteNext(this);
    this->StartCall();
  }

  // Waits for the reply; the call is cancelled when nothing moved for `silence`.
  absl::Status Wait(absl::Duration silence) {
    while (!done_.WaitForNotificationWithTimeout(silence)) {
      if (!feed_.TakeMoved()) context_.TryCancel();
    }
    return FromGrpc(status_);
  }

  const Reply& reply() const { return reply_; }

  void OnWriteDone(bool ok) override { feed_.WriteDone(ok, this); }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    done_.Notify();
  }

 private:
  RequestFeed<Request> feed_;
  grpc::ClientContext context_;
  Reply reply_;
  absl::Notification done_;
  grpc::Status status_;  // Written before done_.
};

}  // namespace bue

#endif  // BUE_COMMON_HUB_CLIENT_BLOCKING_CALL_H_
