// A restarted hub waits for the workers that the store names. So nobody is given anything before
// the store names him: a power cut could take his name back while he runs what it brings back.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

class RecordedWorkersTest : public testing::Test {
 protected:
  RecordedWorkersTest() : scheduler_(SchedulerOptions{}) {}

  Effects Turn(std::vector<Command> commands) {
    Effects effects;
    scheduler_.BeginTurn(++turn_);
    for (Command& command : commands) scheduler_.Apply(command, now_, &effects);
    scheduler_.Match(now_, &effects);
    return effects;
  }
  // The disk has everything so far.
  void Sync() { scheduler_.Synced(turn_); }

  static Command Upload() {
    Program program = *ParseProgramText("step s\nnode s\n");
    return SubmitRun{.key = "k", .program = std::make_shared<const Program>(std::move(program))};
  }
  static Command Hello(uint64_t stream, uint64_t incarnation) {
    return WorkerJoined{.worker = stream, .name = "w", .incarnation = incarnation};
  }
  static Command Room(uint64_t stream) {
    return WorkerReported{.worker = stream,
                          .room = {{.pool = Pool::kThread, .room = {.leases = 1, .slots = 1}}}};
  }
  static std::vector<Command> List(Command a, Command b) {
    std::vector<Command> list;
    list.push_back(std::move(a));
    list.push_back(std::move(b));
    return list;
  }

  const absl::Time now_ = absl::UnixEpoch();
  Scheduler scheduler_;
  uint64_t turn_ = 0;
};

TEST_F(RecordedWorkersTest, NothingIsGrantedBeforeTheNameIsOnDisk) {
  Turn(List(Upload(), Hello(1, 1)));
  EXPECT_TRUE(Turn(List(Room(1), QueryWorkers{})).outgoing.grants.empty());
  Sync();
  EXPECT_EQ(Turn({}).outgoing.grants.size(), 1u);
}

TEST_F(RecordedWorkersTest, AnotherStreamOfTheSameNameWaitsForNothing) {
  Turn(List(Hello(1, 1), Room(1)));
  Sync();
  Turn(List(Hello(2, 2), Room(2)));
  EXPECT_EQ(Turn(List(Upload(), QueryWorkers{})).outgoing.grants.size(), 1u);
}

TEST_F(RecordedWorkersTest, WhoLeftAndCameBackIsNamedAnew) {
  Turn(List(Hello(1, 1), WorkerReported{.worker = 1, .goodbye = true}));
  Sync();
  Turn(List(Hello(2, 2), Room(2)));
  EXPECT_TRUE(Turn(List(Upload(), QueryWorkers{})).outgoing.grants.empty());
  Sync();
  EXPECT_EQ(Turn({}).outgoing.grants.size(), 1u);
}

TEST_F(RecordedWorkersTest, ASecondHelloOnAStreamTakesTheFirstsPlace) {
  Turn(List(Hello(1, 1), Room(1)));
  Sync();
  EXPECT_EQ(Turn(List(Upload(), QueryWorkers{})).outgoing.grants.size(), 1u);
  EXPECT_EQ(Turn(List(Hello(1, 2), Room(1))).outgoing.grants.size(), 1u);
  scheduler_.CheckInvariants();
}

}  // namespace
}  // namespace bue::hub
