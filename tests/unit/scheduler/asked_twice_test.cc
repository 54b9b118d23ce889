// What is asked for in one turn is not added to what another one asked: that request has left.
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"
#include "tests/unit/scheduler/turns.h"

namespace bue::hub {
namespace {

Outcome Success(uint64_t lease, uint64_t elements) {
  return {.lease = lease, .address = 1000 + lease, .elements = elements};
}

TEST(AskedTwiceTest, ALimitThatIsSetAgainAsksInATurnOfItsOwn) {
  Scheduler scheduler({});
  Turns turns(&scheduler);
  turns.Take(SubmitRun{.key = "k",
                       .program = ParseProgramText("step accounts\n"
                                                   "step fetch max_running=2%\n"
                                                   "step store max_running=2%\n"
                                                   "node accounts\n"
                                                   "loop in 0 over accounts\n"
                                                   "node fetch in 1 e1 by e1\n"
                                                   "node store in 1 fetch e1 by e1\n")});
  turns.Take(WorkerJoined{.worker = 1, .name = "w", .incarnation = 1});
  WorkerReported room{.worker = 1};
  room.room.push_back({.pool = Pool::kThread, .room = {.leases = 8, .slots = 8}});
  const Effects first = turns.Take(std::move(room));
  ASSERT_EQ(first.outgoing.grants.size(), 1u);
  // Granted while nobody has to know what they go by.
  turns.Take(SetLimits{.run = 1, .step = "fetch", .max_running = 0});
  WorkerReported listed{.worker = 1, .report = 1};
  listed.outcomes.push_back(Success(first.outgoing.grants[0].lease[0], 1 + 3));
  std::vector<uint64_t> fetches;
  Effects effects = turns.Take(std::move(listed));
  for (int turn = 0; turn < 3; ++turn) {
    for (const GrantGroup& group : effects.outgoing.grants) {
      fetches.insert(fetches.end(), group.lease.begin(), group.lease.end());
    }
    effects = turns.Take(WorkerReported{.worker = 1});
  }
  ASSERT_EQ(fetches.size(), 3u);
  // Of the first one's item it is asked now, because of `store`.
  WorkerReported fetched{.worker = 1, .report = 2};
  fetched.outcomes.push_back(Success(fetches[0], 0));
  const Effects asked = turns.Take(std::move(fetched));
  ASSERT_EQ(asked.outgoing.hash_requests.size(), 1u);
  // And in the very next turn of the others.
  const Effects again = turns.Take(SetLimits{.run = 1, .step = "fetch", .max_running = 2});
  ASSERT_EQ(again.outgoing.hash_requests.size(), 1u);
  EXPECT_EQ(again.outgoing.hash_requests[0].count, 2u);
  EXPECT_NE(again.outgoing.hash_requests[0].id, asked.outgoing.hash_requests[0].id);
  scheduler.CheckInvariants();
}

}  // namespace
}  // namespace bue::hub
