#include "worker/core/list_writer.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace bue::worker {

absl::Status ListWriter::Append(absl::string_view bytes) {
  std::vector<size_t> ends;
  RETURN_IF_ERROR(scanner_.Scan(bytes, &ends));
  for (const size_t end : ends) ends_.push_back(buffer_.size() + end);
  buffer_.append(bytes.data(), bytes.size());
  return buffer_.size() >= kChunkBytesMax ? Write(false) : absl::OkStatus();
}

absl::StatusOr<ValueWriter::Written> ListWriter::Finish() {
  if (!scanner_.between()) return absl::DataLossError("a list ends within an element");
  RETURN_IF_ERROR(Write(true));
  return writer_->Finish();
}

absl::Status ListWriter::Write(bool all) {
  size_t done = 0;
  while (done < buffer_.size() && (all || buffer_.size() - done >= kChunkBytesMax)) {
    const size_t limit = std::min(done + kChunkBytesMax, buffer_.size());
    size_t end = limit;
    uint64_t elements = 0;
    const bool continued = in_element_;
    if (in_element_) {  // The rest of a large element has chunks of its own.
      if (!ends_.empty() && ends_.front() <= limit) {
        end = ends_.front();
        ends_.pop_front();
        in_element_ = false;
      }
    } else if (!ends_.empty() && ends_.front() <= limit) {
      const auto behind = std::upper_bound(ends_.begin(), ends_.end(), limit);
      elements = static_cast<uint64_t>(behind - ends_.begin());
      end = *(behind - 1);
      ends_.erase(ends_.begin(), behind);
    } else {
      elements = 1;
      in_element_ = true;
    }
    RETURN_IF_ERROR(
        writer_->Append(absl::string_view(buffer_).substr(done, end - done), elements, continued));
    done = end;
  }
  buffer_.erase(0, done);
  for (size_t& end : ends_) end -= done;
  return absl::OkStatus();
}

}  // namespace bue::worker
