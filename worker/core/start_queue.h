// StartQueue is what waits in a pool of the worker, in the order in which it starts: by rank, then as
// it came. A task of a higher priority so overtakes what the worker has asked ahead for.
//
// Not thread-safe.
#ifndef BUE_WORKER_CORE_START_QUEUE_H_
#define BUE_WORKER_CORE_START_QUEUE_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/container/btree_map.h"
#include "worker/core/grant.h"

namespace bue::worker {

class StartQueue {
 public:
  bool empty() const { return queues_.empty(); }

  void Push(const Rank& rank, uint32_t record) { queues_[rank].push_back(record); }
  void Push(const Rank& rank, const std::vector<uint32_t>& records) {
    if (records.empty()) return;
    std::deque<uint32_t>& queue = queues_[rank];
    queue.insert(queue.end(), records.begin(), records.end());
  }

  // REQUIRES: !empty().
  uint32_t PopFront() {
    const auto first = queues_.begin();
    const uint32_t record = first->second.front();
    first->second.pop_front();
    if (first->second.empty()) queues_.erase(first);
    return record;
  }

 private:
  absl::btree_map<Rank, std::deque<uint32_t>> queues_;  // None is empty.
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_START_QUEUE_H_
