// A whole hub on loopback, with a stub for the worker and the real client.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bue/v1/hub.grpc.pb.h"
#include "common/rpc.h"
#include "tests/support/patience.h"
#include "tests/unit/hub/hub_services_testing.h"

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(HubServicesTest, RunSucceedsWhenItsTasksDo) {
  const auto worker = Worker();
  const v1::Welcome welcome = worker->Join("w1", 8);
  EXPECT_EQ(welcome.epoch(), 1u);
  EXPECT_THAT(welcome.buckets(), ElementsAre("127.0.0.1:1"));
  const uint64_t run = MustUpload(kLoopOfFour);
  const std::vector<uint64_t> leases = worker->AwaitLeases(4);
  const uint64_t report = worker->Succeed(leases);
  worker->Await([&](const v1::ToWorker& heard) { return heard.acked_report() >= report; });
  const v1::RunStatus status = AwaitEnd(run);
  EXPECT_EQ(status.state(), v1::RUN_SUCCEEDED);
  EXPECT_EQ(status.tasks().done(), 4u);
  EXPECT_THAT(Results(run), ElementsAre(100, 101, 102, 103));
  worker->Await([](const v1::ToWorker& heard) { return heard.ended_runs_size() == 1; });
}

TEST_F(HubServicesTest, RunInfoComesOnceBeforeTheFirstGrant) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kLoopOfFour);
  for (int i = 1; i <= 4; ++i) worker->Succeed({worker->AwaitLeases(i).back()});
  AwaitEnd(run);
  const v1::ToWorker heard =
      worker->Await([](const v1::ToWorker& all) { return all.ended_runs_size() == 1; });
  ASSERT_EQ(heard.runs_size(), 1);
  EXPECT_EQ(heard.runs(0).run(), run);
  EXPECT_EQ(heard.runs(0).steps_size(), 1);
}

TEST_F(HubServicesTest, EveryCallAsksForTheToken) {
  StubWorker worker(hub_->address(), "wrong");
  EXPECT_EQ(worker.AwaitEnd().code(), absl::StatusCode::kUnauthenticated);

  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), "wrong"));
  const auto code = [](const grpc::Status& status) { return status.error_code(); };
  const auto unary = [&](auto call) {
    grpc::ClientContext context;
    return code(call(&context));
  };
  const auto listing = [&](auto call) {
    grpc::ClientContext context;
    return code(call(&context)->Finish());
  };
  const auto refused = grpc::StatusCode::UNAUTHENTICATED;
  v1::RunStatus status;
  v1::ListRunsReply runs;
  v1::ControlRunReply control;
  v1::ListWorkersReply workers;
  v1::LocateValueReply place;
  v1::ListValuesReply values;
  v1::HubInfo info;
  v1::UploadReply upload;
  EXPECT_EQ(unary([&](auto* c) { return stub->GetRun(c, {}, &status); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->ListRuns(c, {}, &runs); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->ControlRun(c, {}, &control); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->ListWorkers(c, {}, &workers); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->LocateValue(c, {}, &place); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->ListValues(c, {}, &values); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->GetInfo(c, {}, &info); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->Upload(c, &upload)->Finish(); }), refused);
  EXPECT_EQ(unary([&](auto* c) { return stub->UploadAndWatch(c)->Finish(); }), refused);
  EXPECT_EQ(listing([&](auto* c) { return stub->WatchRun(c, {}); }), refused);
  EXPECT_EQ(listing([&](auto* c) { return stub->ListErrors(c, {}); }), refused);
  EXPECT_EQ(listing([&](auto* c) { return stub->ListResults(c, {}); }), refused);
  EXPECT_EQ(listing([&](auto* c) { return stub->ListLogs(c, {}); }), refused);
  EXPECT_EQ(listing([&](auto* c) { return stub->GetFile(c, {}); }), refused);
}

TEST_F(HubServicesTest, UnknownRunsAreNotFound) {
  EXPECT_EQ(client_->GetRun(7).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(client_->Control(7, v1::ControlRunRequest::CANCEL).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(
      client_->WatchRun(7, absl::Seconds(1), [](const auto&) { return true; }).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_F(HubServicesTest, SenselessWorkersAreSentAway) {
  const auto end = [&](const v1::FromWorker& message, bool after_hello) {
    const auto worker = Worker();
    if (after_hello) worker->Join("w1", 1);
    worker->Say(message);
    return worker->AwaitEnd().code();
  };
  v1::FromWorker message;
  EXPECT_EQ(end(message, false), absl::StatusCode::kInvalidArgument);  // No hello.
  message = HelloOf("");
  EXPECT_EQ(end(message, false), absl::StatusCode::kInvalidArgument);  // No name.
  message = HelloOf("w1");
  EXPECT_EQ(end(message, true), absl::StatusCode::kInvalidArgument);  // A second hello.
  message.Clear();
  message.mutable_succeeded()->add_lease(1);
  message.set_report(1);
  EXPECT_EQ(end(message, true), absl::StatusCode::kInvalidArgument);  // Unequal columns.
  message.Clear();
  message.add_outcomes()->set_lease(1);
  message.set_report(1);
  EXPECT_EQ(end(message, true), absl::StatusCode::kInvalidArgument);  // No kind.
  message.Clear();
  message.add_room()->set_leases(1 << 30);
  EXPECT_EQ(end(message, true), absl::StatusCode::kInvalidArgument);  // Too much room.
}

TEST_F(HubServicesTest, AWorkerOfWhichAMessageIsMissingIsSentAwayToSayWhatItHolds) {
  StubWorker worker(hub_->address(), kToken);
  v1::FromWorker hello = HelloOf("w1");
  hello.set_number(1);
  worker.Say(hello);
  EXPECT_EQ(worker.Await([](const v1::ToWorker& all) { return all.has_welcome(); }).number(), 1);
  v1::FromWorker third;
  third.set_number(3);
  worker.Say(third);
  EXPECT_TRUE(absl::IsDataLoss(worker.AwaitEnd()));
}

TEST_F(HubServicesTest, FailedTaskLeavesAnErrorRecord) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  v1::FromWorker message;
  v1::Outcome* outcome = message.add_outcomes();
  outcome->set_lease(worker->AwaitLeases(1)[0]);
  outcome->set_kind(v1::Outcome::FAILED);
  outcome->mutable_error()->set_action("run");
  outcome->mutable_error()->set_type("KeyError");
  outcome->mutable_error()->set_message(std::string(100'000, 'm'));
  message.set_report(1);
  worker->Say(message);
  EXPECT_EQ(AwaitEnd(run).state(), v1::RUN_FAILED);
  std::vector<v1::ErrorRecord> errors;
  ASSERT_TRUE(client_
                  ->ListErrors(run,
                               [&](const v1::ErrorRecord& error) {
                                 errors.push_back(error);
                                 return true;
                               })
                  .ok());
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0].step(), "a");
  EXPECT_EQ(errors[0].type(), "KeyError");
  EXPECT_EQ(errors[0].worker(), "w1");
  EXPECT_TRUE(errors[0].final());
  EXPECT_LT(errors[0].error().size(), 10'000u);
}

TEST_F(HubServicesTest, CancelRevokesWhatRuns) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  const uint64_t lease = worker->AwaitLeases(1)[0];
  ASSERT_TRUE(client_->Control(run, v1::ControlRunRequest::CANCEL).ok());
  const v1::ToWorker heard =
      worker->Await([](const v1::ToWorker& all) { return all.revoked_size() > 0; });
  EXPECT_THAT(heard.revoked(), ElementsAre(lease));
  EXPECT_EQ(AwaitEnd(run).state(), v1::CANCELLED);
}

TEST_F(HubServicesTest, WorkersAreListed) {
  const auto worker = Worker();
  worker->Join("w1", 3);
  const auto workers = client_->ListWorkers();
  ASSERT_TRUE(workers.ok()) << workers.status();
  ASSERT_THAT(*workers, SizeIs(1));
  EXPECT_EQ((*workers)[0].name(), "w1");
  EXPECT_TRUE((*workers)[0].alive());
}

TEST_F(HubServicesTest, RunningTaskIsAskedWhatItPrinted) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  const uint64_t lease = worker->AwaitLeases(1)[0];
  std::thread answering([&] {
    const v1::ToWorker heard =
        worker->Await([](const v1::ToWorker& all) { return all.logs_size() > 0; });
    EXPECT_EQ(heard.logs(0).lease(), lease);
    v1::FromWorker message;
    message.add_logs()->set_tag(heard.logs(0).tag());
    message.mutable_logs(0)->set_text("hello");
    worker->Say(message);
  });
  v1::ListLogsRequest request;
  request.set_run(run);
  std::vector<std::string> texts;
  ASSERT_TRUE(client_
                  ->ListLogs(request,
                             [&](const v1::LogRecord& log) {
                               texts.push_back(log.text());
                               return true;
                             })
                  .ok());
  answering.join();
  EXPECT_THAT(texts, ElementsAre("hello"));
}

TEST_F(HubServicesTest, WorkerThatDoesNotAnswerForALogIsNotWaitedForLong) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  worker->AwaitLeases(1);
  v1::ListLogsRequest request;
  request.set_run(run);
  int logs = 0;
  ASSERT_TRUE(client_->ListLogs(request, [&](const v1::LogRecord&) { return ++logs; }).ok());
  EXPECT_EQ(logs, 0);
}

TEST_F(HubServicesTest, RestartedHubGoesOnWhereItWas) {
  auto worker = Worker();
  worker->Join("w1", 4);
  const uint64_t run = MustUpload(kLoopOfFour);
  const std::vector<uint64_t> leases = worker->AwaitLeases(4);
  const uint64_t report = worker->Succeed({leases[0]});
  const v1::ToWorker heard =
      worker->Await([&](const v1::ToWorker& all) { return all.acked_report() >= report; });
  StartHub();
  EXPECT_EQ(worker->AwaitEnd().code(), absl::StatusCode::kUnavailable);

  std::vector<v1::HeldLease> held;
  for (const v1::GrantGroup& group : heard.grants()) {
    for (int i = 0; i < group.lease_size(); ++i) {
      if (group.lease(i) == leases[0]) continue;
      v1::HeldLease& lease = held.emplace_back();
      lease.set_lease(group.lease(i));
      lease.set_run(run);
      lease.set_instance(group.instance());
      lease.set_item(group.item(i));
      lease.set_node(group.node());
      lease.set_pool(group.pool());
    }
  }
  worker = Worker();
  const v1::Welcome welcome = worker->Join("w1", 4, held);
  EXPECT_EQ(welcome.epoch(), 2u);
  EXPECT_THAT(welcome.dropped(), IsEmpty());
  worker->Succeed({leases[1], leases[2], leases[3]});
  const v1::RunStatus status = AwaitEnd(run);
  EXPECT_EQ(status.state(), v1::RUN_SUCCEEDED);
  EXPECT_EQ(status.tasks().done(), 4u);
}

TEST_F(HubServicesTest, ShutdownEndsStreamsAndWatches) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  worker->AwaitLeases(1);
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  grpc::ClientContext context;
  v1::WatchRunRequest request;
  request.set_run(run);
  request.set_interval_ms(3'600'000);
  const auto watch = stub->WatchRun(&context, request);
  v1::RunStatus status;
  ASSERT_TRUE(watch->Read(&status));
  hub_->Shutdown();  // The watch would say nothing for an hour.
  EXPECT_FALSE(watch->Read(&status));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(worker->AwaitEnd().code(), absl::StatusCode::kUnavailable);
}

TEST_F(HubServicesTest, WatchOfTheEndAloneSaysNothingBefore) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  grpc::ClientContext context;
  v1::WatchRunRequest request;
  request.set_run(run);
  request.set_only_end(true);
  const auto watch = stub->WatchRun(&context, request);
  worker->Succeed(worker->AwaitLeases(1));
  v1::RunStatus status;
  ASSERT_TRUE(watch->Read(&status));
  EXPECT_EQ(status.state(), v1::RUN_SUCCEEDED);
  EXPECT_TRUE(status.has_results());
  ASSERT_EQ(status.results_size(), 1);
  EXPECT_EQ(status.results(0).address(), Results(run)[0]);
  EXPECT_FALSE(watch->Read(&status));
  EXPECT_TRUE(watch->Finish().ok());
}

TEST_F(HubServicesTest, StoppingIsNoEnd) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kLoopOfFour);
  const std::vector<uint64_t> leases = worker->AwaitLeases(1);
  v1::ControlRunRequest stop;
  stop.set_run(run);
  stop.set_action(v1::ControlRunRequest::STOP);
  stop.set_grace_s(3600);
  ASSERT_TRUE(client_->Control(stop).ok());
  std::vector<v1::RunState> states;
  const auto end = client_->WatchRun(run, absl::Hours(1), [&](const v1::RunStatus& status) {
    states.push_back(status.state());
    if (states.size() == 1) worker->Succeed({leases[0]});
    return true;
  });
  EXPECT_THAT(states, ElementsAre(v1::STOPPING, v1::CANCELLED));
}

TEST_F(HubServicesTest, ManyWatchesOfOneEndAreAllTold) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  std::vector<std::thread> watchers;
  for (const absl::Duration interval :
       {absl::Milliseconds(1), absl::Milliseconds(20), absl::Hours(1), absl::InfiniteDuration()}) {
    for (int i = 0; i < 5; ++i) {
      watchers.emplace_back([this, run, interval] {
        const auto end =
            client_->WatchRun(run, interval, [](const v1::RunStatus&) { return true; });
        ASSERT_TRUE(end.ok()) << end.status();
        EXPECT_EQ(end->state(), v1::RUN_SUCCEEDED);
      });
    }
  }
  worker->Succeed(worker->AwaitLeases(1));
  for (std::thread& watcher : watchers) watcher.join();
}

TEST_F(HubServicesTest, AbandonedWatchHarmsNobody) {
  const uint64_t run = MustUpload(kOneStep);
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext context;
    v1::WatchRunRequest request;
    request.set_run(run);
    request.set_interval_ms(1);
    const auto watch = stub->WatchRun(&context, request);
    v1::RunStatus status;
    ASSERT_TRUE(watch->Read(&status));
    context.TryCancel();
    (void)watch->Finish();
  }
  EXPECT_EQ(client_->GetRun(run)->state(), v1::RUNNING);
}

TEST_F(HubServicesTest, SecondHubInTheDirectoryIsRefused) {
  EXPECT_EQ(Hub::Start(options_).status().code(), absl::StatusCode::kUnavailable);
}

class ImpatientHubTest : public HubServicesTest {
 protected:
  void SetUp() override {
    options_.heartbeat = absl::Milliseconds(100);
    options_.silence = Patience(absl::Seconds(3));
    StartHub();
  }
};

TEST_F(ImpatientHubTest, QuietWorkerIsPingedAndSilentOneSentAway) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  worker->Await([](const v1::ToWorker& heard) { return heard.ping(); });
  EXPECT_FALSE(worker->AwaitEnd().ok());
}

TEST_F(ImpatientHubTest, TasksOfASilentWorkerGoElsewhere) {
  const auto silent = Worker();
  silent->AnswerPings();
  silent->Join("w1", 1);
  const uint64_t run = MustUpload(kOneStep);
  silent->AwaitLeases(1);
  silent->AnswerPings(false);
  const auto other = Worker();
  other->AnswerPings();
  other->Join("w2", 1);
  other->Succeed(other->AwaitLeases(1));
  EXPECT_EQ(AwaitEnd(run).state(), v1::RUN_SUCCEEDED);
}

}  // namespace
}  // namespace bue::hub
