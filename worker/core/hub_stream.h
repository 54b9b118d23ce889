// HubStream is the worker's stream to the hub (proto/bue/v1/work.proto). It keeps the stream up:
// a broken one is opened again at once, then with pauses up to a second, for ever; a hub that falls
// silent is given up; and it says something at least as often as the hub asked for.
//
// One write is under way at a time; what comes up meanwhile waits with its owner and goes into the
// next message. Reads go on while the last message is worked on.
//
// Used by the loop thread only; gRPC's callbacks reach it through the inbox.
#ifndef BUE_WORKER_CORE_HUB_STREAM_H_
#define BUE_WORKER_CORE_HUB_STREAM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bue/v1/work.pb.h"
#include "worker/core/inbox.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace bue::worker {

// Called on the loop thread.
class HubStreamListener {
 public:
  virtual ~HubStreamListener() = default;
  // A stream opens: who is this, and what does it hold?
  virtual void FillHello(v1::Hello* hello) = 0;
  // In order of arrival; the first one of a stream has `welcome`.
  virtual void OnMessage(const v1::ToWorker& message) = 0;
  // The stream ended after its welcome. It will be opened again.
  virtual void OnDown() = 0;
  // The hub ended the stream before a welcome. It will be tried again.
  virtual void OnRefused(const absl::Status& status) = 0;
};

struct HubStreamOptions {
  std::string target;                                   // For messages.
  absl::Duration first_pause = absl::Milliseconds(50);  // After the attempt that is made at once.
  absl::Duration longest_pause = absl::Seconds(1);
  // How long a hub that took the call may keep the first welcome waiting.
  absl::Duration welcome_timeout = absl::Seconds(5);
};

class HubStream {
 public:
  // The listener outlives it.
  HubStream(HubStreamOptions options, std::shared_ptr<grpc::Channel> channel,
            std::shared_ptr<Inbox> inbox, HubStreamListener* listener);
  // Cancels the stream and waits for its end.
  ~HubStream();

  // Does what is due: opens, gives up, answers, says that we are alive.
  void Tick(absl::Time now);
  absl::Time NextDeadline() const;

  // Welcomed, and no write under way. The inbox gets a task when a write ends that was in the way
  // of somebody who asked.
  bool writable() const;
  // REQUIRES: writable(). An empty message to fill, which Send sends.
  v1::FromWorker* NewMessage();
  void Send(absl::Time now);

  // Nothing more will be sent; the hub ends the stream once it has read everything. No stream is
  // opened after this.
  void Finish();
  bool ended() const { return finishing_ && connection_ == nullptr; }

 private:
  class Connection;

  void Open(absl::Time now);
  // Whether a message got lost before this one.
  bool Misses(const v1::ToWorker& message);
  // From the inbox.
  void OnRead(Connection* connection, v1::ToWorker* message);
  void OnWritten(Connection* connection);
  void OnReadsEnded(Connection* connection);
  void OnDone(Connection* connection, const absl::Status& status);

  // Constant after construction.
  const HubStreamOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::shared_ptr<Inbox> inbox_;
  HubStreamListener* const listener_;

  std::shared_ptr<Connection> connection_;  // Null between streams.
  bool welcomed_ = false;
  bool answer_due_ = false;
  bool finishing_ = false;
  bool logged_down_ = false;
  int failures_ = 0;    // Since a stream that stayed up for a while.
  absl::Time open_at_;  // When there is no connection.
  absl::Time up_since_;
  absl::Time last_tick_;
  absl::Time last_heard_;
  absl::Time last_sent_;
  // Numbers of the last messages of this connection.
  uint64_t heard_ = 0;
  uint64_t said_ = 0;
  absl::Duration heartbeat_ = absl::Seconds(1);
  absl::Duration silence_ = absl::Milliseconds(4500);
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_HUB_STREAM_H_
