// ObjectStore is where a bucket keeps its objects. The bucket's service talks to this interface
// alone; RocksDbObjectStore is the engine behind it, others can come.
//
// Nothing written is durable until a Sync() that began after the write has returned: callers write
// first, share one Sync, then answer.
//
// Errors: NotFound and DataLoss (a checksum does not match) mean that data is gone for good;
// FailedPrecondition: the address names another store; InvalidArgument: the caller asked for
// something that cannot be; anything else: an I/O error.
//
// Thread-safe; everything may block on the disk. A writer and a reader are for one thread at a
// time.
#ifndef BUE_BUCKET_OBJECT_STORE_H_
#define BUE_BUCKET_OBJECT_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/bucket_client/object.h"

namespace bue::bucket {

// An object put whole. `data` is at most kChunkBytesMax.
struct NewObject {
  ObjectKind kind = ObjectKind::kValue;
  Origin origin;
  uint64_t elements = 0;
  absl::string_view data;
};

// A chunk of a streamed object, at most kChunkBytesMax. `elements` list elements begin in it; a
// continued chunk goes on with the element before and holds nothing else.
struct NewChunk {
  absl::string_view data;
  uint64_t elements = 0;
  bool continued = false;
};

struct StoredChunk {
  std::string data;
  uint64_t first_element = 0;  // Number of the first element that begins here, or the next to.
  uint64_t elements = 0;
  bool continued = false;
};

struct ObjectInfo {
  ObjectKind kind = ObjectKind::kValue;
  Origin origin;
  uint64_t elements = 0;  // Of an unfinished object: as of its last flush. So are bytes.
  uint64_t bytes = 0;
  bool finished = false;
  uint32_t created_s = 0;  // Unix time.
};

// How far a writer is.
struct ObjectProgress {
  uint64_t address = kNoObject;
  uint64_t elements = 0;
  uint64_t bytes = 0;
};

struct StoreStats {
  uint64_t objects = 0;  // Exact for what was put and deleted since the start, else estimated.
  uint64_t bytes = 0;    // On disk and in memory, garbage included.
  uint64_t disk_free_bytes = 0;
};

// One row of a listing, for sweeps.
struct ListedObject {
  uint64_t address = kNoObject;
  ObjectInfo info;
};

// Appends to one object. What was never flushed is dropped with the writer; a flushed prefix stays,
// since somebody may hold its address.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;

  virtual absl::Status Append(absl::Span<const NewChunk> chunks) = 0;
  // Makes what was appended readable, and durable with the next Sync.
  virtual absl::StatusOr<ObjectProgress> Flush() = 0;
  // The same, and completes the object. The last call.
  virtual absl::StatusOr<ObjectProgress> Finish() = 0;
  // Deletes the object, flushed or not. The last call.
  virtual absl::Status Abort() = 0;
};

// Reads one object as it was when opened.
class ObjectReader {
 public:
  virtual ~ObjectReader() = default;

  virtual const ObjectInfo& info() const = 0;
  // Whether Next() would give nullopt.
  virtual bool AtEnd() const = 0;
  virtual absl::StatusOr<std::optional<StoredChunk>> Next() = 0;
};

// Opens objects one after another; those that were put one after another at a fraction of what a
// search for each costs. For a moment: meanwhile nothing deleted is given back to the disk. The
// readers outlive it. For one thread.
class ObjectScan {
 public:
  virtual ~ObjectScan() = default;

  // Lists: the chunks that hold elements [first, first + count), cut at the list's end but not
  // inside chunks; count 0: everything. Other kinds only have everything.
  virtual absl::StatusOr<std::unique_ptr<ObjectReader>> OpenReader(uint64_t address, uint64_t first,
                                                                   uint64_t count) = 0;
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // The upper bits of this store's addresses; never changes.
  virtual uint16_t store_id() const = 0;

  // ResourceExhausted, with the remedy, if the disk is nearly full: nothing is to be put or
  // appended then. Cheap: callers ask before every batch.
  virtual absl::Status CheckRoom() = 0;
  // Gives space of what was deleted back to the disk, as far as that takes little of it. May take
  // seconds; does nothing unless something was deleted since the last time. One thread at a time.
  virtual void Reclaim() = 0;

  // All or nothing. Addresses grow in the order given.
  virtual absl::StatusOr<std::vector<uint64_t>> Put(absl::Span<const NewObject> objects) = 0;
  virtual absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(ObjectKind kind,
                                                                   const Origin& origin) = 0;
  // Unknown addresses are fine. FailedPrecondition if some are other stores'; the rest is deleted.
  virtual absl::Status Delete(absl::Span<const uint64_t> addresses) = 0;
  // Returns once everything written before is durable.
  virtual absl::Status Sync() = 0;

  virtual absl::StatusOr<ObjectInfo> Describe(uint64_t address) = 0;
  virtual std::unique_ptr<ObjectScan> NewScan() = 0;
  // One object; as ObjectScan::OpenReader.
  absl::StatusOr<std::unique_ptr<ObjectReader>> OpenReader(uint64_t address, uint64_t first,
                                                           uint64_t count) {
    return NewScan()->OpenReader(address, first, count);
  }
  // From now on only this hub may sweep here; FailedPrecondition if another one came first.
  virtual absl::Status ClaimFor(const std::string& hub) = 0;
  // At most `limit` objects with addresses above `after`, in order. What is left of an object whose
  // head is gone has no origin.
  virtual absl::StatusOr<std::vector<ListedObject>> List(uint64_t after, size_t limit) = 0;
  virtual StoreStats Stats() = 0;
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_OBJECT_STORE_H_
