// ListWriter writes the elements of a list, which come as bytes cut anywhere, to the bucket in
// chunks of whole elements. Blocking; for one thread.
#ifndef BUE_WORKER_CORE_LIST_WRITER_H_
#define BUE_WORKER_CORE_LIST_WRITER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "common/bucket_client/bucket_client.h"
#include "worker/core/elements.h"

namespace bue::worker {

class ListWriter {
 public:
  explicit ListWriter(std::unique_ptr<ValueWriter> writer) : writer_(std::move(writer)) {}

  absl::Status Append(absl::string_view bytes);
  // DataLoss if the last element is not complete.
  absl::StatusOr<ValueWriter::Written> Finish();

 private:
  // Writes all of the buffer that makes full chunks; with `all`, everything.
  absl::Status Write(bool all);

  const std::unique_ptr<ValueWriter> writer_;
  ElementScanner scanner_;
  std::string buffer_;
  std::deque<size_t> ends_;  // Of elements, in buffer_.
  bool in_element_ = false;  // What was written ends within an element.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_LIST_WRITER_H_
