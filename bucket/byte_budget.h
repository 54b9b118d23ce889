// ByteBudget bounds the bytes that all streams of a bucket hold in memory together. A stream takes
// what it holds; once the limit is reached, streams wait with taking on more until some is given
// back. The bound is the limit and one message for each stream.
// Thread-safe.
#ifndef BUE_BUCKET_BYTE_BUDGET_H_
#define BUE_BUCKET_BYTE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace bue::bucket {

class ByteBudget {
 public:
  explicit ByteBudget(uint64_t limit) : limit_(limit) {}

  void Take(uint64_t bytes);
  // Whoever waits and now has room is called before this returns.
  void Release(uint64_t bytes);

  // True: there is room now. False: `resume` is called once, from some Release, when there is; it
  // asks again.
  bool HasRoom(std::function<void()> resume);

  // Whether less than half is taken. A stream that holds something already takes on more only
  // then, so that the other half is for those that hold nothing.
  bool HasPlenty();

 private:
  const uint64_t limit_;

  absl::Mutex mutex_;
  uint64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_BYTE_BUDGET_H_
