// What people see of workers that are not there any more.
#include "hub/scheduler/gone_workers.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hub/scheduler/scheduler.h"

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class GoneWorkersTest : public testing::Test {
 protected:
  void Take(Command command) {
    scheduler_.Apply(command, now_, &effects_);
    scheduler_.Match(now_, &effects_);
  }
  void Join(uint64_t stream, const std::string& name, uint64_t incarnation) {
    Take(WorkerJoined{.worker = stream, .name = name, .incarnation = incarnation});
  }
  void Lose(uint64_t stream) {
    Take(WorkerGone{.worker = stream});
    Pass(absl::Minutes(1));
  }
  void Pass(absl::Duration time) {
    now_ += time;
    scheduler_.Match(now_, &effects_);
  }

  // "name" of those that are there, "(name)" of the others.
  std::vector<std::string> Listed() {
    effects_.Clear();
    Take(QueryWorkers{.request = 1});
    std::vector<std::string> names;
    for (const WorkerStatus& worker :
         std::get<WorkerList>(effects_.outgoing.answers.at(0).body).workers) {
      names.push_back(worker.alive ? worker.name : "(" + worker.name + ")");
    }
    return names;
  }

  Scheduler scheduler_{SchedulerOptions{}};
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1000);
  Effects effects_;
};

TEST_F(GoneWorkersTest, ALostOneIsListedForAnHour) {
  Join(1, "a", 1);
  Join(2, "b", 2);
  Lose(1);
  EXPECT_THAT(Listed(), ElementsAre("b", "(a)"));
  Pass(GoneWorkers::kKeep - absl::Minutes(2));
  EXPECT_THAT(Listed(), ElementsAre("b", "(a)"));
  Pass(absl::Minutes(2));
  EXPECT_THAT(Listed(), ElementsAre("b"));
}

TEST_F(GoneWorkersTest, OneThatSaidGoodbyeIsNotListed) {
  Join(1, "a", 1);
  Take(WorkerReported{.worker = 1, .goodbye = true});
  EXPECT_THAT(Listed(), IsEmpty());
}

TEST_F(GoneWorkersTest, OneThatIsBackUnderItsNameIsListedOnce) {
  Join(1, "a", 1);
  Lose(1);
  Join(2, "a", 2);
  EXPECT_THAT(Listed(), ElementsAre("a"));
}

TEST(GoneWorkers, CountsGoOnUnderTheSameName) {
  GoneWorkers gone;
  const absl::Time now = absl::UnixEpoch();
  gone.Add(WorkerStatus{.name = "a", .running = 3, .done = 17, .failed = 2}, /*lost=*/true, now);
  EXPECT_EQ(gone.entries(now)[0].status.running, 0u);
  EXPECT_EQ(gone.Take("b"), std::nullopt);
  const std::optional<WorkerStatus> back = gone.Take("a");
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->done, 17u);
  EXPECT_EQ(back->failed, 2u);
  EXPECT_THAT(gone.entries(now), IsEmpty());
}

TEST(GoneWorkers, AreNotTooMany) {
  GoneWorkers gone;
  const absl::Time now = absl::UnixEpoch();
  for (size_t i = 0; i < 2 * GoneWorkers::kMax; ++i) {
    gone.Add(WorkerStatus{.name = std::to_string(i)}, /*lost=*/true, now);
  }
  EXPECT_EQ(gone.entries(now).size(), GoneWorkers::kMax);
  EXPECT_EQ(gone.entries(now).front().status.name, std::to_string(GoneWorkers::kMax));
}

}  // namespace
}  // namespace bue::hub
