// Who waits at a gate for room, and is called when there is some.
#include "hub/scheduler/ready_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ReadyQueueTest : public testing::Test {
 protected:
  ReadyQueueTest() {
    gate_ = queue_.GateFor(&run_, Gate::Kind::kRunning, 0, "key");
    queue_.SetWish(gate_, &run_, 0, {.count = 2});
    for (uint64_t run = 1; run <= 5; ++run) queue_.WaitForRoom(gate_, {.run = run});
  }
  ~ReadyQueueTest() override { queue_.Drop(&run_); }

  // The waiters that were called; those after `gone` can use the room.
  std::vector<uint64_t> Call(uint64_t gone) {
    std::vector<uint64_t> called;
    queue_.MayHaveRoom(gate_);
    queue_.OpenGates([&](const Gate::Waiter& waiter) {
      called.push_back(waiter.run);
      return waiter.run > gone;
    });
    return called;
  }

  hub::Run run_{{.run = 1}, ParseProgramText("node a\n")};
  ReadyQueue queue_;
  Gate* gate_ = nullptr;
};

TEST_F(ReadyQueueTest, AsManyAreCalledAsThereIsRoomFor) {
  EXPECT_THAT(Call(/*gone=*/0), ElementsAre(1, 2));
  EXPECT_THAT(Call(/*gone=*/0), ElementsAre(3, 4));
}

TEST_F(ReadyQueueTest, WhoHasGoneTakesNoRoom) {
  EXPECT_THAT(Call(/*gone=*/3), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(ReadyQueueTest, WhereAllHaveGoneNobodyIsLeft) {
  EXPECT_THAT(Call(/*gone=*/5), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Call(/*gone=*/5), IsEmpty());
}

}  // namespace
}  // namespace bue::hub
