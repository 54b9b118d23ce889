#include "hub/scheduler/task_fifo.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace bue::hub {
namespace {

bool Same(const TaskRef& a, const TaskRef& b) {
  return a.item == b.item && a.serial == b.serial && a.vertex == b.vertex;
}

TEST(TaskFifoTest, IsAQueueWhateverIsPutWhere) {
  Item items[2];
  std::mt19937 random(7);
  TaskFifo fifo;
  std::deque<TaskRef> model;
  uint32_t next = 100;
  for (int step = 0; step < 100000; ++step) {
    // Mostly the next vertex of the same item, now and then another item, life of it, or place.
    next += random() % 8 == 0 ? random() % 5 : 1;
    const TaskRef task{.item = &items[random() % 10 == 0],
                       .serial = 1 + uint64_t{random() % 20 == 0},
                       .vertex = next};
    switch (random() % 4) {
      case 0:
      case 1:
        fifo.PushBack(task);
        model.push_back(task);
        break;
      case 2:
        if (model.empty()) break;
        fifo.PushFront({model.front().item, model.front().serial, model.front().vertex - 1});
        model.push_front({model.front().item, model.front().serial, model.front().vertex - 1});
        break;
      default:
        if (model.empty()) break;
        ASSERT_TRUE(Same(fifo.PopFront(), model.front()));
        model.pop_front();
    }
    ASSERT_EQ(fifo.empty(), model.empty());
  }
  for (; !model.empty(); model.pop_front()) ASSERT_TRUE(Same(fifo.PopFront(), model.front()));
  EXPECT_TRUE(fifo.empty());
}

}  // namespace
}  // namespace bue::hub
