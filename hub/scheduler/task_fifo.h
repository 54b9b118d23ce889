// TaskFifo is a queue of tasks that are ready. Tasks that follow each other in one item take no
// more room than one: a script of a million calls makes them all ready at once.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_TASK_FIFO_H_
#define BUE_HUB_SCHEDULER_TASK_FIFO_H_

#include <cstddef>
#include <cstdint>

#include "hub/scheduler/fifo.h"
#include "hub/scheduler/run.h"

namespace bue::hub {

struct TaskRef {
  Item* item = nullptr;
  uint64_t serial = 0;  // The item's, when the task became ready.
  uint32_t vertex = 0;
  int64_t ready_us = 0;  // When it became ready: unix time.
};

// Whether the entry is still true.
inline bool IsReady(const TaskRef& task) {
  return task.item->serial == task.serial &&
         task.item->vertices[task.vertex].state == VertexState::kReady;
}

class TaskFifo {
 public:
  bool empty() const { return stretches_.empty(); }
  size_t size() const { return size_; }

  void PushBack(const TaskRef& task) {
    ++size_;
    if (!empty() && stretches_.back().IsFollowedBy(task)) {
      ++stretches_.back().count;
    } else {
      stretches_.push_back({.first = task});
    }
  }

  void PushFront(const TaskRef& task) {
    ++size_;
    if (!empty() && stretches_.front().Follows(task)) {
      stretches_.front().first = task;
      ++stretches_.front().count;
    } else {
      stretches_.push_front({.first = task});
    }
  }

  // REQUIRES: !empty().
  TaskRef PopFront() {
    --size_;
    Stretch& front = stretches_.front();
    const TaskRef task = front.first;
    ++front.first.vertex;
    if (--front.count == 0) stretches_.pop_front();
    return task;
  }

 private:
  // Tasks of one item that became ready together: `first` and those with the next vertices.
  struct Stretch {
    TaskRef first;
    uint32_t count = 1;

    bool IsFollowedBy(const TaskRef& task) const {
      return IsAlike(task) && first.vertex + count == task.vertex;
    }
    bool Follows(const TaskRef& task) const {
      return IsAlike(task) && task.vertex + 1 == first.vertex;
    }
    bool IsAlike(const TaskRef& task) const {
      return first.item == task.item && first.serial == task.serial &&
             first.ready_us == task.ready_us;
    }
  };

  Fifo<Stretch> stretches_;
  size_t size_ = 0;  // Of all of them.
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_TASK_FIFO_H_
