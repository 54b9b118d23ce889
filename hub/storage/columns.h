// Columns of numbers in few bytes: deltas from value to value, runs of equal deltas counted. For
// the codecs of packed rows.
//
// Pure functions.
#ifndef BUE_HUB_STORAGE_COLUMNS_H_
#define BUE_HUB_STORAGE_COLUMNS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/varint.h"

namespace bue::hub {

// A column is a row of blocks until all its deltas are there. A block's header holds its length
// and, in the lowest bit, its kind: one delta that repeats (1), or that many deltas (0).
class ColumnWriter {
 public:
  explicit ColumnWriter(size_t size) { deltas_.reserve(size); }

  void Add(uint64_t value) {
    deltas_.push_back(value - last_);
    last_ = value;
  }

  void Finish(std::string* out) {
    size_t pending = 0;  // First delta that is not written yet.
    for (size_t i = 0; i < deltas_.size();) {
      size_t end = i + 1;
      while (end < deltas_.size() && deltas_[end] == deltas_[i]) ++end;
      if (end - i >= kRunMin || (pending == i && end == deltas_.size())) {
        WriteEach(pending, i, out);
        WriteRun(i, end, out);
        pending = end;
      }
      i = end;
    }
    WriteEach(pending, deltas_.size(), out);
    deltas_.clear();
    last_ = 0;
  }

 private:
  // Shorter runs of equal deltas cost more as a run of their own than among the others.
  static constexpr size_t kRunMin = 3;

  void WriteRun(size_t begin, size_t end, std::string* out) {
    PutVarint((end - begin) << 1 | 1, out);
    PutVarint(ZigZag(static_cast<int64_t>(deltas_[begin])), out);
  }

  void WriteEach(size_t begin, size_t end, std::string* out) {
    if (begin == end) return;
    PutVarint((end - begin) << 1, out);
    for (size_t i = begin; i < end; ++i) {
      PutVarint(ZigZag(static_cast<int64_t>(deltas_[i])), out);
    }
  }

  std::vector<uint64_t> deltas_;
  uint64_t last_ = 0;
};

// Calls `set(i, value)` for each of `size` values; false if the column is malformed.
template <typename Set>
bool ReadColumn(size_t size, VarintReader* reader, const Set& set) {
  uint64_t value = 0;
  for (size_t i = 0; i < size;) {
    const uint64_t header = reader->Varint();
    const uint64_t length = header >> 1;
    if (!reader->ok() || length == 0 || length > size - i) return false;
    const bool repeats = header & 1;
    uint64_t delta = 0;
    for (uint64_t k = 0; k < length; ++k, ++i) {
      if (k == 0 || !repeats) delta = static_cast<uint64_t>(reader->Signed());
      value += delta;
      if (!set(i, value)) return false;
    }
  }
  return reader->ok();
}

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_COLUMNS_H_
