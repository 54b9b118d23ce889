#include "bucket/get_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "bue/v1/bucket.pb.h"
#include "common/bucket_client/object_wire.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

// A reply is sent once it holds this much, or nobody has more to say. Small, so that many readers
// that have stopped reading fit into the budget beside those that go on.
constexpr uint64_t kReplyBytes = 128 << 10;
constexpr uint64_t kReplyBytesMax = kReplyBytes + kChunkBytesMax;
constexpr int kReplyPartsMax = 4096;
// Gets open on one stream at once.
constexpr size_t kTagsMax = 65536;
// Credit that a get can have.
constexpr uint64_t kCreditMax = uint64_t{1} << 40;

// One get. `credit` and `cancelled` are guarded by the stream's mutex, the rest is the job's.
struct OpenGet {
  v1::GetRequest::One request;
  std::unique_ptr<ObjectReader> reader;
  bool limited = false;
  int64_t credit = 0;  // Meaningless if not limited.
  bool cancelled = false;
  bool waiting = false;  // For credit.
};

void FailPart(const absl::Status& status, v1::GetReply::Part* part) {
  part->set_code(static_cast<uint32_t>(status.code()));
  part->set_message(std::string(status.message()));
  part->set_last(true);
}

void DescribePart(const ObjectInfo& info, v1::GetReply::Part* part) {
  part->set_kind(ToProto(info.kind));
  part->set_total_bytes(info.bytes);
  part->set_total_elements(info.elements);
}

// Adds the next part of `get` to `reply`: what it opens with, a chunk, the end.
absl::Status AddPart(ObjectStore* store, ObjectScan* scan, OpenGet* get, v1::GetReply::Part* part) {
  const v1::GetRequest::One& request = get->request;
  if (request.describe_only()) {
    ASSIGN_OR_RETURN(const ObjectInfo info, store->Describe(request.address()));
    DescribePart(info, part);
    part->set_last(true);
    return absl::OkStatus();
  }
  if (get->reader == nullptr) {
    ASSIGN_OR_RETURN(get->reader,
                     scan->OpenReader(request.address(), request.first(), request.count()));
    DescribePart(get->reader->info(), part);
  }
  ASSIGN_OR_RETURN(std::optional<StoredChunk> chunk, get->reader->Next());
  if (chunk.has_value()) {
    part->set_first_element(chunk->first_element);
    part->mutable_chunk()->set_elements(chunk->elements);
    part->mutable_chunk()->set_continued(chunk->continued);
    part->mutable_chunk()->set_data(std::move(chunk->data));
  }
  part->set_last(get->reader->AtEnd());
  return absl::OkStatus();
}

class GetStream final : public grpc::ServerBidiReactor<v1::GetRequest, v1::GetReply>,
                        public std::enable_shared_from_this<GetStream> {
 public:
  static GetStream* Start(const StreamContext& context, grpc::CallbackServerContext* call) {
    auto stream = std::make_shared<GetStream>(context, call);
    stream->self_ = stream;
    context.stalls->Add([weak = std::weak_ptr<GetStream>(stream)](absl::Time now) {
      const std::shared_ptr<GetStream> alive = weak.lock();
      if (alive != nullptr) alive->EndIfStalled(now);
      return alive != nullptr;
    });
    stream->StartSendInitialMetadata();  // So that a client knows it is connected.
    stream->StartRead(&stream->incoming_);
    return stream.get();
  }

  GetStream(const StreamContext& context, grpc::CallbackServerContext* call)
      : context_(context), call_(call) {}

  void OnReadDone(bool ok) override {
    uint64_t bytes = 0;
    bool work_here = false;
    const absl::Time now = absl::Now();
    {
      absl::MutexLock lock(&mutex_);
      const bool rested = gets_.empty() && !writing_;
      if (ok && Accept(incoming_)) {
        const bool alone = now - std::exchange(read_began_, now) > Shortcut::kAlone;
        const bool may_work = context_.get_shortcut->MayTake(this, now);
        work_here = may_work && rested && alone && MayWork() && turns_.size() == 1 &&
                    context_.get_shortcut->Take();
        if (work_here) working_ = true;
        StartRead(&incoming_);
        StartJob();
      } else {
        ended_ = true;
      }
      if (broken_) bytes = DropReady();
      FinishIfDone();
    }
    if (work_here) {
      WorkWhenThereIsRoom();
      context_.get_shortcut->Leave(now, absl::Now());
    }
    context_.get_budget->Release(bytes);
  }

  void OnWriteDone(bool ok) override {
    uint64_t bytes = 0;
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      std::swap(bytes, outgoing_bytes_);
      if (!ok) broken_ = true;
      if (broken_) bytes += DropReady();
      WriteReady();
      StartJob();
      FinishIfDone();
    }
    context_.get_budget->Release(bytes);
  }

  void OnCancel() override {
    uint64_t bytes = 0;
    {
      absl::MutexLock lock(&mutex_);
      broken_ = true;
      bytes = DropReady();
      FinishIfDone();
    }
    context_.get_budget->Release(bytes);
  }

  void OnDone() override { self_.reset(); }

 private:
  // False: the stream cannot go on.
  bool Accept(const v1::GetRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const v1::GetRequest::One& one : request.one()) {
      if (gets_.size() >= kTagsMax) {
        return Refuse(absl::ResourceExhaustedError(
            absl::StrCat("more than ", kTagsMax, " gets on one stream; wait for answers")));
      }
      auto get = std::make_unique<OpenGet>();
      get->request = one;
      get->limited = one.window_bytes() > 0;
      get->credit = std::min(one.window_bytes(), kCreditMax);
      if (!gets_.emplace(one.tag(), std::move(get)).second) {
        return Refuse(absl::InvalidArgumentError(absl::StrCat("tag ", one.tag(), " is in use")));
      }
      turns_.push_back(one.tag());
    }
    for (const v1::GetRequest::Credit& credit : request.credit()) Accept(credit);
    return true;
  }

  void Accept(const v1::GetRequest::Credit& credit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = gets_.find(credit.tag());
    if (found == gets_.end()) return;  // It ended meanwhile.
    OpenGet* get = found->second.get();
    if (credit.cancel()) get->cancelled = true;
    if (get->limited) AddCredit(credit.bytes(), get);
    if (get->waiting && (get->cancelled || get->credit > 0)) {
      get->waiting = false;
      turns_.push_back(credit.tag());
    }
  }

  static void AddCredit(uint64_t bytes, OpenGet* get) {
    get->credit += static_cast<int64_t>(std::min(bytes, kCreditMax));
    get->credit = std::min(get->credit, static_cast<int64_t>(kCreditMax));
  }

  bool Refuse(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    refusal_ = status;
    broken_ = true;
    return false;
  }

  bool MayWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (working_ || broken_ || ready_bytes_ > 0 || turns_.empty()) return false;
    // Not ahead of a reader while memory is short; it goes on when the write under way is done.
    return !writing_ || context_.get_budget->HasPlenty();
  }

  void StartJob() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!MayWork()) return;
    working_ = true;
    context_.pool->Post([stream = shared_from_this()] { stream->WorkWhenThereIsRoom(); });
  }

  // working_ is set. Without room, a Release somewhere calls this again, on the pool.
  void WorkWhenThereIsRoom() {
    const bool room = context_.get_budget->HasRoom([stream = shared_from_this()] {
      stream->context_.pool->Post([stream] { stream->WorkWhenThereIsRoom(); });
    });
    if (room) Work();
  }

  // Makes the next reply ready. On the pool or around it; one at a time.
  void Work() {
    context_.get_budget->Take(kReplyBytesMax);
    auto reply = std::make_unique<v1::GetReply>();
    const std::unique_ptr<ObjectScan> scan = context_.store->NewScan();
    uint64_t bytes = 0;
    while (bytes < kReplyBytes && reply->part_size() < kReplyPartsMax) {
      OpenGet* const get = TakeTurn();
      if (get == nullptr) break;
      v1::GetReply::Part* const part = reply->add_part();
      part->set_tag(get->request.tag());
      const absl::Status status = AddPart(context_.store, scan.get(), get, part);
      if (!status.ok()) FailPart(status, part);
      bytes += part->chunk().data().size() + 64;
      EndTurn(get, part->chunk().data().size(), part->last());
    }
    // What was reserved becomes what is held.
    context_.get_budget->Take(bytes);
    uint64_t unused = kReplyBytesMax;
    {
      absl::MutexLock lock(&mutex_);
      working_ = false;
      if (bytes > 0) {
        ready_ = std::move(reply);
        ready_bytes_ = bytes;
      }
      if (broken_) unused += DropReady();
      WriteReady();
      StartJob();
      FinishIfDone();
    }
    context_.get_budget->Release(unused);
  }

  // The get whose turn it is; null if none can go on.
  OpenGet* TakeTurn() {
    absl::MutexLock lock(&mutex_);
    while (!turns_.empty() && !broken_) {
      const uint64_t tag = turns_.front();
      turns_.pop_front();
      const auto found = gets_.find(tag);
      OpenGet* const get = found->second.get();
      if (get->cancelled) {
        gets_.erase(found);
      } else if (get->limited && get->credit <= 0) {
        get->waiting = true;
      } else {
        return get;
      }
    }
    return nullptr;
  }

  void EndTurn(OpenGet* get, uint64_t bytes, bool last) {
    absl::MutexLock lock(&mutex_);
    if (last) {
      gets_.erase(get->request.tag());
      return;
    }
    if (get->limited) get->credit -= static_cast<int64_t>(bytes);
    turns_.push_back(get->request.tag());
  }

  void WriteReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_ || broken_ || ready_bytes_ == 0) return;
    writing_ = true;
    write_began_ = absl::Now();
    outgoing_ = std::move(ready_);
    outgoing_bytes_ = std::exchange(ready_bytes_, 0);
    StartWrite(outgoing_.get());  // Never calls back from within.
  }

  // A write ends only when the reader has taken it; a cancelled one ends at once. The client learns
  // no more than that its stream was cancelled: what would say why is behind what it does not read.
  void EndIfStalled(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    uint64_t held_bytes = 0;
    {
      absl::MutexLock lock(&mutex_);
      if (!writing_ || broken_ || now - write_began_ < context_.stalls->patience()) return;
      broken_ = true;
      cancelling_ = true;  // The call stays until it was cancelled.
      held_bytes = outgoing_bytes_ + ready_bytes_;
    }
    log::warn("get stream not read peer={} for={} held_bytes={} action=end", call_->peer(),
              context_.stalls->patience(), held_bytes);
    call_->TryCancel();
    absl::MutexLock lock(&mutex_);
    cancelling_ = false;
    FinishIfDone();
  }

  // Returns the bytes to give back.
  uint64_t DropReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ready_.reset();
    return std::exchange(ready_bytes_, 0);
  }

  void FinishIfDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (finished_ || !ended_ || working_ || writing_ || cancelling_ || ready_bytes_ > 0) return;
    // A client that only ended its requests still gets its answers, unless they wait for credit.
    if (!broken_ && !turns_.empty()) return;
    finished_ = true;
    Finish(grpc::Status(static_cast<grpc::StatusCode>(refusal_.code()),
                        std::string(refusal_.message())));
  }

  const StreamContext context_;
  grpc::CallbackServerContext* const call_;  // Until it is finished.
  v1::GetRequest incoming_;                  // Used by the read under way only.
  std::unique_ptr<v1::GetReply> outgoing_;   // Used by the write under way only.

  absl::Mutex mutex_;
  absl::Time read_began_ ABSL_GUARDED_BY(mutex_) = absl::Now();
  absl::flat_hash_map<uint64_t, std::unique_ptr<OpenGet>> gets_ ABSL_GUARDED_BY(mutex_);
  std::deque<uint64_t> turns_ ABSL_GUARDED_BY(mutex_);  // Tags that can go on; each at most once.
  std::unique_ptr<v1::GetReply> ready_ ABSL_GUARDED_BY(mutex_);
  uint64_t ready_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: no reply is ready.
  uint64_t outgoing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  bool working_ ABSL_GUARDED_BY(mutex_) = false;  // A job waits for its thread or room, or runs.
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time write_began_ ABSL_GUARDED_BY(mutex_);  // While writing.
  bool cancelling_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;   // No more requests.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // Nobody listens.
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;

  std::shared_ptr<GetStream> self_;  // Until OnDone, for gRPC; jobs hold on to it, too.
};

}  // namespace

grpc::ServerBidiReactor<v1::GetRequest, v1::GetReply>* NewGetStream(
    const StreamContext& context, grpc::CallbackServerContext* call) {
  return GetStream::Start(context, call);
}

}  // namespace bue::bucket
