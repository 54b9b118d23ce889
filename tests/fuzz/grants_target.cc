// What a hub sends: ToWorker messages into a worker's session, between them what its executors say.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bue/v1/work.pb.h"
#include "common/check.h"
#include "common/program/program_codec.h"
#include "tests/fuzz/feed.h"
#include "tests/fuzz/target.h"
#include "worker/core/session.h"
#include "worker/core/wire.h"

namespace bue::fuzz {
namespace {

using worker::Session;

class World {
 public:
  void Take(Feed* feed) {
    switch (feed->Choice(6)) {
      case 0:
      case 1:
        OnMessage(feed->Bytes());
        break;
      case 2:
        Start();
        break;
      case 3:
        End(feed->Byte());
        break;
      case 4:
        Say();
        break;
      case 5:
        session_.OnDisconnected();
        session_.Held(now_);
        break;
    }
  }

  // Whatever came before: what runs ends, and the session lets go of everything.
  void Finish() {
    std::vector<uint64_t> cancelled;
    session_.OnWelcome({}, &cancelled);
    session_.Stop();
    session_.GiveBackRest(&cancelled);
    CHECK(session_.quiet());
    for (int i = 0; i < 1000 && !session_.finished(); ++i) Say();
    session_.OnAcked(UINT64_MAX);
    CHECK(session_.finished());
    CHECK(session_.Held(now_).empty());
  }

 private:
  // As worker/core/role.cc does.
  void OnMessage(absl::string_view bytes) {
    v1::ToWorker message;
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    std::vector<uint64_t> cancelled;
    if (message.has_welcome()) {
      const auto& dropped = message.welcome().dropped();
      session_.OnDisconnected();
      session_.OnWelcome({dropped.data(), static_cast<size_t>(dropped.size())}, &cancelled);
    }
    for (const v1::RunInfo& run : message.runs()) {
      for (const v1::Step& step : run.steps()) FromProto(step).status().IgnoreError();
    }
    for (const v1::GrantGroup& grant : message.grants()) {
      absl::StatusOr<worker::GrantGroup> group = worker::FromProto(grant);
      if (!group.ok()) continue;
      CheckColumns(*group);
      session_.OnGrant(std::make_shared<const worker::GrantGroup>(*std::move(group)));
    }
    for (const v1::GrantGroup& offer : message.eager()) {
      absl::StatusOr<worker::GrantGroup> group = worker::OfferFromProto(offer);
      if (!group.ok()) continue;
      CheckColumns(*group);
      session_.OnEager(std::make_shared<worker::GrantGroup>(*std::move(group)));
    }
    session_.OnRevoked({message.revoked().data(), static_cast<size_t>(message.revoked_size())},
                       &cancelled);
    for (const v1::SourceCredit& credit : message.credit()) {
      session_.OnCredit(credit.lease(), credit.elements());
    }
    if (message.acked_report() > 0) session_.OnAcked(message.acked_report());
    for (const uint64_t run : message.ended_runs()) session_.OnRunEnded(run);
  }

  // Every row can be read.
  static void CheckColumns(const worker::GrantGroup& group) {
    for (uint32_t row = 0; row < group.lease.size(); ++row) {
      group.AttemptOf(row), group.PassOf(row);
      for (const worker::InputColumn& column : group.inputs) {
        using Kind = worker::InputColumn::Kind;
        if (column.kind <= Kind::kElements) worker::At(column.address, row);
        if (column.kind == Kind::kFanIn) worker::At(column.instance, row);
        if (column.kind == Kind::kElements || column.kind == Kind::kRange)
          CHECK(row < column.first.size());
        CHECK(column.count.empty() || row < column.count.size());
      }
    }
  }

  void Start() {
    std::vector<worker::StartBatch> batches;
    session_.TakeStarts(&batches);
    for (const worker::StartBatch& batch : batches) {
      for (const uint32_t row : batch.rows) running_.push_back(batch.group->lease[row]);
    }
  }

  void End(uint8_t how) {
    if (running_.empty()) return;
    const uint64_t lease = running_.back();
    running_.pop_back();
    session_.OnProgress({.lease = lease, .address = 1, .elements = how});
    session_.OnLearnedMode({.run = 1, .step = how % 4u, .pool = worker::Pool::kAsync});
    if (how % 3 == 0) {  // Its step could not be loaded.
      session_.OnOutcome({.lease = lease});
      return;
    }
    if (!session_.OnExecuted(lease, absl::Milliseconds(how)).has_value()) return;
    CHECK(how % 3 == 1 ? session_.OnSucceeded(lease, 1, 1, 1)
                       : session_.OnOutcome({.lease = lease}));
  }

  void Say() {
    if (!session_.HasNews()) return;
    const Session::Message message = session_.TakeMessage(absl::UnixEpoch());
    v1::FromWorker proto;
    worker::ToProto(message, &proto);
  }

  const absl::Time now_ = absl::FromUnixSeconds(1000000);
  Session session_{{.slots = {4, 3, 2, 1}, .message_outcomes_max = 8}};
  std::vector<uint64_t> running_;
};

void Run(absl::string_view bytes) {
  Feed feed(bytes);
  World world;
  while (!feed.AtEnd()) world.Take(&feed);
  world.Finish();
}

std::vector<std::string> Seeds() {
  v1::ToWorker welcome;
  welcome.mutable_welcome()->set_worker(1);
  v1::ToWorker grants;
  for (int g = 0; g < 2; ++g) {
    v1::GrantGroup* group = grants.add_grants();
    group->set_run(1);
    group->set_step(static_cast<uint32_t>(g));
    group->set_pool(g == 0 ? v1::POOL_THREAD : v1::POOL_SQL);
    group->set_is_source(g == 1);
    group->set_source_credit(g == 1 ? 100 : 0);
    for (uint64_t i = 1; i <= 5; ++i) {
      group->add_lease(10 * static_cast<uint64_t>(g) + i);
      group->add_item(i);
      group->add_attempt(1);
    }
    v1::InputColumn* column = group->add_inputs();
    column->set_kind(g == 0 ? v1::InputColumn::ELEMENTS : v1::InputColumn::FAN_IN);
    column->add_address(77);
    column->add_instance(3);
    for (uint64_t i = 1; i <= 5; ++i) column->add_first(i);
  }
  v1::ToWorker rest;
  rest.add_revoked(2);
  rest.add_revoked(11);
  rest.set_acked_report(1);
  rest.add_credit()->set_lease(12);
  rest.add_ended_runs(1);
  FeedWriter story;
  story.Byte(0).Bytes(welcome.SerializeAsString());
  story.Byte(0).Bytes(grants.SerializeAsString());
  story.Byte(2).Byte(3).Byte(4).Byte(3).Byte(5).Byte(4);
  story.Byte(0).Bytes(rest.SerializeAsString());
  story.Byte(2).Byte(5);
  story.Byte(0).Bytes(welcome.SerializeAsString()).Byte(3).Byte(8).Byte(4);
  return {story.out()};
}

}  // namespace

const Target kGrants = {.name = "grants", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
