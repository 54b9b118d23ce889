#include "worker/core/hub_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/rpc.h"

namespace bue::worker {
namespace {

// A message of up to this is worked off by the thread that brings it, if the loop rests.
constexpr size_t kSmallMessageBytes = 2 << 10;

}  // namespace

// One call. The loop thread holds it open (AddHold) until it learns that reads have ended, so that
// it may start reads and writes without asking whether the call is still there.
class HubStream::Connection final : public grpc::ClientBidiReactor<v1::FromWorker, v1::ToWorker>,
                                    public std::enable_shared_from_this<Connection> {
 public:
  Connection(HubStream* owner, const std::shared_ptr<grpc::Channel>& channel,
             std::shared_ptr<Inbox> inbox)
      : owner_(owner), inbox_(std::move(inbox)), stub_(v1::Work::NewStub(channel)) {}

  // Loop thread.
  void Start() {
    self_ = shared_from_this();
    context_.set_wait_for_ready(true);
    stub_->async()->Session(&context_, this);
    AddHold();
    StartWrite(&outgoing_);
    StartRead(&incoming_[0]);
    StartCall();
  }
  v1::FromWorker* outgoing() { return &outgoing_; }
  void Write() {
    writing_ = true;
    StartWrite(&outgoing_);
  }
  // False: a write is under way; OnWritten will follow. Without such a question it does not, so
  // that the loop is not woken for nothing.
  bool MayWrite() {
    if (!writing_) return true;
    awaited_ = true;
    return !writing_;
  }
  bool awaited() const { return awaited_; }
  void WritesDone() {
    if (!released_ && !std::exchange(writes_done_, true)) StartWritesDone();
  }
  void Cancel() { context_.TryCancel(); }
  // Nothing may be started after it. Idempotent.
  void Release() {
    if (!std::exchange(released_, true)) RemoveHold();
  }
  bool released() const { return released_; }
  void WaitUntilDone() { done_.WaitForNotification(); }

  // The loop has worked `message` off: it may be read into again.
  void Recycle(v1::ToWorker* message) {
    {
      absl::MutexLock lock(&mutex_);
      if (reading_ != nullptr) {
        free_ = message;
        return;
      }
      reading_ = message;
    }
    StartRead(message);
  }

  // gRPC threads.
  void OnReadDone(bool ok) override {
    if (!ok) {
      inbox_->Post([this, keep = self_] { owner_->OnReadsEnded(this); });
      return;
    }
    v1::ToWorker* next;
    {
      absl::MutexLock lock(&mutex_);
      v1::ToWorker* const arrived = std::exchange(reading_, std::exchange(free_, nullptr));
      next = reading_;
      // Before the lock goes: with it Recycle may start a read, which another thread may finish and
      // post before this one.
      inbox_->Leave([this, keep = self_, arrived] { owner_->OnRead(this, arrived); },
                    arrived->ByteSizeLong() <= kSmallMessageBytes);
    }
    // First what it leads to: if that is a message to the hub, what gRPC has to say about this one
    // goes with it.
    inbox_->Serve();
    if (next != nullptr) StartRead(next);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return;
    writing_ = false;
    if (awaited_.exchange(false)) inbox_->Post([this, keep = self_] { owner_->OnWritten(this); });
  }
  void OnDone(const grpc::Status& status) override {
    inbox_->Post([this, keep = self_, status = FromGrpc(status)] { owner_->OnDone(this, status); });
    const std::shared_ptr<Connection> last = std::move(self_);
    done_.Notify();
  }

 private:
  // Used by the loop thread only.
  HubStream* const owner_;
  bool released_ = false;
  bool writes_done_ = false;

  const std::shared_ptr<Inbox> inbox_;
  const std::unique_ptr<v1::Work::Stub> stub_;
  grpc::ClientContext context_;
  std::shared_ptr<Connection> self_;  // Until OnDone.
  absl::Notification done_;

  std::atomic<bool> writing_ = true;   // The hello.
  std::atomic<bool> awaited_ = false;  // Somebody waits for the end of the write.

  v1::FromWorker outgoing_;
  v1::ToWorker incoming_[2];  // One is read into while the loop works the other off.

  absl::Mutex mutex_;
  v1::ToWorker* reading_ ABSL_GUARDED_BY(mutex_) = &incoming_[0];  // Null: the loop has both.
  v1::ToWorker* free_ ABSL_GUARDED_BY(mutex_) = &incoming_[1];
};

HubStream::HubStream(HubStreamOptions options, std::shared_ptr<grpc::Channel> channel,
                     std::shared_ptr<Inbox> inbox, HubStreamListener* listener)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      inbox_(std::move(inbox)),
      listener_(listener) {}

HubStream::~HubStream() {
  if (connection_ == nullptr) return;
  connection_->Cancel();
  connection_->Release();
  connection_->WaitUntilDone();
}

void HubStream::Tick(absl::Time now) {
  // After a stall of our own the hub gets a fresh period: it may have spoken all the while.
  if (now - last_tick_ > silence_ / 2) last_heard_ = now;
  last_tick_ = now;
  if (connection_ == nullptr) {
    if (!finishing_ && now >= open_at_) Open(now);
    return;
  }
  if (now - last_heard_ > (welcomed_ ? silence_ : options_.welcome_timeout)) {
    // Before the welcome the time counts from when there was a connection at all.
    if (welcomed_ || channel_->GetState(true) == GRPC_CHANNEL_READY) {
      if (welcomed_) {
        log::warn("hub silent hub={} silence={} action=reconnect", options_.target,
                  now - last_heard_);
      }
      connection_->Cancel();
    }
    last_heard_ = now;
  }
  if ((answer_due_ || now - last_sent_ >= heartbeat_ * 0.75) && writable()) {
    NewMessage();
    Send(now);
  }
}

absl::Time HubStream::NextDeadline() const {
  if (connection_ == nullptr) return finishing_ ? absl::InfiniteFuture() : open_at_;
  const absl::Time silent = last_heard_ + (welcomed_ ? silence_ : options_.welcome_timeout);
  if (!welcomed_ || finishing_ || connection_->released() || connection_->awaited()) return silent;
  return std::min(silent, last_sent_ + heartbeat_ * 0.75);
}

bool HubStream::writable() const {
  return connection_ != nullptr && !connection_->released() && welcomed_ && !finishing_ &&
         connection_->MayWrite();
}

v1::FromWorker* HubStream::NewMessage() {
  CHECK(writable());
  connection_->outgoing()->Clear();
  return connection_->outgoing();
}

void HubStream::Send(absl::Time now) {
  answer_due_ = false;
  last_sent_ = now;
  connection_->outgoing()->set_number(++said_);
  connection_->Write();
}

void HubStream::Finish() {
  if (finishing_) return;
  finishing_ = true;
  if (connection_ == nullptr) return;
  if (!welcomed_) {
    connection_->Cancel();
  } else if (connection_->MayWrite()) {
    connection_->WritesDone();
  }
}

void HubStream::Open(absl::Time now) {
  connection_ = std::make_shared<Connection>(this, channel_, inbox_);
  welcomed_ = false;
  answer_due_ = false;
  last_heard_ = now;
  last_sent_ = now;
  heard_ = 0;
  said_ = 1;
  connection_->outgoing()->set_number(said_);
  listener_->FillHello(connection_->outgoing()->mutable_hello());
  connection_->Start();
}

void HubStream::OnRead(Connection* connection, v1::ToWorker* message) {
  if (connection != connection_.get()) return;
  last_heard_ = Clock::Real()->Now();
  if (Misses(*message)) {
    connection_->Cancel();  // What this one and later ones say comes to nothing.
    message->Clear();
    connection->Recycle(message);
    return;
  }
  if (message->has_welcome()) {
    welcomed_ = true;
    up_since_ = last_heard_;
    const v1::Welcome& welcome = message->welcome();
    if (welcome.heartbeat_ms() > 0) heartbeat_ = absl::Milliseconds(welcome.heartbeat_ms());
    if (welcome.silence_ms() > 0) silence_ = absl::Milliseconds(welcome.silence_ms());
    if (std::exchange(logged_down_, false)) {
      log::info("hub back hub={} epoch={}", options_.target, welcome.epoch());
    }
  }
  if (message->ping()) answer_due_ = true;
  if (welcomed_) listener_->OnMessage(*message);
  message->Clear();
  connection->Recycle(message);
}

bool HubStream::Misses(const v1::ToWorker& message) {
  if (message.number() == 0 || message.number() == heard_ + 1) {
    heard_ = message.number();
    return false;
  }
  log::error("message of the hub missing hub={} number={} expected={} action=reconnect",
             options_.target, message.number(), heard_ + 1);
  return true;
}

void HubStream::OnWritten(Connection* connection) {
  if (connection != connection_.get()) return;
  if (finishing_) connection->WritesDone();
}

void HubStream::OnReadsEnded(Connection* connection) { connection->Release(); }

void HubStream::OnDone(Connection* connection, const absl::Status& status) {
  if (connection != connection_.get()) return;
  const absl::Time now = Clock::Real()->Now();
  const bool was_up = welcomed_;
  // A hub that welcomes us and ends the stream at once is not asked without a pause.
  if (was_up && now - up_since_ > options_.longest_pause) failures_ = 0;
  connection_ = nullptr;
  welcomed_ = false;
  const absl::Duration pause =
      failures_ == 0 ? absl::ZeroDuration()
                     : std::min(options_.first_pause * (1 << std::min(failures_ - 1, 10)),
                                options_.longest_pause);
  ++failures_;
  open_at_ = now + pause;
  if (finishing_) return;
  if (!logged_down_ && (was_up || failures_ > 1)) {
    logged_down_ = true;
    log::warn("hub lost hub={} status=\"{}\" action=reconnect", options_.target, status);
  }
  if (was_up) {
    listener_->OnDown();
  } else {
    listener_->OnRefused(status);
  }
}

}  // namespace bue::worker
