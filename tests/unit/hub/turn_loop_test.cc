#include "hub/turn_loop.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/support/patience.h"
#include "tests/support/program_text.h"

namespace bue::hub {
namespace {

const absl::Duration kPatience = Patience(absl::Seconds(60));

// What a store was asked to do; commits and syncs can be made to fail or to wait.
class FakeStore final : public HubStore {
 public:
  absl::StatusOr<HubSnapshot> Load() override { return HubSnapshot{}; }
  absl::Status Commit(uint64_t turn, const TurnRecord&) override {
    absl::MutexLock lock(&mutex_);
    ++waiting_commits_;
    mutex_.Await(absl::Condition(&may_commit_));
    --waiting_commits_;
    if (!commit_status_.ok()) return commit_status_;
    commits_.push_back(turn);
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    absl::MutexLock lock(&mutex_);
    if (!sync_status_.ok()) return sync_status_;
    ++syncs_;
    return absl::OkStatus();
  }
  absl::Status Checkpoint(uint64_t turn, const std::vector<RunSnapshot>& runs,
                          uint64_t drop_to) override {
    absl::MutexLock lock(&mutex_);
    for (const RunSnapshot& run : runs) checkpointed_.push_back(run.run);
    if (drop_to > 0) {
      EXPECT_LE(drop_to, turn);
      dropped_to_ = drop_to;
      journal_bytes_ = 0;
    }
    return absl::OkStatus();
  }
  uint64_t JournalBytes() const override {
    absl::MutexLock lock(&mutex_);
    return journal_bytes_;
  }
  absl::Status PutFile(absl::string_view, absl::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> GetFile(absl::string_view) override { return ""; }
  absl::StatusOr<bool> HasFile(absl::string_view) override { return true; }
  absl::Status ReadHistory(uint64_t, std::string*,
                           const std::function<bool(const PastEvent&)>&) override {
    return absl::OkStatus();
  }
  absl::Status ReadErrors(uint64_t, std::string*,
                          const std::function<bool(const ErrorRecord&)>&) override {
    return absl::OkStatus();
  }
  absl::Status ReadLogs(uint64_t, std::string*,
                        const std::function<bool(const LogAdded&)>&) override {
    return absl::OkStatus();
  }

  void FailCommits() {
    Set([&] { commit_status_ = absl::DataLossError("commit"); });
  }
  void FailSyncs() {
    Set([&] { sync_status_ = absl::DataLossError("sync"); });
  }
  void HoldCommits() {
    Set([&] { may_commit_ = false; });
  }
  void ReleaseCommits() {
    Set([&] { may_commit_ = true; });
  }
  void GrowJournal(uint64_t bytes) {
    Set([&] { journal_bytes_ = bytes; });
  }
  void AwaitHeldCommit() {
    absl::MutexLock lock(&mutex_);
    const auto held = [this] { return waiting_commits_ > 0; };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&held), kPatience));
  }
  std::vector<uint64_t> commits() const { return Get(commits_); }
  std::vector<uint64_t> checkpointed() const { return Get(checkpointed_); }
  uint64_t dropped_to() const { return Get(dropped_to_); }
  int syncs() const { return Get(syncs_); }

 private:
  template <typename F>
  void Set(F f) {
    absl::MutexLock lock(&mutex_);
    f();
  }
  template <typename T>
  T Get(const T& value) const {
    absl::MutexLock lock(&mutex_);
    return value;
  }

  mutable absl::Mutex mutex_;
  absl::Status commit_status_;
  absl::Status sync_status_;
  bool may_commit_ = true;
  int waiting_commits_ = 0;
  std::vector<uint64_t> commits_;
  std::vector<uint64_t> checkpointed_;
  uint64_t dropped_to_ = 0;
  uint64_t journal_bytes_ = 0;
  int syncs_ = 0;
};

// The requests that were answered, as promises or at once.
class FakeOutbox final : public Outbox {
 public:
  void Publish(Outgoing* outgoing) override {
    absl::MutexLock lock(&mutex_);
    ++turns_;
    publisher_ = std::this_thread::get_id();
    for (const Reply& reply : outgoing->answers) answered_.push_back(reply.request);
    for (const GrantGroup& group : outgoing->grants) {
      granted_.insert(granted_.end(), group.lease.begin(), group.lease.end());
    }
  }
  void PublishPromises(Promises promises) override {
    absl::MutexLock lock(&mutex_);
    for (const Reply& reply : promises.replies) promised_.push_back(reply.request);
  }

  std::vector<uint64_t> promised() const {
    absl::MutexLock lock(&mutex_);
    return promised_;
  }
  std::vector<uint64_t> answered() const {
    absl::MutexLock lock(&mutex_);
    return answered_;
  }
  std::vector<uint64_t> TakeGranted() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(granted_, {});
  }
  int turns() const {
    absl::MutexLock lock(&mutex_);
    return turns_;
  }
  // The thread of the last turn.
  std::thread::id publisher() const {
    absl::MutexLock lock(&mutex_);
    return publisher_;
  }
  void AwaitPromises(size_t count) const {
    absl::MutexLock lock(&mutex_);
    const auto there = [this, count] { return promised_.size() >= count; };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<uint64_t> promised_;
  std::vector<uint64_t> answered_;
  std::vector<uint64_t> granted_;
  int turns_ = 0;
  std::thread::id publisher_;
};

class TurnLoopTest : public testing::Test {
 protected:
  TurnLoop* Make(TurnLoopOptions options = {}) {
    options.on_fatal = [this](const absl::Status& status) {
      fatal_ = status;
      failed_.Notify();
    };
    loop_ = std::make_unique<TurnLoop>(std::move(options), &scheduler_, &store_, &outbox_,
                                       Clock::Real());
    return loop_.get();
  }

  Command Submit(uint64_t request, const std::string& key = "") {
    return SubmitRun{.request = request,
                     .key = key.empty() ? std::to_string(request) : key,
                     .program = ParseProgramText("node a\n"),
                     .program_bytes = std::string(640, 'p')};
  }

  absl::Status RunTurn(Command command) {
    std::vector<Command> commands;
    commands.push_back(std::move(command));
    return loop_->RunTurn(&commands, Clock::Real()->Now());
  }
  absl::Status RunTurn() {
    std::vector<Command> none;
    return loop_->RunTurn(&none, Clock::Real()->Now());
  }

  FakeStore store_;
  FakeOutbox outbox_;
  Scheduler scheduler_{SchedulerOptions{}};
  absl::Notification failed_;
  absl::Status fatal_;
  std::unique_ptr<TurnLoop> loop_;
};

using Requests = std::vector<uint64_t>;

TEST_F(TurnLoopTest, PromisesWaitForTheSync) {
  Make();
  ASSERT_TRUE(RunTurn(Submit(7)).ok());
  EXPECT_EQ(store_.commits().size(), 1u);
  EXPECT_EQ(outbox_.promised(), Requests());
  ASSERT_TRUE(loop_->SyncTurns().ok());
  EXPECT_EQ(store_.syncs(), 1);
  EXPECT_EQ(outbox_.promised(), Requests({7}));
}

TEST_F(TurnLoopTest, OneSyncServesAllTurnsBeforeIt) {
  Make();
  ASSERT_TRUE(RunTurn(Submit(1)).ok());
  ASSERT_TRUE(RunTurn(Submit(2)).ok());
  ASSERT_TRUE(RunTurn(Submit(3)).ok());
  ASSERT_TRUE(loop_->SyncTurns().ok());
  EXPECT_EQ(store_.syncs(), 1);
  EXPECT_EQ(outbox_.promised(), Requests({1, 2, 3}));
}

TEST_F(TurnLoopTest, AnswersDoNotWaitAndWriteNothing) {
  Make();
  ASSERT_TRUE(RunTurn(QueryRuns{.request = 5}).ok());
  EXPECT_EQ(outbox_.answered(), Requests({5}));
  EXPECT_TRUE(store_.commits().empty());
}

TEST_F(TurnLoopTest, PromiseThatTheDiskHoldsAlreadyGoesAtOnce) {
  Make();
  ASSERT_TRUE(RunTurn(Submit(1, "key")).ok());
  ASSERT_TRUE(loop_->SyncTurns().ok());
  ASSERT_TRUE(RunTurn().ok());
  ASSERT_TRUE(loop_->SyncTurns().ok());
  const int syncs = store_.syncs();
  ASSERT_TRUE(RunTurn(Submit(2, "key")).ok());
  EXPECT_EQ(outbox_.promised(), Requests({1, 2}));
  EXPECT_EQ(store_.syncs(), syncs);
}

TEST_F(TurnLoopTest, PromiseBehindAnUnsyncedRecordWaits) {
  Make();
  ASSERT_TRUE(RunTurn(Submit(1, "key")).ok());
  ASSERT_TRUE(RunTurn(Submit(2, "key")).ok());
  EXPECT_EQ(outbox_.promised(), Requests());
  ASSERT_TRUE(loop_->SyncTurns().ok());
  EXPECT_EQ(outbox_.promised(), Requests({1, 2}));
}

TEST_F(TurnLoopTest, WithSyncLeftToTheSystemPromisesGoAtOnce) {
  Make({.sync_os = true});
  ASSERT_TRUE(RunTurn(Submit(1)).ok());
  EXPECT_EQ(outbox_.promised(), Requests({1}));
  EXPECT_EQ(store_.syncs(), 0);
}

TEST_F(TurnLoopTest, LoopLongerThanAReservationGoesOnAfterTheSync) {
  Make();
  constexpr uint64_t kItems = 20000;
  ASSERT_TRUE(RunTurn(WorkerJoined{.worker = 1, .name = "w"}).ok());
  const WorkerRoom room{.leases = 3000, .slots = 3000};
  ASSERT_TRUE(RunTurn(WorkerReported{.worker = 1, .room = {{Pool::kThread, room}}}).ok());
  ASSERT_TRUE(RunTurn(SubmitRun{.key = "k",
                                .program = ParseProgramText(absl::StrCat(
                                    "loop in 0 over range:", kItems, "\nnode a in 1 e1\n"))})
                  .ok());
  uint64_t done = 0;
  for (int turn = 0; turn < 100 && done < kItems; ++turn) {
    ASSERT_TRUE(loop_->SyncTurns().ok());
    ASSERT_TRUE(RunTurn().ok());
    WorkerReported report{.worker = 1, .report = static_cast<uint64_t>(turn) + 1};
    for (const uint64_t lease : outbox_.TakeGranted()) {
      report.outcomes.push_back({.lease = lease, .address = ++done});
    }
    ASSERT_TRUE(RunTurn(std::move(report)).ok());
  }
  EXPECT_EQ(done, kItems);
}

TEST_F(TurnLoopTest, TurnNumbersBeginWhereTold) {
  Make({.first_turn = 100});
  ASSERT_TRUE(RunTurn(Submit(1)).ok());
  EXPECT_EQ(store_.commits(), Requests({100}));
}

TEST_F(TurnLoopTest, FailedCommitIsReturnedAndNothingPromised) {
  Make();
  store_.FailCommits();
  EXPECT_EQ(RunTurn(Submit(1)).code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(loop_->SyncTurns().ok());
  EXPECT_EQ(outbox_.promised(), Requests());
}

TEST_F(TurnLoopTest, HeavyJournalIsCheckpointed) {
  Make({.checkpoint_bytes = 1000});
  ASSERT_TRUE(RunTurn(Submit(1)).ok());
  EXPECT_EQ(store_.dropped_to(), 0u);
  store_.GrowJournal(1001);
  ASSERT_TRUE(RunTurn(Submit(2)).ok());
  EXPECT_EQ(store_.dropped_to(), 2u);
  EXPECT_EQ(store_.checkpointed(), Requests({1, 2}));
}

TEST_F(TurnLoopTest, LongCheckpointIsSpreadOverTurns) {
  Make({.checkpoint_bytes = 1000, .checkpoint_slice = absl::ZeroDuration()});
  ASSERT_TRUE(RunTurn(Submit(1)).ok());
  store_.GrowJournal(1001);
  ASSERT_TRUE(RunTurn(Submit(2)).ok());
  EXPECT_EQ(store_.checkpointed(), Requests({1}));
  EXPECT_EQ(store_.dropped_to(), 0u);
  ASSERT_TRUE(RunTurn(Submit(3)).ok());
  EXPECT_EQ(store_.checkpointed(), Requests({1, 2}));
  EXPECT_EQ(store_.dropped_to(), 2u);
}

TEST_F(TurnLoopTest, RunDeletedDuringACheckpointIsLeftOut) {
  Make({.checkpoint_bytes = 1000, .checkpoint_slice = absl::ZeroDuration()});
  ASSERT_TRUE(RunTurn(Submit(1)).ok());
  ASSERT_TRUE(RunTurn(Submit(2)).ok());
  ASSERT_TRUE(RunTurn(ControlRun{.run = 2, .action = ControlRun::Action::kCancel}).ok());
  store_.GrowJournal(1001);
  ASSERT_TRUE(RunTurn().ok());
  ASSERT_TRUE(RunTurn(ControlRun{.run = 2, .action = ControlRun::Action::kDelete}).ok());
  EXPECT_EQ(store_.checkpointed(), Requests({1}));
  EXPECT_GT(store_.dropped_to(), 0u);
}

TEST_F(TurnLoopTest, FullInboxRefusesAllButFarewells) {
  Make({.inbox_units_max = 15});
  EXPECT_TRUE(loop_->Post(Submit(1)).ok());
  EXPECT_EQ(loop_->Post(Submit(2)).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(loop_->Post(WorkerGone{.worker = 1}).ok());
}

TEST_F(TurnLoopTest, StartedLoopKeepsItsPromises) {
  Make()->Start();
  ASSERT_TRUE(loop_->Post(Submit(1)).ok());
  outbox_.AwaitPromises(1);
  EXPECT_GE(store_.syncs(), 1);
}

// A worker gets nothing before the disk knows its name: nobody says more after that.
TEST_F(TurnLoopTest, StartedLoopTakesTheTurnThatASyncMakesDue) {
  Make()->Start();
  ASSERT_TRUE(loop_->Post(Submit(1)).ok());
  outbox_.AwaitPromises(1);
  ASSERT_TRUE(loop_->Post(WorkerJoined{.worker = 1, .name = "w"}).ok());
  const WorkerRoom room{.leases = 10, .slots = 10};
  ASSERT_TRUE(loop_->Post(WorkerReported{.worker = 1, .room = {{Pool::kThread, room}}}).ok());
  const absl::Time end = absl::Now() + kPatience;
  while (outbox_.TakeGranted().empty()) {
    ASSERT_LT(absl::Now(), end);
    absl::SleepFor(absl::Milliseconds(1));
  }
}

TEST_F(TurnLoopTest, StartedLoopTakesNoTurnForASyncThatNobodyAwaits) {
  Make()->Start();
  ASSERT_TRUE(loop_->Post(Submit(1)).ok());
  outbox_.AwaitPromises(1);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(outbox_.turns(), 1);
}

TEST_F(TurnLoopTest, WhatArrivesDuringACommitIsTheNextBatch) {
  Make()->Start();
  store_.HoldCommits();
  std::thread poster([&] { EXPECT_TRUE(loop_->Post(Submit(1)).ok()); });
  store_.AwaitHeldCommit();
  for (uint64_t request = 2; request <= 50; ++request) {
    ASSERT_TRUE(loop_->Post(Submit(request)).ok());
  }
  store_.ReleaseCommits();
  poster.join();
  outbox_.AwaitPromises(50);
  EXPECT_LE(store_.commits().size(), 4u);  // Two, and what the scheduler reserves after a sync.
}

// A query needs no sync after it, so that the loop comes to rest again.
TEST_F(TurnLoopTest, SmallCommandThatFindsTheLoopAtRestIsTakenByItsPoster) {
  Make()->Start();
  const absl::Time end = absl::Now() + kPatience;
  for (uint64_t request = 1; outbox_.publisher() != std::this_thread::get_id(); ++request) {
    ASSERT_LT(absl::Now(), end);
    ASSERT_TRUE(loop_->Post(QueryRuns{.request = request}).ok());
    absl::SleepFor(absl::Milliseconds(1));  // However busy the machine: it comes to rest.
  }
}

TEST_F(TurnLoopTest, LargeCommandIsLeftToTheLoop) {
  Make()->Start();
  for (uint64_t request = 1; request <= 100; ++request) {
    SubmitRun submit = std::get<SubmitRun>(Submit(request));
    submit.program_bytes = std::string(64 << 10, 'p');
    ASSERT_TRUE(loop_->Post(std::move(submit)).ok());
    outbox_.AwaitPromises(request);
    ASSERT_NE(outbox_.publisher(), std::this_thread::get_id());
  }
}

TEST_F(TurnLoopTest, ManyPostersAtOnceAreAllAnswered) {
  Make()->Start();
  constexpr uint64_t kEach = 500;
  std::vector<std::thread> posters;
  for (uint64_t poster = 0; poster < 8; ++poster) {
    posters.emplace_back([this, poster] {
      for (uint64_t i = 1; i <= kEach; ++i) {
        EXPECT_TRUE(loop_->Post(Submit(poster * kEach + i)).ok());
        if (i % 50 == 0) std::this_thread::yield();
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  outbox_.AwaitPromises(8 * kEach);
}

TEST_F(TurnLoopTest, FailedCommitEndsTheLoop) {
  store_.FailCommits();
  Make()->Start();
  ASSERT_TRUE(loop_->Post(Submit(1)).ok());
  ASSERT_TRUE(failed_.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(fatal_.message(), "commit");
  EXPECT_EQ(loop_->Post(Submit(2)).code(), absl::StatusCode::kUnavailable);
  loop_->Stop();
  EXPECT_EQ(outbox_.promised(), Requests());
}

TEST_F(TurnLoopTest, FailedSyncEndsTheLoop) {
  store_.FailSyncs();
  Make()->Start();
  ASSERT_TRUE(loop_->Post(Submit(1)).ok());
  ASSERT_TRUE(failed_.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(fatal_.message(), "sync");
  loop_->Stop();
  EXPECT_EQ(outbox_.promised(), Requests());
}

TEST_F(TurnLoopTest, StopTakesALastTurnAndCheckpoints) {
  Make()->Start();
  ASSERT_TRUE(loop_->Post(Submit(1)).ok());
  loop_->Stop();
  EXPECT_EQ(outbox_.promised(), Requests({1}));
  EXPECT_EQ(store_.checkpointed(), Requests({1}));
  EXPECT_GE(store_.dropped_to(), store_.commits().back());
  EXPECT_EQ(loop_->Post(Submit(2)).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace bue::hub
