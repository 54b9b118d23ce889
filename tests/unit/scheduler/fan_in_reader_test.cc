// Who may read the values of a loop as an input: a task whose lease the hub knows, of a loop that
// has ended and lies where the task does. A power cut can take back what a grant had seen.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"
#include "tests/unit/scheduler/turns.h"

namespace bue::hub {
namespace {

class FanInReaderTest : public testing::Test {
 protected:
  FanInReaderTest() : scheduler_(SchedulerOptions{}) {
    Take(WorkerJoined{.worker = 1, .name = "w"});
    Take(WorkerReported{.worker = 1,
                        .room = {{.pool = Pool::kThread, .room = {.leases = 100, .slots = 100}}}});
  }

  Effects Take(Command command) { return turns_.Take(std::move(command)); }

  // What is granted next, which may take some turns: a loop goes on once a turn is on disk.
  struct Granted {
    uint64_t lease = 0;
    uint64_t instance = 0;  // The loop it gathers.
  };
  std::vector<Granted> After(Command command) {
    std::vector<Granted> granted;
    for (int turn = 0; turn < 5; ++turn) {
      const Effects effects = Take(turn == 0 ? std::move(command) : Command(QueryRuns{}));
      for (const GrantGroup& group : effects.outgoing.grants) {
        for (size_t i = 0; i < group.lease.size(); ++i) {
          const bool gathers = !group.inputs.empty() && !group.inputs[0].instance.empty();
          granted.push_back({group.lease[i], gathers ? group.inputs[0].instance[i] : 0});
        }
      }
    }
    return granted;
  }

  std::vector<Granted> Succeed(const std::vector<uint64_t>& leases) {
    WorkerReported report{.worker = 1, .report = ++report_};
    for (const uint64_t lease : leases) {
      report.outcomes.push_back({.lease = lease, .address = ++address_});
    }
    return After(std::move(report));
  }

  Reply List(uint64_t lease, uint64_t instance, uint32_t node) {
    Effects effects = Take(
        QueryValues{.request = 1, .run = 1, .instance = instance, .node = node, .lease = lease});
    EXPECT_EQ(effects.outgoing.answers.size(), 1u);
    return std::move(effects.outgoing.answers.at(0));
  }
  absl::StatusCode CodeOf(uint64_t lease, uint64_t instance, uint32_t node) {
    return List(lease, instance, node).status.code();
  }

  Scheduler scheduler_;
  Turns turns_{&scheduler_};
  uint64_t report_ = 0;
  uint64_t address_ = 0;
};

TEST_F(FanInReaderTest, TheTaskThatWasGrantedForIt) {
  const std::vector<Granted> items = After(SubmitRun{
      .key = "k",
      .program = ParseProgramText("loop in 0 over range:2\nnode a in 1 e1\nnode sum in 0 a\n")});
  ASSERT_EQ(items.size(), 2u);
  EXPECT_TRUE(Succeed({items[0].lease}).empty());
  // One item is open: only who wants to see a part may look.
  EXPECT_EQ(CodeOf(items[1].lease, 1, 0), absl::StatusCode::kAborted);
  EXPECT_EQ(std::get<ValuePage>(List(0, 1, 0).body).addresses.size(), 1u);
  const std::vector<Granted> sum = Succeed({items[1].lease});
  ASSERT_EQ(sum.size(), 1u);
  const auto [reader, loop] = sum[0];
  EXPECT_EQ(std::get<ValuePage>(List(reader, loop, 0).body).addresses.size(), 2u);
  EXPECT_EQ(CodeOf(reader + 1, loop, 0), absl::StatusCode::kAborted);
  Succeed({reader});
  EXPECT_EQ(CodeOf(reader, loop, 0), absl::StatusCode::kFailedPrecondition);  // It has ended.
}

// As may happen when the loops' numbers were given anew.
TEST_F(FanInReaderTest, NotOfALoopInAnotherItem) {
  const std::vector<Granted> items = After(SubmitRun{
      .key = "k",
      .program = ParseProgramText(
          "loop in 0 over range:2\nloop in 1 over range:1\nnode a in 2 e2\nnode sum in 1 a\n")});
  ASSERT_EQ(items.size(), 2u);
  const std::vector<Granted> sums = Succeed({items[0].lease, items[1].lease});
  ASSERT_EQ(sums.size(), 2u);
  ASSERT_NE(sums[0].instance, sums[1].instance);
  for (const auto& [lease, loop] : sums) EXPECT_EQ(CodeOf(lease, loop, 0), absl::StatusCode::kOk);
  EXPECT_EQ(CodeOf(sums[0].lease, sums[1].instance, 0), absl::StatusCode::kAborted);
  EXPECT_EQ(CodeOf(sums[1].lease, sums[0].instance, 0), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace bue::hub
