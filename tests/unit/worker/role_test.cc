// The worker at work, against a hub, a bucket and executors that are played by the test.
#include "worker/core/role.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "common/rpc.h"
#include "common/sha256.h"
#include "tests/unit/worker/fake_bucket.h"
#include "tests/unit/worker/fake_executor.h"
#include "tests/unit/worker/fake_hub.h"
#include "worker/core/sql_executor.h"
#include "worker/core/state_dir.h"

namespace bue::worker {
namespace {

constexpr uint64_t kRun = 7;
enum Steps : uint32_t { kEcho, kHold, kFail, kPrint, kCount, kList };

class RoleTest : public testing::Test {
 protected:
  RoleTest() {
    state_ = *StateDir::Make(testing::TempDir() + "/role_test");
    RoleOptions options;
    options.hub = hub_.address();
    options.name = "tester";
    options.scopes = {"b", "a"};
    options.files_dir = state_->path() + "/files";
    options.stop_grace = absl::Milliseconds(200);
    options.session.slots[1] = 4;
    role_ = std::make_unique<Role>(options, MakeChannel(hub_.address(), ""));
    EXPECT_TRUE(role_->WaitForWelcome(FakeHub::kPatience).ok());
    python_ = std::make_unique<FakeExecutor>(role_->events());
    sql_ = std::make_unique<SqlExecutor>(SqlExecutorOptions{}, role_->events(), &bucket_);
    role_->Begin(&bucket_, python_.get(), sql_.get());
  }
  ~RoleTest() override {
    role_->Stop();
    sql_ = nullptr;
  }

  // A message that says what the run's steps are and grants `leases` of one of them.
  static v1::ToWorker Grant(Steps step, std::vector<uint64_t> leases) {
    v1::ToWorker message;
    v1::RunInfo* const run = message.add_runs();
    run->set_run(kRun);
    for (const char* code : {"echo", "hold", "fail", "print", "count"}) {
      v1::Step* const one = run->add_steps();
      one->set_name(code);
      one->set_language(v1::Step::PYTHON);
      one->set_code(code);
      one->set_timeout_s(10);
    }
    v1::Step* const list = run->add_steps();
    list->set_name("items of v");
    list->set_language(v1::Step::LIST);
    list->set_timeout_s(10);
    v1::GrantGroup* const group = message.add_grants();
    group->set_run(kRun);
    group->set_step(step);
    group->set_instance(1);
    group->set_pool(step == kList ? v1::POOL_SQL : v1::POOL_THREAD);
    for (const uint64_t lease : leases) {
      group->add_lease(lease);
      group->add_item(lease);
    }
    return message;
  }
  static void AddInput(v1::ToWorker* message, uint64_t address) {
    message->mutable_grants(0)->add_inputs()->add_address(address);
  }

  FakeHub hub_;
  FakeBucket bucket_;
  std::unique_ptr<StateDir> state_;
  std::unique_ptr<Role> role_;
  std::unique_ptr<FakeExecutor> python_;
  std::unique_ptr<SqlExecutor> sql_;
};

TEST_F(RoleTest, SaysWhoItIsAndStatesItsRoom) {
  const v1::Hello hello = hub_.WaitForHello(1);
  EXPECT_EQ(hello.name(), "tester");
  ASSERT_EQ(hello.scopes_size(), 2);
  EXPECT_EQ(hello.scopes(0), "b");
  EXPECT_TRUE(hub_.WaitFor([](const auto& heard) {
    return heard.size() >= 2 && heard[1].room_size() == 4 && heard[1].room(1).slots() == 4;
  }));
}

TEST_F(RoleTest, RunsWhatIsGrantedAndReportsWhereTheValuesLie) {
  const uint64_t input = bucket_.Store(ObjectKind::kValue, "\x2a");
  v1::ToWorker grant = Grant(kEcho, {1, 2, 3});
  AddInput(&grant, input);
  hub_.Send(grant);
  ASSERT_TRUE(hub_.WaitForSuccesses(3));
  for (const auto& [lease, address] : hub_.Succeeded()) {
    EXPECT_EQ(bucket_.Read(address).data, "\x2a");
  }
}

TEST_F(RoleTest, ThousandsOfTasksPassInFewMessages) {
  std::vector<uint64_t> leases;
  for (uint64_t lease = 1; lease <= 20000; ++lease) leases.push_back(lease);
  v1::ToWorker grant = Grant(kCount, leases);
  AddInput(&grant, 0);
  hub_.Send(grant);
  ASSERT_TRUE(hub_.WaitForSuccesses(leases.size()));
  EXPECT_EQ(hub_.Succeeded().size(), leases.size());
}

TEST_F(RoleTest, AChainReadsNothingBack) {
  v1::ToWorker first = Grant(kCount, {1});
  hub_.Send(first);
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  v1::ToWorker second = Grant(kEcho, {2});
  second.clear_runs();
  AddInput(&second, hub_.Succeeded()[1]);
  hub_.Send(second);
  ASSERT_TRUE(hub_.WaitForSuccesses(2));
  EXPECT_EQ(bucket_.gets(), 0);
}

TEST_F(RoleTest, NoneIsNotStored) {
  hub_.Send(Grant(kEcho, {1}));
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  EXPECT_EQ(hub_.Succeeded()[1], 0u);
  EXPECT_EQ(bucket_.puts(), 0);
}

TEST_F(RoleTest, FailuresCarryTheirError) {
  hub_.Send(Grant(kFail, {1}));
  const v1::Outcome outcome = hub_.WaitForOutcome(1);
  EXPECT_EQ(outcome.kind(), v1::Outcome::FAILED);
  EXPECT_EQ(outcome.error().action(), "run");
  EXPECT_EQ(outcome.error().type(), "ValueError");
}

TEST_F(RoleTest, WhatAnAttemptPrintedIsStored) {
  hub_.Send(Grant(kPrint, {1}));
  const v1::Outcome outcome = hub_.WaitForOutcome(1);
  EXPECT_EQ(outcome.kind(), v1::Outcome::SUCCEEDED);
  EXPECT_EQ(outcome.address(), 0u);
  EXPECT_EQ(bucket_.Read(outcome.output()).data, "printed\n");
}

TEST_F(RoleTest, AMissingInputIsNamed) {
  v1::ToWorker grant = Grant(kEcho, {1});
  AddInput(&grant, 4711);
  hub_.Send(grant);
  const v1::Outcome outcome = hub_.WaitForOutcome(1);
  EXPECT_EQ(outcome.kind(), v1::Outcome::INPUT_GONE);
  EXPECT_EQ(outcome.gone(), 4711u);
  EXPECT_EQ(python_->started(), 0);
}

TEST_F(RoleTest, AFullBucketFailsTheAttempt) {
  bucket_.RefusePuts(absl::ResourceExhaustedError("only 12 MiB left"));
  hub_.Send(Grant(kCount, {1}));
  const v1::Outcome outcome = hub_.WaitForOutcome(1);
  EXPECT_EQ(outcome.kind(), v1::Outcome::FAILED);
  EXPECT_EQ(outcome.error().action(), "store");
}

TEST_F(RoleTest, ABucketThatIsAwayGivesTheTaskBack) {
  bucket_.RefusePuts(absl::UnavailableError("away"));
  hub_.Send(Grant(kCount, {1}));
  EXPECT_EQ(hub_.WaitForOutcome(1).kind(), v1::Outcome::GIVEN_BACK);
}

TEST_F(RoleTest, RevokedTasksAreCancelled) {
  hub_.Send(Grant(kHold, {1, 2}));
  ASSERT_TRUE(python_->WaitForHeld(2));
  v1::ToWorker revoke;
  revoke.add_revoked(1);
  hub_.Send(revoke);
  EXPECT_TRUE(python_->WaitForCancelled(1));
  python_->Finish({.lease = 1});
  python_->Finish({.lease = 2});
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  EXPECT_EQ(hub_.Succeeded().count(1), 0u);
}

TEST_F(RoleTest, AReconnectSaysWhatIsHeldAndWhatWasDroppedIsCancelled) {
  hub_.Send(Grant(kHold, {1, 2, 3, 4, 5}));
  ASSERT_TRUE(python_->WaitForHeld(4));
  hub_.welcome()->add_dropped(2);
  hub_.EndStream();
  const v1::Hello hello = hub_.WaitForHello(2);
  EXPECT_EQ(hello.held_size(), 5);
  EXPECT_EQ(hello.held(0).run(), kRun);
  EXPECT_EQ(hello.incarnation(), hub_.WaitForHello(1).incarnation());
  ASSERT_TRUE(python_->WaitForCancelled(2));
  ASSERT_TRUE(python_->WaitForHeld(4)) << "the fifth takes the slot";
  python_->Finish({.lease = 1});
  EXPECT_TRUE(hub_.WaitForSuccesses(1));
}

TEST_F(RoleTest, UnacknowledgedOutcomesAreReportedAgain) {
  hub_.AckReports(false);
  hub_.Send(Grant(kCount, {1}));
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  hub_.EndStream();
  EXPECT_EQ(hub_.WaitForHello(2).held_size(), 1);
  EXPECT_TRUE(hub_.WaitForSuccesses(2));
  EXPECT_EQ(hub_.Succeeded().size(), 1u);
}

TEST_F(RoleTest, AHubRestartLosesNoRunningWork) {
  hub_.Send(Grant(kHold, {1}));
  ASSERT_TRUE(python_->WaitForHeld(1));
  hub_.Close();
  python_->Finish({.lease = 1, .data = "\x05"});
  hub_.welcome()->set_epoch(2);
  hub_.Reopen();
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  EXPECT_EQ(bucket_.Read(hub_.Succeeded()[1]).data, "\x05");
}

TEST_F(RoleTest, FilesAreFetchedOnceAndShared) {
  const std::string text = "def f(): pass\n";
  hub_.AddFile(Sha256(text), text);
  for (const uint64_t run : {1, 2}) {
    v1::ToWorker grant = Grant(kEcho, {run});
    grant.mutable_runs(0)->set_run(run);
    grant.mutable_grants(0)->set_run(run);
    v1::File* const file = grant.mutable_runs(0)->add_files();
    file->set_path("../lib/steps.py");
    file->set_sha256(Sha256(text));
    grant.mutable_runs(0)->mutable_steps(0)->set_file(0);
    hub_.Send(grant);
    ASSERT_TRUE(hub_.WaitForSuccesses(run));
  }
  ASSERT_EQ(python_->paths().size(), 1u);
  std::ifstream file(*python_->paths().begin());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
}

TEST_F(RoleTest, AFileThatTheHubDoesNotHaveFailsToLoad) {
  v1::ToWorker grant = Grant(kEcho, {1});
  v1::File* const file = grant.mutable_runs(0)->add_files();
  file->set_path("steps.py");
  file->set_sha256(std::string(32, 'x'));
  hub_.Send(grant);
  const v1::Outcome outcome = hub_.WaitForOutcome(1);
  EXPECT_EQ(outcome.kind(), v1::Outcome::FAILED);
  EXPECT_EQ(outcome.error().action(), "load");
  EXPECT_NE(outcome.error().message().find("steps.py"), std::string::npos);
}

TEST_F(RoleTest, FanInsAreAskedOfTheHub) {
  hub_.SetValues(
      9, {bucket_.Store(ObjectKind::kValue, "\x01"), 0, bucket_.Store(ObjectKind::kValue, "\x03"),
          bucket_.Store(ObjectKind::kValue, "\x04")});
  v1::ToWorker grant = Grant(kEcho, {1});
  v1::InputColumn* const input = grant.mutable_grants(0)->add_inputs();
  input->set_kind(v1::InputColumn::FAN_IN);
  input->add_instance(9);
  hub_.Send(grant);
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  const FakeBucket::Object value = bucket_.Read(hub_.Succeeded()[1]);
  EXPECT_EQ(value.data, "\x01\xc0\x03\x04");
  EXPECT_EQ(value.kind, ObjectKind::kList);
}

TEST_F(RoleTest, ListStepsHandTheirInputOn) {
  v1::ToWorker grant = Grant(kList, {1, 2, 3});
  v1::InputColumn* const input = grant.mutable_grants(0)->add_inputs();
  input->add_address(bucket_.Store(ObjectKind::kList, "\x01\x02", 2));
  input->add_address(bucket_.Store(ObjectKind::kValue, "\x93\x07\x08\x09"));
  input->add_address(bucket_.Store(ObjectKind::kValue, "\x81\x01\x02"));
  hub_.Send(grant);
  const v1::Outcome failed = hub_.WaitForOutcome(3);
  EXPECT_NE(failed.error().message().find("dict"), std::string::npos);
  ASSERT_TRUE(hub_.WaitForSuccesses(2));
  EXPECT_EQ(bucket_.Read(hub_.Succeeded()[1]).data, "\x01\x02");
  EXPECT_EQ(bucket_.Read(hub_.Succeeded()[2]).data, "\x07\x08\x09");
  EXPECT_EQ(bucket_.Read(hub_.Succeeded()[2]).elements, 3u);
}

TEST_F(RoleTest, LargeListsAreHandedOnAsStreams) {
  std::string elements;
  for (int i = 0; i < 100000; ++i) elements += "\xcd\x01\x02";
  v1::ToWorker grant = Grant(kList, {1});
  AddInput(&grant, bucket_.Store(ObjectKind::kList, elements, 100000));
  hub_.Send(grant);
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  const FakeBucket::Object value = bucket_.Read(hub_.Succeeded()[1]);
  EXPECT_TRUE(value.data == elements);
  EXPECT_EQ(value.elements, 100000u);
}

TEST_F(RoleTest, OutputOfRunningTasksCanBeRead) {
  hub_.Send(Grant(kHold, {1}));
  ASSERT_TRUE(python_->WaitForHeld(1));
  v1::ToWorker ask;
  for (const uint64_t lease : {1, 99}) {
    ask.add_logs()->set_lease(lease);
    ask.mutable_logs(ask.logs_size() - 1)->set_tag(lease);
  }
  hub_.Send(ask);
  ASSERT_TRUE(hub_.WaitFor([](const auto& heard) { return heard.back().logs_size() == 2; }));
  const v1::FromWorker answer = hub_.heard().back();
  EXPECT_EQ(answer.logs(0).text(), "output so far of 1");
  EXPECT_TRUE(answer.logs(1).unknown());
}

TEST_F(RoleTest, LearnedModesProgressAndCreditPassThrough) {
  v1::ToWorker grant = Grant(kHold, {1});
  grant.mutable_grants(0)->set_is_source(true);
  grant.mutable_grants(0)->set_source_credit(10);
  hub_.Send(grant);
  ASSERT_TRUE(python_->WaitForHeld(1));
  python_->events()->OnLearnedMode(kRun, kHold, Pool::kAsync);
  python_->events()->OnProgress(1, 55, {.elements = 3, .hash = 7});
  EXPECT_TRUE(hub_.WaitFor([](const auto& heard) {
    bool learned = false;
    bool progress = false;
    for (const v1::FromWorker& message : heard) {
      learned |= message.learned_size() > 0 && message.learned(0).pool() == v1::POOL_ASYNC;
      progress |= message.progress_size() > 0 && message.progress(0).elements() == 3 &&
                  message.progress(0).hash() == 7;
    }
    return learned && progress;
  }));
  v1::ToWorker credit;
  credit.add_credit()->set_lease(1);
  credit.mutable_credit(0)->set_elements(20);
  hub_.Send(credit);
  EXPECT_TRUE(python_->WaitForCredit(1, 20));
}

TEST_F(RoleTest, EndedRunsAreForgotten) {
  hub_.Send(Grant(kEcho, {1}));
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  v1::ToWorker ended;
  ended.add_ended_runs(kRun);
  hub_.Send(ended);
  EXPECT_TRUE(python_->WaitForForgotten(kRun));
}

TEST_F(RoleTest, AStopGivesBackWhatHasNotEndedAndSaysGoodbye) {
  hub_.Send(Grant(kHold, {1, 2, 3, 4, 5, 6}));
  ASSERT_TRUE(python_->WaitForHeld(4));
  role_->Stop();
  EXPECT_TRUE(hub_.WaitFor([](const auto& heard) { return heard.back().goodbye(); }));
  for (const uint64_t lease : {1, 2, 3, 4, 5, 6}) {
    EXPECT_EQ(hub_.WaitForOutcome(lease).kind(), v1::Outcome::GIVEN_BACK);
  }
  EXPECT_TRUE(python_->WaitForCancelled(1));
  EXPECT_EQ(hub_.hellos(), 1u);
}

TEST_F(RoleTest, AStopWithoutAHubEnds) {
  hub_.Send(Grant(kHold, {1}));
  ASSERT_TRUE(python_->WaitForHeld(1));
  hub_.Close();
  role_->Stop();
}

TEST_F(RoleTest, AMalformedGrantIsIgnored) {
  v1::ToWorker grant = Grant(kEcho, {1});
  grant.mutable_grants(0)->clear_item();
  hub_.Send(grant);
  hub_.Send(Grant(kEcho, {2}));
  ASSERT_TRUE(hub_.WaitForSuccesses(1));
  EXPECT_EQ(hub_.Succeeded().count(1), 0u);
}

TEST(StateDirTest, WhatADeadWorkerLeftIsRemoved) {
  const std::string root = testing::TempDir() + "/state_dir_test";
  const std::string left = root + "/worker-1-abcdef";
  std::filesystem::create_directories(left);
  std::ofstream(left + "/lock").put('\n');
  absl::StatusOr<std::unique_ptr<StateDir>> first = StateDir::Make(root);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_FALSE(std::filesystem::exists(left));
  absl::StatusOr<std::unique_ptr<StateDir>> second = StateDir::Make(root);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(std::filesystem::exists((*first)->path()));
  const std::string path = (*second)->path();
  second->reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(StateDirTest, APlaceThatIsNoDirectoryIsNamed) {
  const absl::Status status = StateDir::Make("/dev/null/state").status();
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  EXPECT_NE(status.ToString().find("/dev/null/state"), std::string::npos);
}

TEST(PlaceOfTest, EveryFileLiesUnderItsDirectory) {
  EXPECT_EQ(PlaceOf("steps.py"), "steps.py");
  EXPECT_EQ(PlaceOf("./a/./b.py"), "a/b.py");
  EXPECT_EQ(PlaceOf("../lib/b.py"), "__parent__/lib/b.py");
  EXPECT_EQ(PlaceOf("a/../../b.py"), "__parent__/b.py");
  EXPECT_EQ(PlaceOf("/etc/b.py"), "__root__/etc/b.py");
  EXPECT_EQ(PlaceOf("/../b.py"), "__root__/__parent__/b.py");
}

}  // namespace
}  // namespace bue::worker
