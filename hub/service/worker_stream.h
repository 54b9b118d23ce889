// WorkerStream is one worker's stream: what waits to be sent, whether a write is under way, and how
// it ends. gRPC allows one write at a time, so what comes up meanwhile is added to one message.
//
// Thread-safe. Calls nobody while it holds its lock.
#ifndef BUE_HUB_SERVICE_WORKER_STREAM_H_
#define BUE_HUB_SERVICE_WORKER_STREAM_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bue/v1/work.pb.h"

namespace bue::hub {

// What a stream needs of gRPC.
class StreamWire {
 public:
  virtual ~StreamWire() = default;
  virtual void Write(const v1::ToWorker* message) = 0;  // Answered by WorkerStream::Written.
  virtual void Finish(const absl::Status& status) = 0;  // Once, with no write under way.
  virtual void Cancel() = 0;  // Makes a write under way fail. Before Finish.
};

class WorkerStream {
 public:
  // `wire` is there until it was finished.
  WorkerStream(StreamWire* wire, size_t queued_bytes_max)
      : wire_(wire), queued_bytes_max_(queued_bytes_max) {}

  // Lets `add` add to the message that goes out next and return about how many bytes it added; 0
  // sends nothing. A stream that is closed ignores it; one that does not read is closed.
  using Add = absl::FunctionRef<size_t(v1::ToWorker*)>;
  void Send(absl::Time now, Add add) ABSL_LOCKS_EXCLUDED(mutex_);

  // The same for what has time: it goes with the next message, or with Flush; at once only if
  // nothing was sent for a while.
  void Leave(absl::Time now, Add add) ABSL_LOCKS_EXCLUDED(mutex_);
  // Sends what was left.
  void Flush(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // The write is over. False: the connection broke.
  void Written(bool ok) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the stream once the write under way is over. Only the first reason counts; true if this
  // was it.
  bool Close(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, without waiting for a peer that does not read.
  bool Abort(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mutex_);

  // When something was sent last.
  absl::Time last_sent() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Why the stream is closed; OK may be one, nullopt: it is open.
  std::optional<absl::Status> closed() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Queued {
    std::unique_ptr<v1::ToWorker> message;
    size_t bytes = 0;
  };
  // What to do once the lock is released.
  struct Next {
    const v1::ToWorker* write = nullptr;
    bool finish = false;
  };
  void Put(absl::Time now, Add add, bool due) ABSL_LOCKS_EXCLUDED(mutex_);
  Queued* Tail() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MarkClosed(const absl::Status& reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Next Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Carry(const Next& next) ABSL_LOCKS_EXCLUDED(mutex_);

  // Constant after construction.
  StreamWire* const wire_;
  const size_t queued_bytes_max_;

  mutable absl::Mutex mutex_;
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool due_ ABSL_GUARDED_BY(mutex_) = false;  // More is queued than what has time.
  std::unique_ptr<v1::ToWorker> writing_ ABSL_GUARDED_BY(mutex_);  // Null: no write under way.
  std::unique_ptr<v1::ToWorker> spare_ ABSL_GUARDED_BY(mutex_);    // Keeps its memory for the next.
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;                   // Number of the last message.
  absl::Time last_sent_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);
  bool cancelling_ ABSL_GUARDED_BY(mutex_) = false;  // Finish must wait: Cancel needs the call.
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WORKER_STREAM_H_
