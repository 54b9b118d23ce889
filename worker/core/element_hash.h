// ElementHash hashes the elements of a streaming source as it yields them. Of a source that runs
// again it says whether what was taken of it before comes again: items have begun with that.
//
// Not thread-safe.
#ifndef BUE_WORKER_CORE_ELEMENT_HASH_H_
#define BUE_WORKER_CORE_ELEMENT_HASH_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/core/elements.h"
#include "worker/types.h"

struct XXH3_state_s;

namespace bue::worker {

class ElementHash {
 public:
  // `before`: what an earlier attempt had yielded; no elements: nothing.
  explicit ElementHash(const Yielded& before);
  ~ElementHash();

  // MessagePack elements, behind those of earlier calls, cut anywhere. FailedPrecondition: not what
  // was yielded before; DataLoss: not MessagePack.
  absl::Status Add(absl::string_view bytes);

  // After the last. FailedPrecondition: fewer elements than before.
  absl::Status End() const;

  // Of all bytes so far.
  uint64_t hash() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };

  void Hash(absl::string_view bytes);
  absl::Status Differs() const;

  const Yielded before_;
  const std::unique_ptr<XXH3_state_s, Free> state_;
  ElementScanner scanner_;  // As long as fewer than before have come.
  uint64_t elements_ = 0;   // Until then.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_ELEMENT_HASH_H_
