// Transfers moves large values between runners and the bucket, chunk by chunk, on a few threads of
// its own, because the bucket's readers and writers block. Per reader and writer everything happens
// in order, one thing at a time.
//
// Thread-safe. Answers come through TransferEvents, from the transfer threads.
#ifndef BUE_WORKER_PYTHON_TRANSFERS_H_
#define BUE_WORKER_PYTHON_TRANSFERS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/bucket_client/bucket_client.h"
#include "worker/core/element_hash.h"
#include "worker/executor.h"

namespace bue::worker {

class TransferEvents {
 public:
  virtual ~TransferEvents() = default;
  // The next chunk of a reader; nullopt at its end. After that or an error nothing more comes.
  virtual void OnChunkRead(uint32_t reader, absl::StatusOr<std::optional<std::string>> chunk) = 0;
  // `bytes` of a writer's appends are off the worker's hands.
  virtual void OnAppended(uint32_t writer, uint64_t bytes) = 0;
  // A flush: what was appended is durable. `hash`: of a source's elements.
  virtual void OnFlushed(uint32_t writer, const ValueWriter::Written& written, uint64_t hash) = 0;
  // The answer to Finish, or an error of any move before. The writer is closed.
  virtual void OnClosed(uint32_t writer, absl::StatusOr<ValueWriter::Written> written) = 0;
};

class Transfers {
 public:
  using Opener = std::function<absl::StatusOr<std::unique_ptr<InputStream>>()>;

  // `bucket` may be null: then writers fail. Both outlive this.
  Transfers(BucketClient* bucket, TransferEvents* events);
  // Waits for what the bucket is being asked just now.
  ~Transfers();

  // Reads ahead by at most `window_bytes` more than was acknowledged.
  uint32_t StartReader(Opener open, uint64_t window_bytes);
  void Acknowledge(uint32_t reader, uint64_t bytes);
  // Nothing is said of it any more, but for what is on its way.
  void DropReader(uint32_t reader);

  uint32_t StartWriter(ObjectKind kind, const Origin& origin);
  // The same for the elements of a source, which fails if it does not begin with what was `yielded`
  // by an earlier attempt: FailedPrecondition.
  uint32_t StartSource(const Origin& origin, const Yielded& yielded);
  void Append(uint32_t writer, std::string data, uint64_t elements, bool continued, bool flush);
  // `whole`: everything was appended. A source that failed or was given back may be short of what
  // it had yielded before.
  void Finish(uint32_t writer, bool whole);
  // Forgets the object, silently.
  void Abort(uint32_t writer);

 private:
  struct Move {
    enum class Kind : uint8_t { kAppend, kFinish, kAbort } kind = Kind::kAppend;
    std::string data;
    uint64_t elements = 0;
    bool continued = false;
    bool flush = false;
    bool whole = false;  // kFinish
  };
  // A reader or a writer. What is not guarded is used by the thread that has it in hand.
  struct Transfer {
    uint32_t number = 0;
    bool is_reader = false;
    bool queued = false;  // In ready_, or in a thread's hand.
    bool dropped = false;
    Opener open;
    uint64_t window_bytes = 0;
    uint64_t unacknowledged = 0;
    std::deque<Move> moves;

    std::unique_ptr<InputStream> stream;
    ObjectKind kind = ObjectKind::kValue;
    Origin origin;
    std::unique_ptr<ValueWriter> writer;
    std::optional<ElementHash> hash;  // Of a source.
    bool within_element = false;      // What was appended last is not the end of an element.
    bool closed = false;
  };
  using TransferPtr = std::shared_ptr<Transfer>;

  uint32_t AddWriter(TransferPtr transfer);
  void AddMove(uint32_t writer, Move move);
  TransferPtr Find(uint32_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeReady(const TransferPtr& transfer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static bool HasWork(const Transfer& transfer);
  void Work();
  void ReadOne(Transfer* transfer);
  void Write(Transfer* transfer, std::deque<Move> moves);
  absl::Status WriteMoves(Transfer* transfer, std::deque<Move> moves);

  BucketClient* const bucket_;
  TransferEvents* const events_;

  absl::Mutex mutex_;
  absl::flat_hash_map<uint32_t, TransferPtr> transfers_ ABSL_GUARDED_BY(mutex_);
  std::deque<TransferPtr> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_TRANSFERS_H_
