#include "bucket/put_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bue/v1/bucket.pb.h"
#include "common/bucket_client/object_wire.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

// A stream is read on while less than this waits to be written.
constexpr uint64_t kInboxBytesMax = 8 << 20;
// Writers open on one stream at once.
constexpr size_t kWritersMax = 16384;
// And while less than this many puts wait for the client to take their reply.
constexpr int kRepliesMax = 1 << 17;
// Up to this much that comes alone does without the pool.
constexpr uint64_t kSmallBytes = 256 << 10;

v1::PutReply::Done FailedPut(uint64_t tag, const absl::Status& status) {
  v1::PutReply::Done done;
  done.set_tag(tag);
  done.set_code(static_cast<uint32_t>(status.code()));
  done.set_message(std::string(status.message()));
  return done;
}

// What writing a batch of requests came to.
struct Written {
  std::vector<v1::PutReply::Done> now;      // Failures.
  std::vector<v1::PutReply::Done> durable;  // To be said after a sync.
  uint64_t consumed_bytes = 0;
};

// The part of a stream that touches the store. For one job at a time.
class PutJob {
 public:
  explicit PutJob(ObjectStore* store) : store_(store) {}

  // Carries out the aborts among requests that were not written yet, some of which may have waited
  // for room for long, and drops the same objects' parts, and those put whole. Returns the bytes of
  // what was appended to them.
  uint64_t AbortAmong(std::vector<std::unique_ptr<v1::PutRequest>>* requests) {
    uint64_t dropped_bytes = 0;
    std::set<uint64_t> aborted;
    for (const auto& request : *requests) {
      for (const v1::PutRequest::Append& append : request->append()) {
        if (append.abort()) aborted.insert(append.tag());
      }
    }
    if (aborted.empty()) return 0;
    for (const uint64_t tag : aborted) {
      const auto writer = writers_.find(tag);
      if (writer == writers_.end()) continue;
      (void)writer->second->Abort();
      writers_.erase(writer);
    }
    for (const auto& request : *requests) {
      auto* const wholes = request->mutable_whole();
      wholes->erase(std::remove_if(wholes->begin(), wholes->end(),
                                   [&](const auto& one) { return aborted.contains(one.tag()); }),
                    wholes->end());
      auto* const appends = request->mutable_append();
      for (int i = appends->size() - 1; i >= 0; --i) {
        if (!aborted.contains(appends->Get(i).tag())) continue;
        for (const v1::Chunk& chunk : appends->Get(i).chunks()) {
          dropped_bytes += chunk.data().size();
        }
        appends->DeleteSubrange(i, 1);
      }
    }
    std::erase_if(*requests, [](const auto& request) {
      return request->whole().empty() && request->append().empty();
    });
    return dropped_bytes;
  }

  // What AbortAmong has left.
  Written Write(const std::vector<std::unique_ptr<v1::PutRequest>>& requests) {
    Written written;
    PutWhole(requests, &written);
    for (const auto& request : requests) {
      for (const v1::PutRequest::Append& append : request->append()) Append(append, &written);
    }
    return written;
  }

 private:
  // Everything put whole, of all requests, in one write.
  void PutWhole(const std::vector<std::unique_ptr<v1::PutRequest>>& requests, Written* written) {
    std::vector<NewObject> objects;
    std::vector<uint64_t> tags;
    for (const auto& request : requests) {
      for (const v1::PutRequest::Whole& whole : request->whole()) {
        const absl::Status valid = CheckWhole(whole);
        if (!valid.ok()) {
          written->now.push_back(FailedPut(whole.tag(), valid));
          continue;
        }
        tags.push_back(whole.tag());
        objects.push_back({.kind = FromProto(whole.kind()),
                           .origin = FromProto(whole.origin()),
                           .elements = whole.elements(),
                           .data = whole.data()});
      }
    }
    if (objects.empty()) return;
    const absl::StatusOr<std::vector<uint64_t>> addresses = store_->Put(objects);
    for (size_t i = 0; i < objects.size(); ++i) {
      if (!addresses.ok()) {
        written->now.push_back(FailedPut(tags[i], addresses.status()));
        continue;
      }
      v1::PutReply::Done& done = written->durable.emplace_back();
      done.set_tag(tags[i]);
      done.set_address((*addresses)[i]);
      done.set_elements(objects[i].elements);
      done.set_bytes(objects[i].data.size());
      done.set_finished(true);
    }
  }

  static absl::Status CheckWhole(const v1::PutRequest::Whole& whole) {
    RETURN_IF_ERROR(CheckKind(whole.kind()));
    if (whole.data().size() <= kChunkBytesMax) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("an object of ", whole.data().size(),
                                                   " bytes put whole; at most ", kChunkBytesMax,
                                                   " are allowed: append it in chunks"));
  }

  void Append(const v1::PutRequest::Append& append, Written* written) {
    for (const v1::Chunk& chunk : append.chunks()) written->consumed_bytes += chunk.data().size();
    auto writer = writers_.find(append.tag());
    if (writer == writers_.end()) {
      // Later appends to a tag that failed come without a kind: the failure was reported.
      if (append.kind() == v1::OBJECT_KIND_UNSPECIFIED) return;
      absl::StatusOr<std::unique_ptr<ObjectWriter>> opened = Open(append);
      if (!opened.ok()) {
        written->now.push_back(FailedPut(append.tag(), opened.status()));
        return;
      }
      writer = writers_.emplace(append.tag(), *std::move(opened)).first;
    }
    const absl::Status status = AppendTo(writer->second.get(), append, written);
    if (!status.ok()) written->now.push_back(FailedPut(append.tag(), status));
    if (!status.ok() || append.finish()) writers_.erase(writer);
  }

  absl::StatusOr<std::unique_ptr<ObjectWriter>> Open(const v1::PutRequest::Append& append) {
    RETURN_IF_ERROR(CheckKind(append.kind()));
    if (writers_.size() >= kWritersMax) {
      return absl::ResourceExhaustedError(
          absl::StrCat("this stream has ", kWritersMax, " objects open; finish some first"));
    }
    return store_->OpenWriter(FromProto(append.kind()), FromProto(append.origin()));
  }

  static absl::Status AppendTo(ObjectWriter* writer, const v1::PutRequest::Append& append,
                               Written* written) {
    std::vector<NewChunk> chunks;
    chunks.reserve(append.chunks_size());
    for (const v1::Chunk& chunk : append.chunks()) {
      chunks.push_back(
          {.data = chunk.data(), .elements = chunk.elements(), .continued = chunk.continued()});
    }
    if (!chunks.empty()) RETURN_IF_ERROR(writer->Append(chunks));
    if (!append.finish() && !append.flush()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const ObjectProgress progress,
                     append.finish() ? writer->Finish() : writer->Flush());
    v1::PutReply::Done& done = written->durable.emplace_back();
    done.set_tag(append.tag());
    done.set_address(progress.address);
    done.set_elements(progress.elements);
    done.set_bytes(progress.bytes);
    done.set_finished(append.finish());
    return absl::OkStatus();
  }

  ObjectStore* const store_;
  std::map<uint64_t, std::unique_ptr<ObjectWriter>> writers_;
};

class PutStream final : public grpc::ServerBidiReactor<v1::PutRequest, v1::PutReply>,
                        public std::enable_shared_from_this<PutStream> {
 public:
  static PutStream* Start(const StreamContext& context) {
    auto stream = std::make_shared<PutStream>(context);
    stream->self_ = stream;
    stream->StartSendInitialMetadata();  // So that a client knows it is connected.
    stream->Read();
    return stream.get();
  }

  explicit PutStream(const StreamContext& context)
      : context_(context), job_(std::make_unique<PutJob>(context.store)) {}

  void OnReadDone(bool ok) override {
    bool read_on = false;
    bool work_here = false;
    const absl::Time now = absl::Now();
    {
      absl::MutexLock lock(&mutex_);
      reading_ = false;
      if (ok) {
        const uint64_t bytes = incoming_->ByteSizeLong();
        context_.put_budget->Take(bytes);
        const bool rests = inbox_.empty() && !working_ && syncs_ == 0;
        replies_first_ = rests && now - read_began_ > Shortcut::kAlone;
        const bool may_work = context_.put_shortcut->MayTake(this, now);
        inbox_bytes_ += bytes;
        inbox_.push_back(std::move(incoming_));
        work_here =
            may_work && replies_first_ && bytes <= kSmallBytes && context_.put_shortcut->Take();
        if (work_here) working_ = true;
        StartJob();
        read_on = TakeTurnToRead();
      } else {
        ended_ = true;
        FinishIfDone();
      }
    }
    if (work_here) {
      Work(context_.pool);
      context_.put_shortcut->Leave(now, absl::Now());
    }
    if (read_on) ReadWhenThereIsRoom();
  }

  void OnWriteDone(bool ok) override {
    bool read_on = false;
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok) broken_ = true;
      WriteReplies();
      FinishIfDone();
      read_on = TakeTurnToRead();
    }
    if (read_on) ReadWhenThereIsRoom();
  }

  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
    if (waiting_for_room_ || !reading_) {  // No read is under way that would say it has ended.
      waiting_for_room_ = false;
      reading_ = false;
      ended_ = true;
    }
    FinishIfDone();
  }

  void OnDone() override {
    uint64_t held_bytes = 0;
    {
      absl::MutexLock lock(&mutex_);
      inbox_.clear();
      std::swap(held_bytes, inbox_bytes_);
    }
    if (held_bytes > 0) context_.put_budget->Release(held_bytes);
    // Unfinished writers delete what they wrote: work for the pool.
    std::shared_ptr<PutJob> job(std::move(job_));
    context_.pool->Post([job = std::move(job)]() mutable { job.reset(); });
    self_.reset();
  }

 private:
  // Whether to read now; the caller then does.
  bool TakeTurnToRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (reading_ || ended_ || inbox_bytes_ >= kInboxBytesMax ||
        replies_.done_size() >= kRepliesMax) {
      return false;
    }
    if (replies_first_ && (working_ || syncs_ > 0)) return false;
    reading_ = true;
    read_began_ = absl::Now();
    return true;
  }

  // Without room, a Release somewhere calls this again.
  void ReadWhenThereIsRoom() {
    {
      absl::MutexLock lock(&mutex_);
      if (broken_ && !ended_) {  // Cancelled meanwhile.
        reading_ = false;
        ended_ = true;
        FinishIfDone();
      }
      if (ended_) return;
      waiting_for_room_ = true;
    }
    const bool room = context_.put_budget->HasRoom([weak = weak_from_this()] {
      if (const std::shared_ptr<PutStream> stream = weak.lock()) stream->ReadWhenThereIsRoom();
    });
    if (!room) {
      // Maybe because others wait for the disk: then so does this one, and is to know.
      if (!context_.store->CheckRoom().ok()) AwaitDisk();
      return;
    }
    absl::MutexLock lock(&mutex_);
    if (!waiting_for_room_) return;  // Cancelled meanwhile.
    waiting_for_room_ = false;
    Read();
  }

  void Read() {
    incoming_ = std::make_unique<v1::PutRequest>();
    StartRead(incoming_.get());
  }

  void StartJob() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (working_) return;
    working_ = true;
    context_.pool->Post([stream = shared_from_this()] { stream->Work(nullptr); });
  }

  // Writes what has arrived. On the pool or, syncing for nobody else, around it; one at a time.
  void Work(ThreadPool* others) {
    std::vector<std::unique_ptr<v1::PutRequest>> requests;
    uint64_t bytes = 0;
    {
      absl::MutexLock lock(&mutex_);
      requests.swap(inbox_);
      std::swap(bytes, inbox_bytes_);
    }
    const uint64_t dropped_bytes = job_->AbortAmong(&requests);
    if (!context_.store->CheckRoom().ok()) return Hold(std::move(requests), bytes, dropped_bytes);
    Written written = job_->Write(requests);
    written.consumed_bytes += dropped_bytes;
    requests.clear();
    const bool to_sync = !written.durable.empty();
    bool read_on = false;
    {
      absl::MutexLock lock(&mutex_);
      // The next job may run while this one syncs.
      working_ = false;
      waits_for_.clear();
      if (!inbox_.empty()) StartJob();
      if (to_sync) ++syncs_;
      Reply(&written.now, written.consumed_bytes);
      read_on = TakeTurnToRead();
      FinishIfDone();
    }
    context_.put_budget->Release(bytes);
    if (read_on) ReadWhenThereIsRoom();
    if (to_sync) AwaitSync(std::move(written.durable), others);
  }

  // The disk is nearly full: what has arrived waits, in bounded memory.
  void Hold(std::vector<std::unique_ptr<v1::PutRequest>> requests, uint64_t bytes,
            uint64_t dropped_bytes) {
    std::vector<v1::PutReply::Done> none;
    uint64_t held_bytes = 0;
    for (const auto& request : requests) held_bytes += request->ByteSizeLong();
    held_bytes = std::min(held_bytes, bytes);
    bool read_on = false;
    {
      absl::MutexLock lock(&mutex_);
      working_ = false;
      const bool more_came = !inbox_.empty();  // With aborts, maybe.
      std::move(inbox_.begin(), inbox_.end(), std::back_inserter(requests));
      inbox_ = std::move(requests);
      inbox_bytes_ += held_bytes;
      if (more_came) StartJob();
      Reply(&none, dropped_bytes);
      read_on = TakeTurnToRead();
      FinishIfDone();
    }
    if (bytes > held_bytes) context_.put_budget->Release(bytes - held_bytes);
    if (read_on) ReadWhenThereIsRoom();
    AwaitDisk();
  }

  // Tells the client to wait, and goes on with what has arrived when there is room, maybe at once.
  void AwaitDisk() {
    const absl::Status room = context_.room->Check(this, [weak = weak_from_this()] {
      if (const std::shared_ptr<PutStream> stream = weak.lock()) stream->GoOn();
    });
    if (room.ok()) return GoOn();
    absl::MutexLock lock(&mutex_);
    if (!waits_for_.empty()) return;  // The client knows.
    waits_for_ = std::string(room.message());
    replies_.set_waiting(waits_for_);
    WriteReplies();
  }

  void GoOn() {
    absl::MutexLock lock(&mutex_);
    if (!inbox_.empty() && !finished_) StartJob();
  }

  void AwaitSync(std::vector<v1::PutReply::Done> dones, ThreadPool* others) {
    context_.sync->Wait(
        [stream = shared_from_this(), dones = std::move(dones)](
            const absl::Status& status) mutable { stream->EndSync(std::move(dones), status); },
        others);
  }

  void EndSync(std::vector<v1::PutReply::Done> dones, const absl::Status& status) {
    if (!status.ok()) {
      for (v1::PutReply::Done& done : dones) done = FailedPut(done.tag(), status);
    }
    bool read_on = false;
    {
      absl::MutexLock lock(&mutex_);
      --syncs_;
      Reply(&dones, 0);
      read_on = TakeTurnToRead();
      FinishIfDone();
    }
    if (read_on) ReadWhenThereIsRoom();
  }

  void Reply(std::vector<v1::PutReply::Done>* dones, uint64_t consumed_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (v1::PutReply::Done& done : *dones) replies_.add_done()->Swap(&done);
    if (!dones->empty()) replies_.set_waiting(waits_for_);  // Of what was written before.
    replies_.set_consumed_bytes(replies_.consumed_bytes() + consumed_bytes);
    WriteReplies();
  }

  void WriteReplies() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (broken_) replies_.Clear();
    const bool empty =
        replies_.done().empty() && replies_.consumed_bytes() == 0 && replies_.waiting().empty();
    if (writing_ || finished_ || empty) return;
    writing_ = true;
    outgoing_.Clear();
    outgoing_.Swap(&replies_);
    StartWrite(&outgoing_);  // Never calls back from within.
  }

  void FinishIfDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_ || !ended_ || working_ || syncs_ > 0 || writing_) return;
    if (!inbox_.empty() && !broken_) return;  // It waits for room.
    finished_ = true;
    Finish(broken_ ? grpc::Status(grpc::StatusCode::CANCELLED, "the stream broke")
                   : grpc::Status::OK);
  }

  const StreamContext context_;
  std::unique_ptr<PutJob> job_;               // Used by Work only.
  std::unique_ptr<v1::PutRequest> incoming_;  // Used by the read under way only.
  v1::PutReply outgoing_;                     // Used by the write under way only.

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<v1::PutRequest>> inbox_ ABSL_GUARDED_BY(mutex_);
  uint64_t inbox_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::PutReply replies_ ABSL_GUARDED_BY(mutex_);
  int syncs_ ABSL_GUARDED_BY(mutex_) = 0;        // Batches written and not synced.
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;  // Reading, or waiting for room to.
  absl::Time read_began_ ABSL_GUARDED_BY(mutex_) = absl::Now();
  // What came last came alone: the next is read once its reply is on its way, so that what gRPC has
  // to say about it goes with the reply.
  bool replies_first_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_for_room_ ABSL_GUARDED_BY(mutex_) = false;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;  // A job is posted or runs.
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;     // No more requests.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;    // Nobody listens.
  std::string waits_for_ ABSL_GUARDED_BY(mutex_);  // Room; as the client was told. Empty: does not.
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;

  std::shared_ptr<PutStream> self_;  // Until OnDone, for gRPC; jobs hold on to it, too.
};

}  // namespace

grpc::ServerBidiReactor<v1::PutRequest, v1::PutReply>* NewPutStream(const StreamContext& context) {
  return PutStream::Start(context);
}

}  // namespace bue::bucket
