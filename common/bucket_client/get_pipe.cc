#include "common/bucket_client/get_pipe.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "common/bucket_client/get_ops.h"
#include "common/bucket_client/pipe_stream.h"

namespace bue {
namespace {

constexpr int kMessageItemsMax = 1024;
// Gets that the bucket knows of at once; it allows four times as many.
constexpr size_t kAskedMax = 16384;

}  // namespace

GetBatch::GetBatch(size_t items, uint64_t bytes_max, BucketClient::GetDone done)
    : bytes_max_(bytes_max),
      missing_(items),
      results_(items, absl::StatusOr<Fetched>(Fetched())),
      done_(std::move(done)) {}

void GetBatch::Answer(size_t index, absl::StatusOr<Fetched> fetched) {
  results_[index] = std::move(fetched);
  if (missing_.fetch_sub(1) == 1) done_(std::move(results_));
}

bool IsOfAnotherStore(const absl::Status& status) { return absl::IsFailedPrecondition(status); }

class GetPipe::Core final : public PipeOwner<v1::GetRequest, v1::GetReply>,
                            public std::enable_shared_from_this<GetPipe::Core> {
 public:
  Core(std::shared_ptr<grpc::Channel> channel, const PipeOptions& options, OnForeign on_foreign)
      : options_(options),
        on_foreign_(std::move(on_foreign)),
        stub_(v1::Bucket::NewStub(std::move(channel))),
        stream_(&mutex_, this, options,
                [this](auto* context, auto* reactor) { stub_->async()->Get(context, reactor); }) {}

  void Get(std::vector<Fetch> fetches) {
    {
      absl::MutexLock lock(&mutex_);
      for (Fetch& fetch : fetches) {
        auto op = std::make_shared<FetchOp>(std::move(fetch));
        if (stream_.closed()) {
          op->Fail(ClosedError());
          finished_.push_back(std::move(op));
        } else {
          Add(std::move(op));
        }
      }
      stream_.Pump();
    }
    Deliver();
  }

  // Returns the tag.
  uint64_t StartRead(const std::shared_ptr<ReadOp>& read) {
    absl::MutexLock lock(&mutex_);
    if (stream_.closed()) {
      read->Fail(ClosedError());
      return 0;
    }
    const uint64_t tag = Add(read);
    stream_.Pump();
    return tag;
  }

  // Waits for the first part.
  absl::Status AwaitOpen(const ReadOp& read) {
    absl::MutexLock lock(&mutex_);
    while (!read.opened() && read.status().ok()) changed_.Wait(&mutex_);
    return read.status();
  }

  absl::StatusOr<std::optional<ValueReader::Chunk>> Next(uint64_t tag, ReadOp* read) {
    absl::MutexLock lock(&mutex_);
    while (!read->HasChunk() && !read->ended() && read->status().ok()) changed_.Wait(&mutex_);
    if (!read->HasChunk()) {
      if (!read->status().ok()) return read->status();
      return std::optional<ValueReader::Chunk>();
    }
    uint64_t credit = 0;
    ValueReader::Chunk chunk = read->TakeChunk(&credit);
    GiveCredit(tag, credit);
    stream_.Pump();
    return std::optional<ValueReader::Chunk>(std::move(chunk));
  }

  void StopRead(uint64_t tag) {
    absl::MutexLock lock(&mutex_);
    Cancel(tag);
    stream_.Pump();
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
    return !ops_.empty() || !credits_.empty();
  }

  bool BuildRequest(v1::GetRequest* request) override {
    mutex_.AssertHeld();
    for (auto& [tag, credit] : credits_) {
      v1::GetRequest::Credit* const out = request->add_credit();
      out->set_tag(tag);
      out->set_bytes(credit.bytes);
      out->set_cancel(credit.cancel);
    }
    credits_.clear();
    while (!queue_.empty() && request->one_size() < kMessageItemsMax && asked_ < kAskedMax) {
      const uint64_t tag = queue_.front();
      queue_.pop_front();
      const auto found = ops_.find(tag);
      if (found == ops_.end()) continue;  // Cancelled meanwhile.
      v1::GetRequest::One* const one = request->add_one();
      one->set_tag(tag);
      found->second.op->Ask(one);
      found->second.asked = true;
      ++asked_;
    }
    return request->one_size() > 0 || request->credit_size() > 0;
  }

  void TakeReply(v1::GetReply* reply) override {
    mutex_.AssertHeld();
    for (v1::GetReply::Part& part : *reply->mutable_part()) TakePart(&part);
    changed_.SignalAll();
  }

  void StreamBroke() override {
    mutex_.AssertHeld();
    credits_.clear();
    asked_ = 0;
    std::vector<uint64_t> tags;
    for (auto& [tag, open] : ops_) {
      open.asked = false;
      tags.push_back(tag);
    }
    std::sort(tags.begin(), tags.end());
    queue_.assign(tags.begin(), tags.end());
  }

  void GiveUp(const absl::Status& status) override {
    mutex_.AssertHeld();
    for (auto& [tag, open] : ops_) {
      open.op->Fail(status);
      finished_.push_back(std::move(open.op));
    }
    ops_.clear();
    queue_.clear();
    credits_.clear();
    asked_ = 0;
    changed_.SignalAll();
  }

  void Deliver() override {
    std::vector<std::shared_ptr<GetOp>> finished;
    {
      absl::MutexLock lock(&mutex_);
      finished.swap(finished_);
    }
    for (const std::shared_ptr<GetOp>& op : finished) {
      if (auto* const fetch = dynamic_cast<FetchOp*>(op.get())) {
        Answer(fetch->fetch(), std::move(fetch->result()));
      }
    }
  }

 private:
  struct OpenOp {
    std::shared_ptr<GetOp> op;
    bool asked = false;
  };
  struct Credit {
    uint64_t bytes = 0;
    bool cancel = false;
  };

  static absl::Status ClosedError() {
    return PipeStream<v1::GetRequest, v1::GetReply>::ClosedError();
  }

  void Answer(const Fetch& fetch, absl::StatusOr<Fetched> result) const {
    if (IsOfAnotherStore(result.status()) && !fetch.moved) {
      on_foreign_(fetch);
    } else {
      fetch.batch->Answer(fetch.index, std::move(result));
    }
  }

  uint64_t Add(std::shared_ptr<GetOp> op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const uint64_t tag = next_tag_++;
    ops_.emplace(tag, OpenOp{.op = std::move(op)});
    queue_.push_back(tag);
    return tag;
  }

  void TakePart(v1::GetReply::Part* part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = ops_.find(part->tag());
    if (found == ops_.end()) return;  // Cancelled meanwhile.
    GetOp* const op = found->second.op.get();
    if (part->code() != 0) {
      op->Fail(absl::Status(static_cast<absl::StatusCode>(part->code()), part->message()));
      Finish(found);
      return;
    }
    uint64_t credit = 0;
    switch (op->Take(part, &credit)) {
      case GetOp::Next::kMore:
        GiveCredit(part->tag(), credit);
        return;
      case GetOp::Next::kCancel:
        credits_[part->tag()].cancel = true;
        Finish(found);
        return;
      case GetOp::Next::kDone:
        Finish(found);
        return;
    }
  }

  using Ops = absl::flat_hash_map<uint64_t, OpenOp>;

  void Finish(Ops::iterator found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    finished_.push_back(std::move(found->second.op));
    if (found->second.asked) --asked_;
    ops_.erase(found);
  }

  // Lets the bucket send so much more for `tag`, if it still has anything to send.
  void GiveCredit(uint64_t tag, uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = ops_.find(tag);
    if (bytes > 0 && found != ops_.end() && found->second.asked) credits_[tag].bytes += bytes;
  }

  void Cancel(uint64_t tag) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = ops_.find(tag);
    if (found == ops_.end()) return;
    if (found->second.asked) {
      credits_[tag].cancel = true;
      --asked_;
    }
    ops_.erase(found);
  }

  const PipeOptions options_;
  const OnForeign on_foreign_;

  mutable absl::Mutex mutex_;
  std::unique_ptr<v1::Bucket::Stub> stub_;  // Guarded by mutex_. Null once shut down.
  absl::CondVar changed_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_tag_ ABSL_GUARDED_BY(mutex_) = 1;
  Ops ops_ ABSL_GUARDED_BY(mutex_);                     // Without an answer, by tag.
  std::deque<uint64_t> queue_ ABSL_GUARDED_BY(mutex_);  // Tags to ask for.
  size_t asked_ ABSL_GUARDED_BY(mutex_) = 0;            // Of ops_.
  absl::flat_hash_map<uint64_t, Credit> credits_ ABSL_GUARDED_BY(mutex_);  // To be sent.
  std::vector<std::shared_ptr<GetOp>> finished_ ABSL_GUARDED_BY(mutex_);   // To be delivered.
  PipeStream<v1::GetRequest, v1::GetReply> stream_;  // Guarded by mutex_, but for Close.
};

namespace {

class PipeReader final : public ValueReader {
 public:
  PipeReader(std::shared_ptr<GetPipe::Core> pipe, std::shared_ptr<ReadOp> read, uint64_t tag)
      : pipe_(std::move(pipe)),
        read_(std::move(read)),
        tag_(tag),
        kind_(read_->kind()),
        total_bytes_(read_->total_bytes()),
        total_elements_(read_->total_elements()) {}

  ~PipeReader() override { pipe_->StopRead(tag_); }

  absl::StatusOr<std::optional<Chunk>> Next() override { return pipe_->Next(tag_, read_.get()); }

  ObjectKind kind() const override { return kind_; }
  uint64_t total_bytes() const override { return total_bytes_; }
  uint64_t total_elements() const override { return total_elements_; }

 private:
  const std::shared_ptr<GetPipe::Core> pipe_;
  const std::shared_ptr<ReadOp> read_;
  const uint64_t tag_;
  const ObjectKind kind_;
  const uint64_t total_bytes_;
  const uint64_t total_elements_;
};

}  // namespace

GetPipe::GetPipe(std::shared_ptr<grpc::Channel> channel, const PipeOptions& options,
                 OnForeign on_foreign)
    : core_(std::make_shared<Core>(std::move(channel), options, std::move(on_foreign))),
      read_bytes_max_(options.read_bytes_max) {}

GetPipe::~GetPipe() { Shutdown(); }

void GetPipe::Shutdown() { core_->Shutdown(); }

void GetPipe::Get(std::vector<Fetch> fetches) { core_->Get(std::move(fetches)); }

absl::StatusOr<std::unique_ptr<ValueReader>> GetPipe::OpenReader(const GetItem& item) {
  auto read = std::make_shared<ReadOp>(item, read_bytes_max_);
  const uint64_t tag = core_->StartRead(read);
  if (const absl::Status opened = core_->AwaitOpen(*read); !opened.ok()) return opened;
  return std::unique_ptr<ValueReader>(std::make_unique<PipeReader>(core_, std::move(read), tag));
}

void GetPipe::Tick(absl::Time now) { core_->Tick(now); }

PipeState GetPipe::state() const { return core_->state(); }

}  // namespace bue
