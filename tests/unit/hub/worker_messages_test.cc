#include "hub/service/worker_messages.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace bue::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::FromWorker Report() {
  v1::FromWorker message;
  for (uint64_t lease = 1; lease <= 3; ++lease) {
    message.mutable_succeeded()->add_lease(lease);
    message.mutable_succeeded()->add_address(lease + 10);
    message.mutable_succeeded()->add_elements(0);
    message.mutable_succeeded()->add_run_us(7);
  }
  v1::Outcome* failed = message.add_outcomes();
  failed->set_lease(4);
  failed->set_kind(v1::Outcome::FAILED);
  failed->mutable_error()->set_message("m");
  v1::Outcome* gone = message.add_outcomes();
  gone->set_lease(5);
  gone->set_kind(v1::Outcome::INPUT_GONE);
  gone->set_gone(99);
  message.add_room()->set_leases(8);
  message.add_progress()->set_lease(6);
  message.add_learned()->set_pool(v1::POOL_ASYNC);
  message.set_report(2);
  return message;
}

TEST(WorkerMessagesTest, ReportKeepsItsOutcomesInOrder) {
  const absl::StatusOr<WorkerReported> report = ToReported(Report(), 9, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->worker, 9u);
  EXPECT_EQ(report->report, 2u);
  ASSERT_EQ(report->outcomes.size(), 5u);
  EXPECT_EQ(report->outcomes[2].lease, 3u);
  EXPECT_EQ(report->outcomes[2].address, 13u);
  EXPECT_EQ(report->outcomes[3].kind, Outcome::Kind::kFailed);
  EXPECT_EQ(report->outcomes[3].error->message, "m");
  EXPECT_EQ(report->outcomes[4].kind, Outcome::Kind::kInputGone);
  EXPECT_EQ(report->outcomes[4].address, 99u);
  EXPECT_EQ(report->room.size(), 1u);
  EXPECT_EQ(report->progress.size(), 1u);
  EXPECT_EQ(report->learned.size(), 1u);
}

TEST(WorkerMessagesTest, LongTextsAreCutBetweenCharacters) {
  v1::FromWorker message = Report();
  message.mutable_outcomes(0)->mutable_error()->set_message("aä");
  const absl::StatusOr<WorkerReported> report =
      ToReported(message, 9, WorkerLimits{.message_bytes_max = 2});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->outcomes[3].error->message, "a…");
}

TEST(WorkerMessagesTest, TooManyScopesAreNamed) {
  v1::Hello hello;
  hello.set_name("w");
  for (int i = 0; i < 3; ++i) hello.add_scopes("s");
  const absl::Status status = ToJoined(hello, 1, WorkerLimits{.scopes_max = 2}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), HasSubstr("allowed are 2"));
}

TEST(WorkerMessagesTest, GrantsTravelAsColumns) {
  GrantGroup group{.run = 1, .node = 2, .step = 3, .instance = 4, .pool = Pool::kSql};
  group.lease = {10, 11};
  group.item = {5, 6};
  group.inputs = {{.kind = InputColumn::Kind::kElements, .address = {7}, .first = {5, 6}}};
  v1::ToWorker message;
  EXPECT_GT(CopyGrant(group, message.add_grants()), 0u);
  ASSERT_EQ(message.grants_size(), 1);
  const v1::GrantGroup& grants = message.grants(0);
  EXPECT_EQ(grants.pool(), v1::POOL_SQL);
  EXPECT_THAT(grants.lease(), ElementsAre(10, 11));
  EXPECT_THAT(grants.item(), ElementsAre(5, 6));
  ASSERT_EQ(grants.inputs_size(), 1);
  EXPECT_EQ(grants.inputs(0).kind(), v1::InputColumn::ELEMENTS);
  EXPECT_THAT(grants.inputs(0).first(), ElementsAre(5, 6));
}

TEST(WorkerMessagesTest, WhatAllTasksOfAGrantHaveUsuallyIsNotSaid) {
  GrantGroup group{.run = 1, .lease = {10, 11}, .item = {5, 6}};
  group.attempt = {1, 1};
  group.pass = {0, 0};
  group.handbacks = {0, 2};
  v1::ToWorker message;
  CopyGrant(group, message.add_grants());
  EXPECT_THAT(message.grants(0).attempt(), ElementsAre());
  EXPECT_THAT(message.grants(0).pass(), ElementsAre());
  EXPECT_THAT(message.grants(0).handbacks(), ElementsAre(0, 2));
  group.attempt = {1, 3};
  group.pass = {1, 0};
  CopyGrant(group, message.add_grants());
  EXPECT_THAT(message.grants(1).attempt(), ElementsAre(1, 3));
  EXPECT_THAT(message.grants(1).pass(), ElementsAre(1, 0));
}

TEST(WorkerMessagesTest, AnOlderWorkerIsToldWhatToDo) {
  v1::Hello hello;
  hello.set_name("w");
  hello.set_version("0.1");
  const absl::Status status = ToJoined(hello, 1, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("older bue (0.1)"));
  hello.set_protocol(v1::PROTOCOL_GHOSTS);
  EXPECT_TRUE(ToJoined(hello, 1, {}).ok());
}

TEST(WorkerMessagesTest, MutatedMessagesNeverCrash) {
  const google::protobuf::LogSilencer silencer;  // It complains of broken characters.
  std::mt19937_64 random(1);
  v1::FromWorker message = Report();
  message.mutable_hello()->set_name("w");
  message.mutable_hello()->set_protocol(v1::PROTOCOL_GHOSTS);
  message.mutable_hello()->add_scopes("s");
  message.mutable_hello()->add_held()->set_elapsed_ms(~uint64_t{0});
  const std::string bytes = message.SerializeAsString();
  for (int round = 0; round < 20000; ++round) {
    std::string mutated = bytes;
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      mutated[random() % mutated.size()] = static_cast<char>(random());
    }
    v1::FromWorker parsed;
    if (!parsed.ParsePartialFromString(mutated)) continue;
    (void)ToJoined(parsed.hello(), 1, {});
    (void)ToReported(parsed, 1, {});
  }
}

}  // namespace
}  // namespace bue::hub
