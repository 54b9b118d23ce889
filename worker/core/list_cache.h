// ListCache keeps the parts of lists that were lately read, so that the tasks of a loop, which take
// the elements one after the other, read each chunk once. Bounded in bytes; the oldest part goes
// first. Lists only grow and elements never change, so nothing gets stale.
//
// Used by the loop thread only.
#ifndef BUE_WORKER_CORE_LIST_CACHE_H_
#define BUE_WORKER_CORE_LIST_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bue::worker {

// Consecutive whole elements of one list. Does not change.
class ListBlock {
 public:
  // `data` begins with element number `first`; what is no whole element at its end is left out.
  // Internal: it is not MessagePack. Nothing is lost then: the writer stored something else.
  static absl::StatusOr<std::shared_ptr<const ListBlock>> Parse(uint64_t first, std::string data);

  uint64_t first() const { return first_; }
  uint64_t end() const { return first_ + ends_.size(); }
  bool Holds(uint64_t first, uint64_t count) const {
    return first >= first_ && count <= end() - first_ && first - first_ <= end() - first_ - count;
  }
  // The bytes of elements [first, first + count), which it holds.
  absl::string_view Elements(uint64_t first, uint64_t count) const;

  size_t bytes() const;  // In memory.

 private:
  ListBlock(uint64_t first, std::string data) : first_(first), data_(std::move(data)) {}

  const uint64_t first_;
  const std::string data_;
  std::vector<size_t> ends_;  // In data_, of each element.
};

class ListCache {
 public:
  explicit ListCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  // The block with the elements [first, first + count) of the list; null if there is none.
  std::shared_ptr<const ListBlock> Find(uint64_t address, uint64_t first, uint64_t count) const;
  // One that begins with the same element is replaced by a longer one.
  void Insert(uint64_t address, std::shared_ptr<const ListBlock> block);

  size_t bytes() const { return bytes_; }

 private:
  using Blocks = absl::btree_map<uint64_t, std::shared_ptr<const ListBlock>>;  // By first().
  void EvictOldest();

  const size_t bytes_max_;
  absl::flat_hash_map<uint64_t, Blocks> lists_;       // By address. None is empty.
  std::deque<std::pair<uint64_t, uint64_t>> oldest_;  // Address and first() of every block, once.
  size_t bytes_ = 0;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_LIST_CACHE_H_
