// The two things one asks a Get stream for, as state machines over the parts that arrive: FetchOp
// puts an object or a range together, ReadOp queues chunks for a streaming reader. Both know how to
// ask again after the stream broke.
// Guarded by their pipe's lock; no I/O here.
#ifndef BUE_COMMON_BUCKET_CLIENT_GET_OPS_H_
#define BUE_COMMON_BUCKET_CLIENT_GET_OPS_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bue/v1/bucket.pb.h"
#include "common/bucket_client/bucket_client.h"
#include "common/bucket_client/get_pipe.h"

namespace bue {

class GetOp {
 public:
  virtual ~GetOp() = default;

  // What to ask for, now. Called again when the stream broke.
  virtual void Ask(v1::GetRequest::One* one) = 0;

  enum class Next {
    kMore,    // Of the same.
    kDone,    // The op has its answer and the bucket knows.
    kCancel,  // The op has its answer, the bucket is to send no more.
  };
  // A part without an error. Adds to `credit` what the bucket may send in exchange.
  virtual Next Take(v1::GetReply::Part* part, uint64_t* credit) = 0;
  // The op's answer is an error. The last call.
  virtual void Fail(const absl::Status& status) = 0;
};

// Gathers one object or range. Take returns kDone or kCancel once `result` is the answer.
class FetchOp final : public GetOp {
 public:
  explicit FetchOp(GetPipe::Fetch fetch) : fetch_(std::move(fetch)) {}

  const GetPipe::Fetch& fetch() const { return fetch_; }
  absl::StatusOr<Fetched>& result() { return result_; }

  void Ask(v1::GetRequest::One* one) override;
  Next Take(v1::GetReply::Part* part, uint64_t* credit) override;
  void Fail(const absl::Status& status) override { result_ = status; }

 private:
  bool is_range() const { return fetch_.item.count != 0; }
  Next TooBig(bool last);
  absl::Status Add(v1::GetReply::Part* part);
  void AddWhole(v1::GetReply::Part* part);

  const GetPipe::Fetch fetch_;
  absl::StatusOr<Fetched> result_ = Fetched();
  bool opened_ = false;
  uint64_t total_elements_ = 0;
};

// Queues the chunks of one object or range.
class ReadOp final : public GetOp {
 public:
  ReadOp(const GetItem& item, uint64_t window_bytes) : item_(item), window_bytes_(window_bytes) {}

  bool opened() const { return opened_; }
  bool ended() const { return ended_; }
  const absl::Status& status() const { return status_; }
  ObjectKind kind() const { return kind_; }
  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t total_elements() const { return total_elements_; }

  bool HasChunk() const { return !chunks_.empty(); }
  // Adds to `credit` what the bucket may send in exchange.
  ValueReader::Chunk TakeChunk(uint64_t* credit);

  void Ask(v1::GetRequest::One* one) override;
  Next Take(v1::GetReply::Part* part, uint64_t* credit) override;
  void Fail(const absl::Status& status) override { status_ = status; }

 private:
  // A chunk, and the bytes that it took of the window before it was cut.
  struct Received {
    ValueReader::Chunk chunk;
    uint64_t window_bytes = 0;
  };

  bool is_range() const { return item_.count != 0; }
  uint64_t end() const;
  void Remember(const v1::GetReply::Part& part);
  absl::Status Queue(v1::GetReply::Part* part);

  const GetItem item_;
  const uint64_t window_bytes_;
  bool opened_ = false;
  bool ended_ = false;
  absl::Status status_;
  ObjectKind kind_ = ObjectKind::kValue;
  uint64_t total_bytes_ = 0;
  uint64_t total_elements_ = 0;
  std::deque<Received> chunks_;
  uint64_t queued_window_bytes_ = 0;  // Sum over chunks_.

  // Where to go on after a break: ask for elements from resume_first_ on (lists with elements), and
  // drop so many chunks, which were received before.
  uint64_t resume_first_ = 0;
  bool resume_in_list_ = false;
  uint64_t resume_drop_ = 0;
  uint64_t dropping_ = 0;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_GET_OPS_H_
