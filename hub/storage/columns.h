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
  // `out` outlives the writer.
  explicit ColumnWriter(std::string* out) : out_(out) {}

  // The column of what `field` finds in each of `rows`.
  template <typename Rows, typename Field>
  void Write(const Rows& rows, const Field& field) {
    // Most columns are one run of equal deltas: what a row costs then is all that counts.
    uint64_t last = 0;
    uint64_t repeated = 0;
    size_t length = 0;
    for (const auto& row : rows) {
      const uint64_t value = field(row);
      const uint64_t delta = value - last;
      last = value;
      if (delta != repeated) {
        TakeRun(repeated, length);
        repeated = delta;
        length = 0;
      }
      ++length;
    }
    if (pending_.empty() && length > 0) {
      WriteRun(repeated, length);
    } else {
      TakeRun(repeated, length);
      WritePending();
    }
  }

 private:
  // Shorter runs of equal deltas cost more as a run of their own than among the others.
  static constexpr size_t kRunMin = 3;

  void TakeRun(uint64_t delta, size_t length) {
    if (length < kRunMin) {
      pending_.insert(pending_.end(), length, delta);
    } else {
      WriteRun(delta, length);
    }
  }

  void WriteRun(uint64_t delta, size_t length) {
    WritePending();
    PutVarint(length << 1 | 1, out_);
    PutVarint(ZigZag(static_cast<int64_t>(delta)), out_);
  }

  void WritePending() {
    if (pending_.empty()) return;
    PutVarint(pending_.size() << 1, out_);
    for (const uint64_t delta : pending_) PutVarint(ZigZag(static_cast<int64_t>(delta)), out_);
    pending_.clear();
  }

  std::string* const out_;
  std::vector<uint64_t> pending_;  // Deltas that are not written yet.
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
