#include "hub/service/worker_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace bue::hub {
namespace {

// A message that has grown to this much is left alone; what comes up goes into the next.
constexpr size_t kMessageBytes = 1 << 20;

// What has time waits for another message only while they follow each other this quickly.
constexpr absl::Duration kBusy = absl::Milliseconds(5);

}  // namespace

void WorkerStream::Send(absl::Time now, Add add) { Put(now, add, /*due=*/true); }

void WorkerStream::Leave(absl::Time now, Add add) {
  Put(now, add, /*due=*/now - last_sent() >= kBusy);
}

void WorkerStream::Flush(absl::Time now) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (queue_.empty() || due_) return;
    due_ = true;
    last_sent_ = now;
    next = Advance();
  }
  Carry(next);
}

void WorkerStream::Put(absl::Time now, Add add, bool due) {
  bool stuck = false;
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_.has_value()) return;
    Queued* tail = Tail();
    const size_t bytes = add(tail->message.get());
    if (bytes == 0) return;
    tail->bytes += bytes;
    queued_bytes_ += bytes;
    due_ = due_ || due;
    if (due_) last_sent_ = now;
    stuck = writing_ != nullptr && queued_bytes_ > queued_bytes_max_;
    if (!stuck) next = Advance();
  }
  if (stuck) {
    Abort(absl::ResourceExhaustedError(absl::StrCat("the worker does not read: more than ",
                                                    queued_bytes_max_ >> 20, " MiB wait for it")));
  } else {
    Carry(next);
  }
}

WorkerStream::Queued* WorkerStream::Tail() {
  if (queue_.empty() || queue_.back().bytes >= kMessageBytes) {
    queue_.emplace_back().message =
        spare_ != nullptr ? std::move(spare_) : std::make_unique<v1::ToWorker>();
  }
  return &queue_.back();
}

WorkerStream::Next WorkerStream::Advance() {
  if (writing_ != nullptr || finished_) return {};
  if (closed_.has_value()) {
    if (cancelling_) return {};
    finished_ = true;
    return {.finish = true};
  }
  if (!due_ || queue_.empty() || queue_.front().bytes == 0) return {};
  writing_ = std::move(queue_.front().message);
  queued_bytes_ -= queue_.front().bytes;
  queue_.pop_front();
  due_ = !queue_.empty();
  writing_->set_number(++written_);
  return {.write = writing_.get()};
}

void WorkerStream::Carry(const Next& next) {
  if (next.write != nullptr) wire_->Write(next.write);
  if (next.finish) wire_->Finish(*closed());
}

void WorkerStream::Written(bool ok) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    spare_ = std::move(writing_);
    spare_->Clear();
    if (!ok) MarkClosed(absl::UnavailableError("the connection broke"));
    next = Advance();
  }
  Carry(next);
}

bool WorkerStream::Close(const absl::Status& reason) {
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    if (!MarkClosed(reason)) return false;
    next = Advance();
  }
  Carry(next);
  return true;
}

bool WorkerStream::MarkClosed(const absl::Status& reason) {
  if (closed_.has_value()) return false;
  closed_ = reason;
  queue_.clear();
  queued_bytes_ = 0;
  return true;
}

bool WorkerStream::Abort(const absl::Status& reason) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    first = MarkClosed(reason);
    if (finished_ || cancelling_) return first;
    cancelling_ = true;
  }
  wire_->Cancel();
  Next next;
  {
    absl::MutexLock lock(&mutex_);
    cancelling_ = false;
    next = Advance();
  }
  Carry(next);
  return first;
}

absl::Time WorkerStream::last_sent() const {
  absl::MutexLock lock(&mutex_);
  return last_sent_;
}

std::optional<absl::Status> WorkerStream::closed() const {
  absl::MutexLock lock(&mutex_);
  return closed_;
}

}  // namespace bue::hub
