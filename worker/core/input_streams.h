// Inputs too large for memory, as streams: one object, a range of a list, or a fan-in, whose values
// are fetched as the reader takes them.
//
// Streams are used by one thread at a time, and block.
#ifndef BUE_WORKER_CORE_INPUT_STREAMS_H_
#define BUE_WORKER_CORE_INPUT_STREAMS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/bucket_client/bucket_client.h"
#include "worker/core/hub_calls.h"
#include "worker/executor.h"

namespace bue::worker {

// Whether the bucket said that the data does not exist (any more).
bool MeansGone(const absl::Status& status);
// Whether asking again may help.
bool MeansNotNow(const absl::Status& status);

// Which inputs streams found to be gone. An executor sees only a failed stream; with this the
// worker tells the hub what to recompute. Thread-safe.
class GoneInputs {
 public:
  void Note(uint64_t lease, uint64_t address);
  // And forgets it. 0: none.
  uint64_t Take(uint64_t lease);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, uint64_t> gone_ ABSL_GUARDED_BY(mutex_);
};

struct StreamContext {
  BucketClient* bucket = nullptr;
  HubQuestions* hub = nullptr;
  std::shared_ptr<GoneInputs> gone;
  uint64_t lease = 0;  // Whose input it is.
};

// An object, or of a list the elements [first, first + count); count 0: all.
absl::StatusOr<std::unique_ptr<InputStream>> OpenObjectStream(const StreamContext& context,
                                                              uint64_t address, uint64_t first,
                                                              uint64_t count);

// The values of `node` in `instance`, each as one MessagePack element. A loop within the loop gives
// lists of lists.
class FanInStream final : public InputStream {
 public:
  FanInStream(StreamContext context, uint64_t run, uint64_t instance, uint32_t node);

  absl::StatusOr<std::optional<std::string>> Next() override;

  // Elements of the list so far.
  uint64_t elements() const { return elements_; }

 private:
  // What is still to be done, the next on top.
  struct Pages {
    uint64_t start = 0;  // Of the top instance's list.
  };
  struct Values {
    std::vector<uint64_t> addresses;
    size_t next = 0;
  };
  struct Lists {
    std::vector<uint64_t> instances;
    size_t next = 0;
  };
  struct Object {
    uint64_t address = 0;
    std::unique_ptr<ValueReader> reader;
  };
  using Part = std::variant<Pages, Values, Lists, Object>;

  absl::Status Do(Pages part, std::string* out);
  absl::Status Do(Values part, std::string* out);
  absl::Status Do(Lists part, std::string* out);
  absl::Status Do(Object part, std::string* out);
  absl::Status Open(uint64_t address, std::string* out);
  absl::Status Fail(uint64_t address, absl::Status status) const;

  const StreamContext context_;
  const uint64_t run_;
  const uint64_t instance_;
  const uint32_t node_;
  std::vector<Part> parts_;
  uint64_t elements_ = 0;
  size_t batch_ = 64;  // Values fetched at once: about a MiB.
};

// Reads `stream` until its end or until there is more than fits in memory, and makes an input of
// it: the bytes, or what was read so far and the rest as a stream. For another attempt to read the
// latter `reopen` makes a new stream.
absl::StatusOr<CallInput> ReadFanIn(
    std::unique_ptr<FanInStream> stream,
    std::function<absl::StatusOr<std::unique_ptr<InputStream>>()> reopen);

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_INPUT_STREAMS_H_
