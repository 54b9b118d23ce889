// How many tasks wait for room at a gate: for people, who want to know.
#ifndef BUE_HUB_SCHEDULER_WAITING_TASKS_H_
#define BUE_HUB_SCHEDULER_WAITING_TASKS_H_

#include <cstdint>

#include "hub/scheduler/ready_queue.h"

namespace bue::hub {

// Begun ones. O(lines that wait there).
inline uint64_t TasksWaitingAt(const Gate& gate) {
  uint64_t tasks = 0;
  for (const auto& [place, lines] : gate.waiting) {
    for (size_t i = 0; i < lines.size(); ++i) tasks += lines[i]->tasks.size();
  }
  return tasks;
}

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_WAITING_TASKS_H_
