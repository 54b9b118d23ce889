// BucketClient puts, gets, streams and deletes objects in one or several buckets. The writer's run
// and item pick the bucket of a new object; after that its address names it.
//
// A bucket whose disk is nearly full is waited for, without limit: puts and writers go on when it
// has room again. A bucket that restarts is waited for: unacknowledged puts and unanswered gets are
// sent again, streaming reads go on where they were. Only streaming writes fail (Unavailable): the
// attempt that writes is to be tried again. NotFound and DataLoss mean that the data is gone for
// good: the bucket that owns the address says so, or every bucket was asked and none is the store
// that the address names (any more). Every other error means "not now".
//
// Thread-safe. Callbacks run on threads of the client or of gRPC, at most once, never under a lock
// of the client, and must not block.
#ifndef BUE_COMMON_BUCKET_CLIENT_BUCKET_CLIENT_H_
#define BUE_COMMON_BUCKET_CLIENT_BUCKET_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/bucket_client/object.h"

namespace bue {

struct PutItem {
  ObjectKind kind = ObjectKind::kValue;
  Origin origin;
  uint64_t elements = 0;  // Lists: how many `data` holds.
  std::string data;       // At most kChunkBytesMax; use a ValueWriter for more.
};

struct GetItem {
  uint64_t address = kNoObject;
  uint64_t first = 0;  // Lists: elements [first, first + count), cut at the list's end.
  uint64_t count = 0;  // 0: the whole object.
  // Ranges: as many as `bytes_max` bytes of the chunks that hold it, and not cut. For who wants the
  // elements around it, too.
  bool whole_chunks = false;
};

struct Fetched {
  ObjectKind kind = ObjectKind::kValue;
  // A range holds exactly the elements asked for. Whole chunks begin with element `first`, at or
  // before that of the range; they may end in the middle of an element.
  std::string data;
  uint64_t first = 0;
  uint64_t elements = 0;  // Lists: in `data`; if too_big or in whole chunks, of the whole object.
  uint64_t total_bytes = 0;  // Of the whole object.
  // More than bytes_max: no data; of whole chunks the first bytes_max, and up to a chunk more.
  bool too_big = false;
};

// Writes one object of any size, front to back. Blocking; for one thread. Destroying a writer that
// was not finished aborts it. Any error closes the writer; Unavailable: the bucket went away.
class ValueWriter {
 public:
  virtual ~ValueWriter() = default;

  // Adds `bytes`, in which `elements` list elements begin (0 for values and bytes). The last one
  // may be incomplete: `continued` bytes then go on with it and hold nothing else (elements = 0).
  // Waits while the client has its window of bytes under way.
  virtual absl::Status Append(absl::string_view bytes, uint64_t elements, bool continued) = 0;

  struct Written {
    uint64_t address = kNoObject;
    uint64_t elements = 0;
    uint64_t bytes = 0;
  };
  // Waits until everything appended is durable and may be read at `address`.
  virtual absl::StatusOr<Written> Flush() = 0;
  // The same, and the object is complete. Nothing may be appended after it.
  virtual absl::StatusOr<Written> Finish() = 0;
  // The object is not wanted. Idempotent; does nothing after Finish.
  virtual void Abort() = 0;
};

// Reads one object, or a range of a list, front to back in bounded memory. Blocking; for one
// thread.
class ValueReader {
 public:
  virtual ~ValueReader() = default;

  struct Chunk {
    std::string data;
    // Lists: elements that begin in `data`. They are whole, unless the next chunk is `continued`:
    // then the last one goes on there.
    uint64_t elements = 0;
    uint64_t first_element = 0;  // Number of the first element that begins here, or the next to.
    bool continued = false;      // `data` goes on with the element before first_element.
  };
  // Nullopt at the end. A range holds exactly the elements asked for, cut at the list's end.
  virtual absl::StatusOr<std::optional<Chunk>> Next() = 0;

  // Of the whole object; of an unfinished one as of its last flush.
  virtual ObjectKind kind() const = 0;
  virtual uint64_t total_bytes() const = 0;
  virtual uint64_t total_elements() const = 0;
};

struct BucketClientOptions {
  std::vector<std::string> buckets;  // HOST:PORT of each; not empty.
  std::string token;
  absl::Duration connect_timeout = absl::Seconds(10);
  // How long puts, gets and deletes wait for a bucket that went away.
  absl::Duration patience = absl::Minutes(5);
  // Appended bytes under way per bucket, over all writers.
  uint64_t append_bytes_max = 4 << 20;
  // Called when a bucket's disk is nearly full, with its message, and with an empty one when there
  // is room again: what is put waits in between. Each once.
  std::function<void(const std::string& bucket, const std::string& why)> on_waiting;
  // Called when something has waited for a bucket that is away for `say_away_after` (true), and
  // when that bucket is back (false). Each once, by a thread of the client.
  std::function<void(const std::string& bucket, bool away)> on_away;
  absl::Duration say_away_after = absl::Seconds(2);
  // Whether `buckets` are all that there are; unset: yes. If not, a store that none of them is may
  // be another one: what was asked for there fails with FailedPrecondition. Asked by any thread,
  // until Shutdown has returned.
  std::function<bool()> knows_all;
  // Called when something of a store was asked for that is gone, as StoreIsGone has it, with the
  // message. Once for each store.
  std::function<void(uint16_t store, const std::string& why)> on_store_gone;
  // Bytes that a reader may be sent ahead of Next().
  uint64_t read_bytes_max = 2 << 20;
};

struct BucketInfo {
  std::string bucket;  // HOST:PORT
  uint16_t store = 0;
  uint64_t objects = 0;  // An estimate.
  uint64_t bytes = 0;    // On disk and in memory, an estimate.
  uint64_t disk_free_bytes = 0;
  std::string version;
};

// One row of a listing.
struct ListedObject {
  uint64_t address = kNoObject;
  Origin origin;
  uint64_t bytes = 0;     // As of the last flush if it is not finished.
  bool finished = false;  // Complete, not still being written (or broken off).
  absl::Duration age;     // By the bucket's clock.
};

class BucketClient {
 public:
  // Unavailable: a bucket did not answer in time. FailedPrecondition: two buckets have one store id
  // (one data directory was copied). Unauthenticated: wrong token.
  static absl::StatusOr<std::unique_ptr<BucketClient>> Connect(BucketClientOptions options);
  static absl::StatusOr<std::unique_ptr<BucketClient>> Connect(std::vector<std::string> buckets,
                                                               std::string token,
                                                               absl::Duration timeout);
  // Fails what is under way with Cancelled; returns after the last callback. Outlives every writer
  // and reader it opened.
  virtual ~BucketClient() = default;

  // Fails what is under way, and whatever comes later, with Cancelled: who is blocked in a reader
  // or writer returns. For a process that ends while a bucket is away. Idempotent.
  virtual void Shutdown() {}

  // Puts whole objects; answers once all are durable or failed: addresses, in the order of `items`.
  // Returns at once and keeps the items: callers bound what they have under way.
  using PutDone = std::function<void(std::vector<absl::StatusOr<uint64_t>>)>;
  virtual void Put(std::vector<PutItem> items, PutDone done) = 0;

  // Drops what of this run waits for a bucket that has no room, put whole or by writers that never
  // flushed: it fails with Cancelled. What the bucket is about to write is left to the sweep.
  virtual void Forget(uint64_t run) { static_cast<void>(run); }

  // Gets objects or ranges. What is larger than `bytes_max` (each) comes back too_big and without
  // data: open a reader. bytes_max 0 describes: nothing is sent but kind and sizes. Address 0 gives
  // MessagePack's nil.
  using GetDone = std::function<void(std::vector<absl::StatusOr<Fetched>>)>;
  virtual void Get(std::vector<GetItem> items, uint64_t bytes_max, GetDone done) = 0;

  // Does not wait for the bucket; errors come from the writer.
  virtual absl::StatusOr<std::unique_ptr<ValueWriter>> OpenWriter(ObjectKind kind,
                                                                  const Origin& origin) = 0;

  // Blocks until the object's first part is here. `first` and `count` as in GetItem.
  virtual absl::StatusOr<std::unique_ptr<ValueReader>> OpenReader(uint64_t address,
                                                                  uint64_t first = 0,
                                                                  uint64_t count = 0) = 0;

  // Blocks until the deletion is durable. Unknown addresses are fine, and what lay in a store that
  // is gone counts as deleted. Buckets that cannot be reached do not keep the others from being
  // asked: Unavailable is the answer after that.
  virtual absl::Status Delete(std::vector<uint64_t> addresses) = 0;

  // At most `limit` objects (and at most 4096) of one bucket in the order of their addresses, those
  // above `after`; begin with MakeAddress(its store, 0), end with an empty answer. `hub`: the id of
  // the hub that sweeps, which makes the bucket its own (bucket.proto); empty: only to look.
  // Blocks.
  virtual absl::StatusOr<std::vector<ListedObject>> List(uint64_t /*after*/, size_t /*limit*/,
                                                         const std::string& /*hub*/ = "") {
    return absl::UnimplementedError("this client cannot list objects");
  }

  // Whether the last answer for something of this store was NotFound because none of the buckets is
  // that store (any more): all that it held is gone. A bucket was started on another directory.
  virtual bool StoreIsGone(uint16_t) const { return false; }

  // Asks every bucket, now. Blocks.
  virtual absl::StatusOr<std::vector<BucketInfo>> Info(absl::Duration timeout) = 0;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_BUCKET_CLIENT_H_
