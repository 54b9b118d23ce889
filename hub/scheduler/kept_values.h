// KeptValues is what remains of a loop's ended items: which succeeded, and where the values lie
// that outlive them (taken by a fan-in, or results of the run).
//
// Items are grouped in blocks of 1,024. A block in which every item has ended is packed: a bitmap
// (nothing if all succeeded) and deltas of addresses (nothing if all values are None), so a hundred
// million items cost megabytes. Packed blocks never change again.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_KEPT_VALUES_H_
#define BUE_HUB_SCHEDULER_KEPT_VALUES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/varint.h"

namespace bue::hub {

class KeptValues {
 public:
  static constexpr uint64_t kBlockItems = 1024;

  explicit KeptValues(uint32_t columns) : columns_(columns) {}

  // Item `index` ended; `values` (one per column) count if it succeeded. Once per item.
  void Set(uint64_t index, bool succeeded, absl::Span<const uint64_t> values);

  // Item `index`, which had ended, runs again. Not when closed.
  void Unset(uint64_t index);

  // No more items: packs what is still open.
  void Close();
  // There are more after all; `items` have ended so far, those with the lowest numbers.
  void Reopen(uint64_t items);

  // One more than the last item that has ended of those that are not packed yet; 0: none.
  uint64_t OpenEnd() const;

  // Whether item `index` has ended; whether it has, and succeeded.
  bool Has(uint64_t index) const;
  bool Succeeded(uint64_t index) const;

  // Visits succeeded items from `start` on, in order, until `visit` returns false.
  using Visitor = std::function<bool(uint64_t index, absl::Span<const uint64_t> values)>;
  void Visit(uint64_t start, const Visitor& visit) const;

  // For snapshots: blocks packed since the last call, and everything that is not packed yet.
  struct PackedBlock {
    uint64_t number;
    const std::string* bytes;
  };
  std::vector<PackedBlock> TakeNewBlocks();
  void EncodeOpen(std::string* out) const;

  // The reverse: what was open first, then blocks in any order. False: malformed.
  bool RestoreBlock(uint64_t number, absl::string_view bytes);
  bool DecodeOpen(VarintReader* in);

 private:
  // One block, unpacked. `ended` and `ok` are bitmaps of kBlockItems bits.
  struct Block {
    uint32_t ended_count = 0;
    std::vector<uint64_t> ended;
    std::vector<uint64_t> ok;
    std::vector<uint64_t> values;  // By item, then column; as far as items ended.
  };

  void Pack(uint64_t number, const Block& block);
  Block& OpenBlock(uint64_t number, uint64_t ended);
  bool Unpack(absl::string_view bytes, Block* block) const;
  const std::string* Packed(uint64_t number) const;

  uint32_t columns_;
  absl::btree_map<uint64_t, Block> open_;
  std::vector<std::string> packed_;  // By number; empty: not packed.
  std::vector<uint64_t> new_blocks_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_KEPT_VALUES_H_
