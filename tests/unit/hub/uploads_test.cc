// Uploads to a whole hub, with and without a watch behind them.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "bue/v1/hub.grpc.pb.h"
#include "common/program/program_codec.h"
#include "common/rpc.h"
#include "common/sha256.h"
#include "tests/unit/hub/hub_services_testing.h"

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using UploadsTest = HubServicesTest;

TEST_F(UploadsTest, RepeatedUploadIsTheSameRun) {
  const absl::StatusOr<uint64_t> first = Upload(kOneStep, "key");
  const absl::StatusOr<uint64_t> second = Upload(kOneStep, "key");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_THAT(*client_->ListRuns(), SizeIs(1));
}

TEST_F(UploadsTest, FilesTravelWithTheRun) {
  Program program = *ParseProgramText(kOneStep);
  const std::string content(600'000, 'x');
  program.files = {{.path = "a.py", .sha256 = Sha256(content), .bytes = content.size()}};
  program.steps[0].file = 0;
  const std::string& sha256 = program.files[0].sha256;

  const auto without = client_->Upload({.key = "a", .name = "n", .program = &program});
  EXPECT_EQ(without.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(without.status().ToString(), HasSubstr("a.py"));
  const std::string other(content.size(), 'y');
  const auto wrong =
      client_->Upload({.key = "b", .name = "n", .program = &program, .files = {{sha256, other}}});
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  const auto stranger = client_->Upload(
      {.key = "c", .name = "n", .program = &program, .files = {{Sha256("z"), "z"}}});
  EXPECT_EQ(stranger.status().code(), absl::StatusCode::kInvalidArgument);
  const auto good =
      client_->Upload({.key = "d", .name = "n", .program = &program, .files = {{sha256, content}}});
  ASSERT_TRUE(good.ok()) << good.status();
  const auto known = client_->Upload({.key = "e", .name = "n", .program = &program});
  EXPECT_TRUE(known.ok()) << known.status();

  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  grpc::ClientContext context;
  v1::GetFileRequest request;
  request.set_sha256(sha256);
  const auto reader = stub->GetFile(&context, request);
  std::string received;
  v1::FileChunk chunk;
  while (reader->Read(&chunk)) received += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(chunk.last());
  EXPECT_EQ(received, content);
}

TEST_F(UploadsTest, SenselessProgramIsRefused) {
  Program program = *ParseProgramText(kOneStep);
  program.nodes[0].step = 9;
  const auto run = client_->Upload({.key = "a", .name = "n", .program = &program});
  EXPECT_EQ(run.status().code(), absl::StatusCode::kInvalidArgument);
}

// An upload as other clients may send it: how its parts lie in messages is theirs to choose.
class RawUpload {
 public:
  RawUpload(v1::Hub::Stub* stub, const std::string& text)
      : stream_(stub->Upload(&context_, &reply)) {
    v1::Program proto;
    ToProto(*ParseProgramText(text), &proto);
    program = proto.SerializeAsString();
  }

  v1::UploadRequest Start() const {
    v1::UploadRequest message;
    message.mutable_start()->set_key(HubClient::MakeKey());
    message.mutable_start()->set_program_bytes(program.size());
    message.mutable_start()->set_memory_bytes(1 << 20);
    return message;
  }
  void Send(const v1::UploadRequest& message) { (void)stream_->Write(message); }
  absl::Status End() {
    (void)stream_->WritesDone();
    return FromGrpc(stream_->Finish());
  }

  v1::UploadReply reply;
  std::string program;

 private:
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientWriter<v1::UploadRequest>> stream_;
};

TEST_F(UploadsTest, UploadMayBeOneMessage) {
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  RawUpload upload(stub.get(), kOneStep);
  v1::UploadRequest all = upload.Start();
  all.set_program(upload.program);
  upload.Send(all);
  EXPECT_TRUE(upload.End().ok());
  EXPECT_GT(upload.reply.run(), 0u);
}

TEST_F(UploadsTest, UploadMayBeManyMessages) {
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  RawUpload upload(stub.get(), kOneStep);
  upload.Send(upload.Start());
  for (const char byte : upload.program) {
    v1::UploadRequest piece;
    piece.set_program(std::string(1, byte));
    upload.Send(piece);
  }
  EXPECT_TRUE(upload.End().ok());
  EXPECT_GT(upload.reply.run(), 0u);
}

TEST_F(UploadsTest, LargeProgramBesideTheStartIsRefused) {
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  RawUpload upload(stub.get(), kOneStep);
  upload.program = std::string(70 << 10, 'p');
  v1::UploadRequest all = upload.Start();
  all.set_program(upload.program);
  upload.Send(all);
  EXPECT_THAT(upload.End().message(), HasSubstr("bytes beside `start`"));
}

TEST_F(UploadsTest, FileBeforeTheEndOfTheProgramIsRefused) {
  const auto stub = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  RawUpload upload(stub.get(), kOneStep);
  v1::UploadRequest all = upload.Start();
  all.mutable_file()->set_data("x");
  upload.Send(all);
  EXPECT_THAT(upload.End().message(), HasSubstr("a file before the end of the program"));
}

// ---------------------------------------------------------------------------- with a watch behind

class UploadAndWatchTest : public HubServicesTest {
 protected:
  UploadAndWatchTest() : program_(ParseProgramText(kOneStep)) {}

  NewRun Run(const std::string& key) const {
    return {.key = key, .name = "test.bue", .program = program_.get()};
  }

  // A call whose upload was sent as a whole.
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::UploadRequest, v1::RunUpdate>> stream;
    v1::RunUpdate update;
  };
  std::unique_ptr<Call> Begin(const v1::WatchRunRequest& watch) {
    auto call = std::make_unique<Call>();
    call->stream = stub_->UploadAndWatch(&call->context);
    v1::Program proto;
    ToProto(*program_, &proto);
    v1::UploadRequest all;
    all.set_program(proto.SerializeAsString());
    all.mutable_start()->set_key(HubClient::MakeKey());
    all.mutable_start()->set_program_bytes(all.program().size());
    all.mutable_start()->set_memory_bytes(1 << 20);
    *all.mutable_start()->mutable_watch() = watch;
    EXPECT_TRUE(call->stream->Write(all));
    EXPECT_TRUE(call->stream->WritesDone());
    return call;
  }

  void SetUp() override {
    HubServicesTest::SetUp();
    stub_ = v1::Hub::NewStub(MakeChannel(hub_->address(), kToken));
  }

  const std::shared_ptr<const Program> program_;
  std::unique_ptr<v1::Hub::Stub> stub_;
};

TEST_F(UploadAndWatchTest, TellsTheRunThenItsStatusesThenItsEnd) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  std::vector<uint64_t> runs;
  std::vector<v1::RunState> states;
  const auto end = client_->UploadAndWatch(
      Run("a"), absl::Milliseconds(10),
      [&](uint64_t run) {
        EXPECT_THAT(states, IsEmpty());
        runs.push_back(run);
      },
      [&](const v1::RunStatus& status) {
        if (states.empty()) worker->Succeed(worker->AwaitLeases(1));
        states.push_back(status.state());
        return true;
      });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->state(), v1::RUN_SUCCEEDED);
  EXPECT_THAT(runs, ElementsAre(end->run()));
  EXPECT_EQ(states.front(), v1::RUNNING);
  EXPECT_EQ(states.back(), v1::RUN_SUCCEEDED);
}

TEST_F(UploadAndWatchTest, OfTheEndAloneItSaysNothingBetween) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  v1::WatchRunRequest watch;
  watch.set_only_end(true);
  const auto call = Begin(watch);
  ASSERT_TRUE(call->stream->Read(&call->update));
  EXPECT_TRUE(call->update.has_accepted());
  EXPECT_FALSE(call->update.accepted().existed());
  worker->Succeed(worker->AwaitLeases(1));
  ASSERT_TRUE(call->stream->Read(&call->update));
  EXPECT_EQ(call->update.status().state(), v1::RUN_SUCCEEDED);
  EXPECT_FALSE(call->stream->Read(&call->update));
  EXPECT_TRUE(call->stream->Finish().ok());
}

TEST_F(UploadAndWatchTest, KnownKeyIsTheSameRunAlsoOnceItHasEnded) {
  const auto worker = Worker();
  worker->Join("w1", 1);
  const absl::StatusOr<uint64_t> run = client_->Upload(Run("a"));
  ASSERT_TRUE(run.ok()) << run.status();
  worker->Succeed(worker->AwaitLeases(1));
  AwaitEnd(*run);
  uint64_t accepted = 0;
  const auto end = client_->UploadAndWatch(
      Run("a"), absl::InfiniteDuration(), [&](uint64_t number) { accepted = number; },
      [](const v1::RunStatus&) { return true; });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(accepted, *run);
  EXPECT_EQ(end->run(), *run);
}

TEST_F(UploadAndWatchTest, WhatIsRefusedIsNeverAccepted) {
  Program program = *program_;
  program.nodes[0].step = 9;
  const auto end = client_->UploadAndWatch(
      {.key = "a", .name = "n", .program = &program}, absl::InfiniteDuration(),
      [](uint64_t) { ADD_FAILURE(); }, [](const v1::RunStatus&) { return true; });
  EXPECT_EQ(end.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(*client_->ListRuns(), IsEmpty());
}

TEST_F(UploadAndWatchTest, WhoCanNotWatchDoesNotUpload) {
  options_.watches_max = 1;
  SetUp();
  v1::WatchRunRequest watch;
  watch.set_only_end(true);
  auto first = Begin(watch);
  ASSERT_TRUE(first->stream->Read(&first->update));
  const auto second = client_->UploadAndWatch(
      Run("a"), absl::InfiniteDuration(), [](uint64_t) { ADD_FAILURE(); },
      [](const v1::RunStatus&) { return true; });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(second.status().message(), HasSubstr("watches already"));
  const auto watched =
      client_->WatchRun(1, absl::InfiniteDuration(), [](const v1::RunStatus&) { return true; });
  EXPECT_EQ(watched.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(*client_->ListRuns(), SizeIs(1));
  // Its place is free again, a little later.
  first->context.TryCancel();
  (void)first->stream->Finish();
  absl::StatusOr<v1::RunStatus> third;
  do {
    third = client_->UploadAndWatch(
        Run("a"), absl::Milliseconds(10), [](uint64_t) {},
        [](const v1::RunStatus&) { return false; });
  } while (absl::IsResourceExhausted(third.status()));
  EXPECT_TRUE(third.ok()) << third.status();
}

TEST_F(UploadAndWatchTest, WhoHasSeenEnoughLeavesTheRunAlone) {
  const auto seen = client_->UploadAndWatch(
      Run("a"), absl::Milliseconds(10), [](uint64_t) {},
      [](const v1::RunStatus&) { return false; });
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(client_->GetRun(seen->run())->state(), v1::RUNNING);
}

TEST_F(UploadAndWatchTest, StoppingHubEndsIt) {
  v1::WatchRunRequest watch;
  watch.set_only_end(true);
  const auto call = Begin(watch);
  ASSERT_TRUE(call->stream->Read(&call->update));
  hub_->Shutdown();
  EXPECT_FALSE(call->stream->Read(&call->update));
  EXPECT_EQ(call->stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(UploadAndWatchTest, AbandonedOnesHarmNobody) {
  v1::WatchRunRequest only_end;
  only_end.set_only_end(true);
  v1::WatchRunRequest often;
  often.set_interval_ms(1);
  size_t accepted = 0;
  for (int i = 0; i < 60; ++i) {
    const auto call = Begin(i % 2 == 0 ? only_end : often);
    if (i % 3 > 0) accepted += call->stream->Read(&call->update);
    call->context.TryCancel();
    (void)call->stream->Finish();
  }
  EXPECT_EQ(accepted, 40u);
  const auto call = std::make_unique<Call>();
  call->stream = stub_->UploadAndWatch(&call->context);  // Nothing was sent.
  call->context.TryCancel();
  (void)call->stream->Finish();
  EXPECT_GE(client_->ListRuns()->size(), accepted);
}

}  // namespace
}  // namespace bue::hub
