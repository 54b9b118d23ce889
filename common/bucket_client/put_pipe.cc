#include "common/bucket_client/put_pipe.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "common/bucket_client/chunker.h"
#include "common/bucket_client/object_wire.h"
#include "common/bucket_client/pipe_stream.h"
#include "common/status_macros.h"

namespace bue {
namespace {

// A message is sent with up to this much; one larger item goes alone.
constexpr uint64_t kMessageBytes = 1 << 20;
constexpr int kMessageItemsMax = 4096;

absl::Status StatusOf(const v1::PutReply::Done& done) {
  return absl::Status(static_cast<absl::StatusCode>(done.code()), done.message());
}

}  // namespace

PutBatch::PutBatch(size_t items, BucketClient::PutDone done)
    : missing_(items),
      results_(items, absl::StatusOr<uint64_t>(uint64_t{kNoObject})),
      done_(std::move(done)) {}

void PutBatch::Answer(size_t index, absl::StatusOr<uint64_t> address) {
  results_[index] = std::move(address);
  if (missing_.fetch_sub(1) == 1) done_(std::move(results_));
}

// A streaming writer, as the pipe sees it. Guarded by the pipe's lock.
struct WriterState {
  uint64_t tag = 0;
  ObjectKind kind = ObjectKind::kValue;
  Origin origin;
  bool queued = false;           // Something of it is queued or was sent.
  bool sent = false;             // Something of it was sent.
  uint64_t acks = 0;             // Answers to flushes and finish.
  ValueWriter::Written written;  // As of the last answer.
  absl::Status status;           // Not OK: it failed.
};

// One move of a writer.
struct WriterMove {
  std::vector<Chunker::Chunk> chunks;
  bool flush = false;
  bool finish = false;
  bool abort = false;

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const Chunker::Chunk& chunk : chunks) sum += chunk.data.size();
    return sum;
  }
};

class PutPipe::Core final : public PipeOwner<v1::PutRequest, v1::PutReply>,
                            public std::enable_shared_from_this<PutPipe::Core> {
 public:
  Core(std::shared_ptr<grpc::Channel> channel, const PipeOptions& options)
      : options_(options),
        stub_(v1::Bucket::NewStub(std::move(channel))),
        stream_(&mutex_, this, options,
                [this](auto* context, auto* reactor) { stub_->async()->Put(context, reactor); }) {}

  void Put(std::vector<Whole> items) {
    {
      absl::MutexLock lock(&mutex_);
      if (stream_.closed()) {
        for (Whole& item : items) AnswerLater(std::move(item), ClosedError());
      } else {
        for (Whole& item : items) {
          const uint64_t tag = next_tag_++;
          puts_.emplace(tag, std::move(item));
          queue_.push_back({.tag = tag});
        }
        stream_.Pump();
      }
    }
    Deliver();
  }

  std::shared_ptr<WriterState> Open(ObjectKind kind, const Origin& origin) {
    absl::MutexLock lock(&mutex_);
    auto writer = std::make_shared<WriterState>();
    writer->tag = next_tag_++;
    writer->kind = kind;
    writer->origin = origin;
    if (stream_.closed()) writer->status = ClosedError();
    writers_.emplace(writer->tag, writer);
    return writer;
  }

  absl::Status StatusOf(const WriterState& writer) {
    absl::MutexLock lock(&mutex_);
    return writer.status;
  }

  // Waits for room in the window, then queues the move.
  absl::Status Move(const std::shared_ptr<WriterState>& writer, WriterMove move) {
    absl::MutexLock lock(&mutex_);
    const uint64_t bytes = move.bytes();
    while (writer->status.ok() && bytes > 0 && append_bytes_ >= options_.append_bytes_max) {
      changed_.Wait(&mutex_);
    }
    RETURN_IF_ERROR(writer->status);
    append_bytes_ += bytes;
    writer->queued = true;
    queue_.push_back({.tag = writer->tag, .writer = writer, .move = std::move(move)});
    stream_.Pump();
    return absl::OkStatus();
  }

  // Waits until `acks` flushes or finishes were answered.
  absl::StatusOr<ValueWriter::Written> Await(const WriterState& writer, uint64_t acks) {
    absl::MutexLock lock(&mutex_);
    while (writer.status.ok() && writer.acks < acks) changed_.Wait(&mutex_);
    if (writer.acks >= acks) return writer.written;
    return writer.status;
  }

  // The writer will not be used any more. Unless it was finished, the bucket is to forget it.
  void Close(const std::shared_ptr<WriterState>& writer, bool finished) {
    absl::MutexLock lock(&mutex_);
    const bool known = writers_.erase(writer->tag) > 0;
    if (finished || !known || !writer->queued) return;
    writer->status = absl::CancelledError("the writer was aborted");
    DropMoves();
    if (!writer->sent) return;
    queue_.push_back({.tag = writer->tag, .writer = writer, .move = {.abort = true}});
    stream_.Pump();
  }

  void Forget(uint64_t run) {
    {
      absl::MutexLock lock(&mutex_);
      if (!waiting_) return;
      for (auto put = puts_.begin(); put != puts_.end();) {
        if (put->second.item.origin.run != run) {
          ++put;
          continue;
        }
        if (put->second.sent) {
          --wholes_sent_;
          aborts_.push_back(put->first);
        }
        AnswerLater(std::move(put->second), ForgottenError());
        puts_.erase(put++);
      }
      std::erase_if(queue_, [this](const Queued& queued) {
        mutex_.AssertHeld();
        return queued.writer == nullptr && !puts_.contains(queued.tag);
      });
      // What was flushed somebody may be reading.
      for (auto& [tag, writer] : writers_) {
        if (writer->origin.run == run && writer->acks == 0) writer->status = ForgottenError();
      }
      DropMoves();
      stream_.Pump();
    }
    Deliver();
  }

  void Tick(absl::Time now) {
    {
      absl::MutexLock lock(&mutex_);
      stream_.Tick(now);
    }
    Deliver();
  }

  PipeState state() {
    absl::MutexLock lock(&mutex_);
    return {.connected = stream_.connected(), .waits_since = stream_.waits_since()};
  }

  void Shutdown() {
    stream_.Close();
    // Here and not with the last reference, which may be dropped by a thread of gRPC: a channel's
    // end can end those threads, and then waits for them.
    absl::MutexLock lock(&mutex_);
    stub_.reset();
  }

  std::shared_ptr<void> Self() override { return shared_from_this(); }

  bool HasWork() const override {
    mutex_.AssertHeld();
    return !puts_.empty() || !queue_.empty() || !aborts_.empty();
  }

  bool BuildRequest(v1::PutRequest* request) override {
    mutex_.AssertHeld();
    AddAborts(request);
    if (waiting_ && (wholes_sent_ > 0 || append_bytes_sent_ > 0)) return request->append_size() > 0;
    uint64_t bytes = 0;
    int items = request->append_size();
    while (!queue_.empty() && bytes < kMessageBytes && items++ < kMessageItemsMax) {
      Queued next = std::move(queue_.front());
      queue_.pop_front();
      if (next.writer == nullptr) {
        bytes += AddWhole(next.tag, request);
      } else {
        bytes += AddMove(&next, request);
      }
    }
    return items > 0;
  }

  bool AwaitsReply() const override {
    mutex_.AssertHeld();
    return !puts_.empty() || !writers_.empty() || append_bytes_sent_ > 0;
  }

  void TakeReply(v1::PutReply* reply) override {
    mutex_.AssertHeld();
    for (v1::PutReply::Done& done : *reply->mutable_done()) TakeDone(done);
    if (!reply->done().empty() || !reply->waiting().empty()) NoticeWaiting(reply->waiting());
    append_bytes_ -= std::min(append_bytes_, reply->consumed_bytes());
    append_bytes_sent_ -= std::min(append_bytes_sent_, reply->consumed_bytes());
    changed_.SignalAll();
  }

  void StreamBroke() override {
    mutex_.AssertHeld();
    FailSentWriters();
    DropMoves();
    for (auto queued = queue_.begin(); queued != queue_.end();) {
      const bool drop = queued->writer == nullptr || queued->move.abort;
      queued = drop ? queue_.erase(queued) : queued + 1;
    }
    aborts_.clear();
    wholes_sent_ = append_bytes_sent_ = 0;
    std::vector<uint64_t> tags;
    for (auto& [tag, put] : puts_) {
      put.sent = false;
      tags.push_back(tag);
    }
    std::sort(tags.begin(), tags.end());
    for (const uint64_t tag : tags) queue_.push_back({.tag = tag});
    append_bytes_ = 0;
    for (const Queued& queued : queue_) append_bytes_ += queued.move.bytes();
    changed_.SignalAll();
  }

  void GiveUp(const absl::Status& status) override {
    mutex_.AssertHeld();
    for (auto& [tag, put] : puts_) AnswerLater(std::move(put), status);
    puts_.clear();
    for (auto& [tag, writer] : writers_) writer->status = status;
    writers_.clear();
    queue_.clear();
    aborts_.clear();
    wholes_sent_ = append_bytes_sent_ = 0;
    append_bytes_ = 0;
    changed_.SignalAll();
  }

  void Deliver() override {
    std::vector<Answer> answers;
    std::vector<std::string> notices;
    {
      absl::MutexLock lock(&mutex_);
      answers.swap(answers_);
      notices.swap(notices_);
    }
    for (const std::string& why : notices) options_.on_waiting(options_.bucket, why);
    for (Answer& answer : answers) answer.batch->Answer(answer.index, std::move(answer.address));
  }

 private:
  // An object to be put whole (no writer), or a writer's move.
  struct Queued {
    uint64_t tag = 0;
    std::shared_ptr<WriterState> writer;
    WriterMove move;
  };

  struct Answer {
    std::shared_ptr<PutBatch> batch;
    size_t index = 0;
    absl::StatusOr<uint64_t> address;
  };

  // `why`: the bucket has no room; empty: it has.
  void NoticeWaiting(const std::string& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (waiting_ == !why.empty()) return;
    waiting_ = !why.empty();
    if (options_.on_waiting) notices_.push_back(why);
  }

  static absl::Status ClosedError() {
    return PipeStream<v1::PutRequest, v1::PutReply>::ClosedError();
  }

  void AnswerLater(Whole put, absl::StatusOr<uint64_t> address)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    answers_.push_back({std::move(put.batch), put.index, std::move(address)});
  }

  static absl::Status ForgottenError() {
    return absl::CancelledError("the run has ended, and its values are not wanted any more");
  }

  // Of objects put whole that wait in the bucket, and of writers.
  void AddAborts(v1::PutRequest* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const uint64_t tag : std::exchange(aborts_, {})) {
      v1::PutRequest::Append* const append = request->add_append();
      append->set_tag(tag);
      append->set_abort(true);
    }
    if (!waiting_) return;  // Those of writers go in their turn.
    for (auto queued = queue_.begin(); queued != queue_.end();) {
      if (queued->move.abort) {
        AddMove(&*queued, request);
        queued = queue_.erase(queued);
      } else {
        ++queued;
      }
    }
  }

  uint64_t AddWhole(uint64_t tag, v1::PutRequest* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Whole& put = puts_.find(tag)->second;
    put.sent = true;
    ++wholes_sent_;
    const PutItem& item = put.item;
    v1::PutRequest::Whole* const whole = request->add_whole();
    whole->set_tag(tag);
    whole->set_kind(ToProto(item.kind));
    ToProto(item.origin, whole->mutable_origin());
    whole->set_elements(item.elements);
    whole->set_data(item.data);  // A copy: it may have to be sent again.
    return item.data.size();
  }

  uint64_t AddMove(Queued* queued, v1::PutRequest* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    WriterState* const writer = queued->writer.get();
    WriterMove& move = queued->move;
    const uint64_t bytes = move.bytes();
    const int last = request->append_size() - 1;
    const bool same = last >= 0 && request->append(last).tag() == queued->tag &&
                      !request->append(last).flush() && !move.abort;
    v1::PutRequest::Append* const append =
        same ? request->mutable_append(last) : request->add_append();
    append->set_tag(writer->tag);
    if (!writer->sent) {
      append->set_kind(ToProto(writer->kind));
      ToProto(writer->origin, append->mutable_origin());
      writer->sent = true;
    }
    for (Chunker::Chunk& chunk : move.chunks) {
      v1::Chunk* const out = append->add_chunks();
      out->set_data(std::move(chunk.data));
      out->set_elements(chunk.elements);
      out->set_continued(chunk.continued);
    }
    append->set_flush(move.flush);
    append->set_finish(move.finish);
    append->set_abort(move.abort);
    append_bytes_sent_ += bytes;
    return bytes;
  }

  void TakeDone(const v1::PutReply::Done& done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (const auto put = puts_.find(done.tag()); put != puts_.end()) {
      --wholes_sent_;
      AnswerLater(std::move(put->second), done.code() == 0
                                              ? absl::StatusOr<uint64_t>(done.address())
                                              : bue::StatusOf(done));
      puts_.erase(put);
      return;
    }
    const auto found = writers_.find(done.tag());
    if (found == writers_.end()) return;  // Aborted meanwhile.
    WriterState* const writer = found->second.get();
    if (done.code() != 0) {
      writer->status = bue::StatusOf(done);
      writers_.erase(found);
      DropMoves();
      return;
    }
    ++writer->acks;
    writer->written = {
        .address = done.address(), .elements = done.elements(), .bytes = done.bytes()};
    if (done.finished()) writers_.erase(found);
  }

  void FailSentWriters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto writer = writers_.begin(); writer != writers_.end();) {
      if (!writer->second->sent) {
        ++writer;
        continue;
      }
      writer->second->status = absl::UnavailableError(
          absl::StrCat("bucket ", options_.bucket, " went away in the middle of a streamed value"));
      writers_.erase(writer++);
    }
  }

  // Drops queued moves of writers that failed or were aborted.
  void DropMoves() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto queued = queue_.begin(); queued != queue_.end();) {
      if (queued->writer == nullptr || queued->writer->status.ok() || queued->move.abort) {
        ++queued;
        continue;
      }
      append_bytes_ -= std::min(append_bytes_, queued->move.bytes());
      queued = queue_.erase(queued);
    }
    changed_.SignalAll();
  }

  const PipeOptions options_;

  mutable absl::Mutex mutex_;
  std::unique_ptr<v1::Bucket::Stub> stub_;  // Guarded by mutex_. Null once shut down.
  absl::CondVar changed_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_tag_ ABSL_GUARDED_BY(mutex_) = 1;
  // Put whole and not acknowledged, by tag.
  absl::flat_hash_map<uint64_t, Whole> puts_ ABSL_GUARDED_BY(mutex_);
  // Writers open, by tag.
  absl::flat_hash_map<uint64_t, std::shared_ptr<WriterState>> writers_ ABSL_GUARDED_BY(mutex_);
  std::deque<Queued> queue_ ABSL_GUARDED_BY(mutex_);          // To be sent.
  std::vector<uint64_t> aborts_ ABSL_GUARDED_BY(mutex_);      // The same, of objects put whole.
  uint64_t wholes_sent_ ABSL_GUARDED_BY(mutex_) = 0;          // Of puts_.
  uint64_t append_bytes_sent_ ABSL_GUARDED_BY(mutex_) = 0;    // Of append_bytes_.
  uint64_t append_bytes_ ABSL_GUARDED_BY(mutex_) = 0;         // Queued or sent, and not consumed.
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mutex_);       // To be delivered.
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;              // The bucket's disk is nearly full.
  std::vector<std::string> notices_ ABSL_GUARDED_BY(mutex_);  // Of that, to be delivered.
  PipeStream<v1::PutRequest, v1::PutReply> stream_;           // Guarded by mutex_, but for Close.
};

namespace {

class PipeWriter final : public ValueWriter {
 public:
  PipeWriter(std::shared_ptr<PutPipe::Core> pipe, ObjectKind kind, const Origin& origin)
      : pipe_(std::move(pipe)),
        kind_(kind),
        origin_(origin),
        chunker_(kind),
        state_(pipe_->Open(kind, origin)) {}

  ~PipeWriter() override { Abort(); }

  absl::Status Append(absl::string_view bytes, uint64_t elements, bool continued) override {
    RETURN_IF_ERROR(CheckOpen());
    std::vector<Chunker::Chunk> full;
    RETURN_IF_ERROR(chunker_.Add(bytes, elements, continued, &full));
    elements_ += kind_ == ObjectKind::kList ? elements : 0;
    bytes_ += bytes.size();
    for (Chunker::Chunk& chunk : full) {
      WriterMove move;
      move.chunks.push_back(std::move(chunk));
      moved_ = true;
      RETURN_IF_ERROR(pipe_->Move(state_, std::move(move)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Written> Flush() override {
    RETURN_IF_ERROR(CheckOpen());
    if (flushes_ > 0 && flushed_bytes_ == bytes_) return pipe_->Await(*state_, flushes_);
    return SendRest(/*finish=*/false);
  }

  absl::StatusOr<Written> Finish() override {
    RETURN_IF_ERROR(CheckOpen());
    // What fits a chunk is put whole: cheaper, and it survives a restart of the bucket.
    absl::StatusOr<Written> written = moved_ ? SendRest(/*finish=*/true) : PutWhole();
    Close(/*finished=*/written.ok());
    return written;
  }

  void Abort() override { Close(/*finished=*/false); }

 private:
  absl::Status CheckOpen() const {
    if (closed_) return absl::FailedPreconditionError("the value's writer is closed");
    return pipe_->StatusOf(*state_);
  }

  absl::StatusOr<Written> SendRest(bool finish) {
    WriterMove move{.flush = !finish, .finish = finish};
    chunker_.TakeRest(&move.chunks);
    moved_ = true;
    flushed_bytes_ = bytes_;
    RETURN_IF_ERROR(pipe_->Move(state_, std::move(move)));
    return pipe_->Await(*state_, ++flushes_);
  }

  absl::StatusOr<Written> PutWhole() {
    std::vector<Chunker::Chunk> chunks;
    chunker_.TakeRest(&chunks);
    PutItem item{.kind = kind_, .origin = origin_, .elements = elements_};
    if (!chunks.empty()) item.data = std::move(chunks[0].data);
    absl::StatusOr<uint64_t> address = uint64_t{kNoObject};
    absl::Notification answered;
    auto batch = std::make_shared<PutBatch>(1, [&](std::vector<absl::StatusOr<uint64_t>> results) {
      address = std::move(results[0]);
      answered.Notify();
    });
    std::vector<PutPipe::Whole> items;
    items.push_back({.item = std::move(item), .batch = std::move(batch)});
    pipe_->Put(std::move(items));
    answered.WaitForNotification();
    if (!address.ok()) return address.status();
    return Written{.address = *address, .elements = elements_, .bytes = bytes_};
  }

  void Close(bool finished) {
    if (closed_) return;
    closed_ = true;
    pipe_->Close(state_, finished);
  }

  const std::shared_ptr<PutPipe::Core> pipe_;
  const ObjectKind kind_;
  const Origin origin_;
  Chunker chunker_;
  const std::shared_ptr<WriterState> state_;
  uint64_t elements_ = 0;  // Appended.
  uint64_t bytes_ = 0;
  uint64_t flushes_ = 0;  // Asked for.
  uint64_t flushed_bytes_ = 0;
  bool moved_ = false;  // Something was handed to the pipe.
  bool closed_ = false;
};

}  // namespace

PutPipe::PutPipe(std::shared_ptr<grpc::Channel> channel, const PipeOptions& options)
    : core_(std::make_shared<Core>(std::move(channel), options)) {}

PutPipe::~PutPipe() { Shutdown(); }

void PutPipe::Shutdown() { core_->Shutdown(); }

void PutPipe::Put(std::vector<Whole> items) { core_->Put(std::move(items)); }

void PutPipe::Forget(uint64_t run) { core_->Forget(run); }

std::unique_ptr<ValueWriter> PutPipe::OpenWriter(ObjectKind kind, const Origin& origin) {
  return std::make_unique<PipeWriter>(core_, kind, origin);
}

void PutPipe::Tick(absl::Time now) { core_->Tick(now); }

PipeState PutPipe::state() const { return core_->state(); }

}  // namespace bue
