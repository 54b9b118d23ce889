// The part of Inputs that gives tasks the elements of lists: from memory, or with the chunks that
// hold them. What was read serves everybody who waits for the same list; the rest is asked for
// next.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/core/inputs.h"

namespace bue::worker {
namespace {

// Bytes that one range may bring into memory at once.
constexpr uint64_t kRangeBytesMax = 1 << 20;

}  // namespace

uint64_t Inputs::Range::elements(size_t from) const {
  uint64_t sum = 0;
  for (size_t i = from; i < counts.size(); ++i) sum += std::max<uint32_t>(counts[i], 1);
  return sum;
}

void Inputs::Range::Drop(size_t calls) {
  first += elements() - elements(calls);
  call += calls;
  counts.erase(counts.begin(), counts.begin() + calls);
}

void Inputs::AddElements(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                         const std::vector<uint32_t>& rows, std::vector<Range>* ranges) {
  const InputColumn& column = group.inputs[input];
  uint64_t next = 0;  // The element that would continue the last range.
  const size_t begin = ranges->size();
  for (uint32_t call = 0; call < rows.size(); ++call) {
    const uint32_t row = rows[call];
    const uint64_t address = At(column.address, row);
    const uint64_t first = column.first[row];
    const uint32_t count = column.count.empty() ? 0 : column.count[row];
    if (ranges->size() == begin || ranges->back().address != address || first != next) {
      ranges->push_back(
          {.pending = pending, .call = call, .input = input, .address = address, .first = first});
      ++pending->missing;
    }
    ranges->back().counts.push_back(count);
    next = first + std::max<uint32_t>(count, 1);
  }
}

// Gives what is in memory, and asks for the rest: of each list one range at a time, since the
// chunks that it brings often hold the others, too.
void Inputs::TakeRanges(std::vector<Range> ranges) {
  std::vector<Range> wanted;
  for (Range& range : ranges) {
    while (!range.counts.empty()) {
      const std::shared_ptr<const ListBlock> block =
          lists_.Find(range.address, range.first, std::max<uint32_t>(range.counts[0], 1));
      if (block == nullptr) break;
      range.Drop(Give(range, *block));
    }
    if (range.counts.empty()) {
      Arrived(range.pending);
      continue;
    }
    const auto [reading, first] = waiting_ranges_.try_emplace(range.address);
    if (first) {
      wanted.push_back(std::move(range));
    } else {
      reading->second.push_back(std::move(range));
    }
  }
  if (!wanted.empty()) GetRanges(std::move(wanted));
}

// Of several stores: one that is away holds nobody up who reads from another.
void Inputs::GetRanges(std::vector<Range> ranges) {
  absl::flat_hash_map<uint16_t, std::vector<Range>> by_store;
  for (Range& range : ranges) by_store[StoreOf(range.address)].push_back(std::move(range));
  for (auto& [store, of_store] : by_store) GetRangesOfStore(std::move(of_store));
}

void Inputs::GetRangesOfStore(std::vector<Range> ranges) {
  std::vector<GetItem> items;
  items.reserve(ranges.size());
  for (const Range& range : ranges) {
    items.push_back({.address = range.address,
                     .first = range.first,
                     .count = range.elements(),
                     .whole_chunks = true});
  }
  auto asked = std::make_shared<std::vector<Range>>(std::move(ranges));
  bucket_->Get(std::move(items), kRangeBytesMax,
               [this, inbox = inbox_, asked](std::vector<absl::StatusOr<Fetched>> got) {
                 inbox->Post([this, asked, got = std::move(got)]() mutable {
                   OnRanges(std::move(*asked), std::move(got));
                 });
               });
}

void Inputs::OnRanges(std::vector<Range> ranges, std::vector<absl::StatusOr<Fetched>> got) {
  CHECK(ranges.size() == got.size());
  std::vector<Range> rest;
  for (size_t i = 0; i < got.size(); ++i) {
    const uint64_t address = ranges[i].address;
    if (std::optional<Range> left = OnRange(std::move(ranges[i]), std::move(got[i]))) {
      rest.push_back(*std::move(left));
    }
    const auto reading = waiting_ranges_.find(address);
    CHECK(reading != waiting_ranges_.end());
    std::move(reading->second.begin(), reading->second.end(), std::back_inserter(rest));
    waiting_ranges_.erase(reading);
  }
  if (!rest.empty()) TakeRanges(std::move(rest));
}

// Returns what is still to be read.
std::optional<Inputs::Range> Inputs::OnRange(Range range, absl::StatusOr<Fetched> got) {
  if (!got.ok() && MeansNotNow(got.status())) return range;
  absl::Status status = got.status();
  if (status.ok()) {
    absl::StatusOr<std::shared_ptr<const ListBlock>> block =
        ListBlock::Parse(got->first, std::move(got->data));
    status = block.status();
    if (status.ok()) {
      const size_t given = Give(range, **block);
      range.Drop(given);
      lists_.Insert(range.address, *std::move(block));
      if (given == 0 && got->too_big) {
        GiveStream(range);
        range.Drop(1);
      } else if (given == 0) {
        status = absl::OutOfRangeError(
            absl::StrCat("element ", range.first, " of a list: it has only ", got->elements));
      }
      if (status.ok() && !range.counts.empty()) return range;
    }
  }
  for (uint32_t i = 0; !status.ok() && i < range.counts.size(); ++i) {
    Fail(range.pending, range.call + i, range.address, status);
  }
  Arrived(range.pending);
  return std::nullopt;
}

// Gives the first calls of the range theirs, as far as the block holds them; returns how many.
size_t Inputs::Give(const Range& range, const ListBlock& block) {
  uint64_t first = range.first;
  size_t given = 0;
  for (const uint32_t count : range.counts) {
    const uint64_t elements = std::max<uint32_t>(count, 1);
    if (!block.Holds(first, elements)) break;
    const absl::string_view data = block.Elements(first, elements);
    Call& call = range.pending->calls[range.call + given];
    CallInput& input = call.inputs[range.input];
    if (data.size() > kSmallValueBytes) {
      input = StreamOf(call.lease, range.address, first, elements);
    } else {
      input.data = std::make_shared<const std::string>(data);
    }
    input.kind = count > 0 ? ObjectKind::kList : ObjectKind::kValue;
    input.elements = count;
    input.total_bytes = data.size();
    first += elements;
    ++given;
  }
  return given;
}

// What the first call of the range needs is too much for memory.
void Inputs::GiveStream(const Range& range) {
  Call& call = range.pending->calls[range.call];
  CallInput& input = call.inputs[range.input];
  input = StreamOf(call.lease, range.address, range.first, range.elements() - range.elements(1));
  input.kind = range.counts[0] > 0 ? ObjectKind::kList : ObjectKind::kValue;
  input.elements = range.counts[0];
}

}  // namespace bue::worker
