#include "hub/scheduler/kept_values.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace bue::hub {
namespace {

constexpr uint64_t kWords = KeptValues::kBlockItems / 64;
constexpr uint64_t kBlocksMax = 1 << 24;  // More of one loop are nonsense.

bool Bit(const std::vector<uint64_t>& bits, uint64_t i) {
  return !bits.empty() && (bits[i / 64] >> (i % 64) & 1) != 0;
}

void SetBit(std::vector<uint64_t>* bits, uint64_t i) {
  if (bits->empty()) bits->resize(kWords);
  (*bits)[i / 64] |= uint64_t{1} << (i % 64);
}

void ClearBit(std::vector<uint64_t>* bits, uint64_t i) {
  (*bits)[i / 64] &= ~(uint64_t{1} << (i % 64));
}

void PutBitmap(const std::vector<uint64_t>& bits, uint64_t items, std::string* out) {
  for (uint64_t byte = 0; byte * 8 < items; ++byte) {
    out->push_back(bits.empty() ? 0 : static_cast<char>(bits[byte / 8] >> (byte % 8 * 8)));
  }
}

}  // namespace

void KeptValues::Set(uint64_t index, bool succeeded, absl::Span<const uint64_t> values) {
  const uint64_t number = index / kBlockItems;
  const uint64_t i = index % kBlockItems;
  Block& block = open_[number];
  CHECK(!Bit(block.ended, i));
  SetBit(&block.ended, i);
  ++block.ended_count;
  if (succeeded) {
    CHECK(values.size() == columns_);
    SetBit(&block.ok, i);
    if (block.values.size() < (i + 1) * columns_) block.values.resize((i + 1) * columns_);
    std::copy(values.begin(), values.end(), block.values.begin() + i * columns_);
  }
  if (block.ended_count < kBlockItems) return;
  Pack(number, block);
  open_.erase(number);
}

void KeptValues::Unset(uint64_t index) {
  const uint64_t i = index % kBlockItems;
  Block& block = OpenBlock(index / kBlockItems, kBlockItems);
  CHECK(Bit(block.ended, i));
  ClearBit(&block.ended, i);
  --block.ended_count;
  if (Bit(block.ok, i)) ClearBit(&block.ok, i);
}

void KeptValues::Close() {
  for (const auto& [number, block] : open_) Pack(number, block);
  open_.clear();
}

uint64_t KeptValues::OpenEnd() const {
  if (open_.empty()) return 0;
  const auto& [number, block] = *open_.rbegin();
  uint64_t i = kBlockItems;
  while (i > 0 && !Bit(block.ended, i - 1)) --i;
  return number * kBlockItems + i;
}

void KeptValues::Reopen(uint64_t items) {
  if (items % kBlockItems != 0) OpenBlock(items / kBlockItems, items % kBlockItems);
}

// The block, unpacked if it was packed: then its first `ended` items have ended.
KeptValues::Block& KeptValues::OpenBlock(uint64_t number, uint64_t ended) {
  Block& block = open_[number];
  if (Packed(number) == nullptr) return block;
  CHECK(Unpack(packed_[number], &block));
  packed_[number].clear();
  std::erase(new_blocks_, number);
  for (uint64_t i = 0; i < ended; ++i) SetBit(&block.ended, i);
  block.ended_count = static_cast<uint32_t>(ended);
  return block;
}

bool KeptValues::Has(uint64_t index) const {
  if (Packed(index / kBlockItems) != nullptr) return true;
  const auto found = open_.find(index / kBlockItems);
  return found != open_.end() && Bit(found->second.ended, index % kBlockItems);
}

bool KeptValues::Succeeded(uint64_t index) const {
  bool succeeded = false;
  Visit(index, [&](uint64_t at, absl::Span<const uint64_t>) {
    succeeded = at == index;
    return false;
  });
  return succeeded;
}

const std::string* KeptValues::Packed(uint64_t number) const {
  return number < packed_.size() && !packed_[number].empty() ? &packed_[number] : nullptr;
}

// Layout: count of items covered, whether all succeeded, else their bitmap; per column whether all
// values are 0, else the deltas between succeeded items' values.
void KeptValues::Pack(uint64_t number, const Block& block) {
  uint64_t items = 0;
  uint64_t succeeded = 0;
  for (uint64_t word = 0; word < block.ok.size(); ++word) {
    succeeded += std::popcount(block.ok[word]);
    if (block.ok[word] != 0) items = word * 64 + std::bit_width(block.ok[word]);
  }
  const bool all = succeeded == items;
  std::string out;
  PutVarint(items, &out);
  out.push_back(all ? 1 : 0);
  if (!all) PutBitmap(block.ok, items, &out);
  for (uint32_t column = 0; column < columns_; ++column) {
    bool zero = true;
    for (uint64_t i = 0; i < items && zero; ++i) {
      zero = !Bit(block.ok, i) || block.values[i * columns_ + column] == 0;
    }
    out.push_back(zero ? 1 : 0);
    if (zero) continue;
    uint64_t last = 0;
    for (uint64_t i = 0; i < items; ++i) {
      if (!Bit(block.ok, i)) continue;
      const uint64_t value = block.values[i * columns_ + column];
      PutVarint(ZigZag(static_cast<int64_t>(value - last)), &out);
      last = value;
    }
  }
  if (packed_.size() <= number) packed_.resize(number + 1);
  out.shrink_to_fit();
  packed_[number] = std::move(out);
  new_blocks_.push_back(number);
}

bool KeptValues::Unpack(absl::string_view bytes, Block* block) const {
  VarintReader in(bytes);
  const uint64_t items = in.Varint();
  if (items > kBlockItems) return false;
  if (in.Varint() != 0) {
    for (uint64_t i = 0; i < items; ++i) SetBit(&block->ok, i);
  } else {
    // The bitmap is raw: read it byte by byte off a copy of the view.
    const size_t header = items < 0x80 ? 2 : 3;
    const size_t size = (items + 7) / 8;
    if (bytes.size() < header + size) return false;
    for (uint64_t i = 0; i < items; ++i) {
      if (static_cast<uint8_t>(bytes[header + i / 8]) >> (i % 8) & 1) SetBit(&block->ok, i);
    }
    in = VarintReader(bytes.substr(header + size));
  }
  block->values.assign(items * columns_, 0);
  for (uint32_t column = 0; column < columns_; ++column) {
    if (in.Varint() != 0) continue;
    uint64_t last = 0;
    for (uint64_t i = 0; i < items; ++i) {
      if (!Bit(block->ok, i)) continue;
      last += static_cast<uint64_t>(in.Signed());
      block->values[i * columns_ + column] = last;
    }
  }
  return in.ok() && in.AtEnd();
}

void KeptValues::Visit(uint64_t start, const Visitor& visit) const {
  uint64_t end = packed_.size();
  if (!open_.empty()) end = std::max(end, open_.rbegin()->first + 1);
  for (uint64_t number = start / kBlockItems; number < end; ++number) {
    Block unpacked;
    const Block* block = &unpacked;
    if (const std::string* bytes = Packed(number)) {
      CHECK(Unpack(*bytes, &unpacked));
    } else if (const auto found = open_.find(number); found != open_.end()) {
      block = &found->second;
    } else {
      continue;
    }
    const uint64_t first = number == start / kBlockItems ? start % kBlockItems : 0;
    for (uint64_t i = first; i < kBlockItems; ++i) {
      if (!Bit(block->ok, i)) continue;
      const auto values = absl::MakeConstSpan(block->values).subspan(i * columns_, columns_);
      if (!visit(number * kBlockItems + i, values)) return;
    }
  }
}

std::vector<KeptValues::PackedBlock> KeptValues::TakeNewBlocks() {
  std::vector<PackedBlock> blocks;
  for (const uint64_t number : new_blocks_) {
    blocks.push_back(PackedBlock{.number = number, .bytes = &packed_[number]});
  }
  new_blocks_.clear();
  return blocks;
}

void KeptValues::EncodeOpen(std::string* out) const {
  PutVarint(open_.size(), out);
  for (const auto& [number, block] : open_) {
    PutVarint(number, out);
    for (const auto* bits : {&block.ended, &block.ok}) {
      for (uint64_t word = 0; word < kWords; ++word) {
        PutVarint(bits->empty() ? 0 : (*bits)[word], out);
      }
    }
    PutVarint(block.values.size(), out);
    uint64_t last = 0;
    for (const uint64_t value : block.values) {
      PutVarint(ZigZag(static_cast<int64_t>(value - last)), out);
      last = value;
    }
  }
}

bool KeptValues::RestoreBlock(uint64_t number, absl::string_view bytes) {
  Block block;
  if (number >= kBlocksMax || !Unpack(bytes, &block)) return false;
  // The row is of before an item of the block ran again.
  if (open_.contains(number)) return true;
  if (packed_.size() <= number) packed_.resize(number + 1);
  packed_[number] = std::string(bytes);
  return true;
}

bool KeptValues::DecodeOpen(VarintReader* in) {
  for (uint64_t n = in->Count(); n > 0 && in->ok(); --n) {
    const uint64_t number = in->Varint();
    if (number >= kBlocksMax) return false;
    Block& block = open_[number];
    for (auto* bits : {&block.ended, &block.ok}) {
      bits->resize(kWords);
      for (uint64_t& word : *bits) word = in->Varint();
    }
    for (const uint64_t word : block.ended) block.ended_count += __builtin_popcountll(word);
    const uint64_t size = in->Count();
    if (size > kBlockItems * columns_) return false;
    uint64_t last = 0;
    for (uint64_t i = 0; i < size; ++i) {
      block.values.push_back(last += static_cast<uint64_t>(in->Signed()));
    }
    // Every succeeded item must have its values.
    for (uint64_t i = size / std::max(columns_, 1u); columns_ > 0 && i < kBlockItems; ++i) {
      if (Bit(block.ok, i)) return false;
    }
  }
  return in->ok();
}

}  // namespace bue::hub
