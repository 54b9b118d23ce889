// The worker's stream. Its executions: executions.cc.
#include "tests/simulation/worker_process.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "tests/simulation/connection.h"
#include "worker/core/wire.h"

namespace bue::sim {
namespace {

constexpr absl::Duration kHeartbeat = absl::Seconds(1);
constexpr absl::Duration kTick = absl::Milliseconds(250);
constexpr absl::Duration kFirstPause = absl::Milliseconds(50);
constexpr absl::Duration kLongestPause = absl::Seconds(1);
constexpr absl::Duration kStopGrace = absl::Seconds(4);
constexpr absl::Duration kAckGrace = absl::Seconds(5);

}  // namespace

WorkerProcess::WorkerProcess(World* world, std::string name, uint64_t incarnation, bool every_scope)
    : world_(world),
      name_(std::move(name)),
      incarnation_(incarnation),
      every_scope_(every_scope),
      session_({.slots = {4, 3, 1, 2},
                .ahead_min_cap = static_cast<uint32_t>(1 + incarnation % 7),
                .ahead_max = 64,
                .unacked_max = incarnation % 3 == 0 ? 6u : 65536u,
                .message_outcomes_max = incarnation % 4 == 0 ? 2u : 16384u}) {}

void WorkerProcess::Start() {
  open_at_ = last_tick_ = world_->events.now();
  Tick();
}

void WorkerProcess::Do(std::function<void()> action) {
  if (dead_) return;
  if (frozen_) {
    backlog_.push_back(std::move(action));
    return;
  }
  action();
  if (!dead_) Advance();
}

void WorkerProcess::Kill() {
  if (dead_) return;
  dead_ = true;
  executions_.clear();
  LayGhosts();
  world_->Trace(name_, " is killed");
  for (const auto& connection : world_->connections())
    connection->WorkerDied(this, world_->random.Chance(20));
}

void WorkerProcess::Freeze(absl::Duration time) {
  if (dead_ || frozen_) return;
  frozen_ = true;
  world_->Trace(name_, " freezes for ", absl::FormatDuration(time));
  world_->events.After(time, [this] {
    if (dead_) return;
    frozen_ = false;
    world_->Trace(name_, " goes on");
    for (auto& action : std::exchange(backlog_, {})) Do(std::move(action));
  });
}

void WorkerProcess::Leave() {
  if (dead_ || leaving_) return;
  Do([this] {
    world_->Trace(name_, " leaves");
    leaving_ = true;
    leave_deadline_ = world_->events.now() + kStopGrace;
    session_.Stop();
  });
}

// ------------------------------------------------------------------------------------ the stream

void WorkerProcess::Tick() {
  const absl::Time now = world_->events.now();
  // After a stall of its own the hub gets a fresh period: it may have spoken all the while.
  const absl::Duration silence = world_->config.scheduler.silence;
  if (now - last_tick_ > silence / 2) last_heard_ = now;
  last_tick_ = now;
  if (connection_ == nullptr) {
    if (!finishing_ && now >= open_at_) Open();
  } else {
    if (now - last_heard_ > silence) {
      if (welcomed_ || connection_->reached_hub()) connection_->CancelByWorker();
      last_heard_ = now;
    }
    if (writable() && !finishing_ && (answer_due_ || now - last_sent_ >= kHeartbeat * 0.75)) {
      Send(v1::FromWorker());
    }
  }
  world_->events.After(kTick, [this] { Do([this] { Tick(); }); });
}

void WorkerProcess::Open() {
  const absl::Time now = world_->events.now();
  v1::FromWorker message;
  v1::Hello* hello = message.mutable_hello();
  hello->set_name(name_);
  hello->set_host("host");
  hello->set_version("1");
  hello->set_incarnation(incarnation_);
  hello->set_protocol(v1::PROTOCOL_GHOSTS);
  if (!every_scope_) {
    for (const char* scope : {"default", "a"}) hello->add_scopes(scope);
  }
  for (const worker::HeldLease& held : session_.Held(now)) {
    worker::ToProto(held, hello->add_held());
  }
  for (const worker::Ghost& ghost : session_.Ghosts()) {
    worker::ToProto(ghost, hello->add_ghosts());
  }
  world_->Trace(name_, " says hello with ", hello->held_size(), " leases");
  welcomed_ = false;
  answer_due_ = false;
  writing_ = true;
  last_heard_ = last_sent_ = now;
  connection_ = world_->Connect(this, message.SerializeAsString());
}

void WorkerProcess::Send(const v1::FromWorker& message) {
  writing_ = true;
  answer_due_ = false;
  last_sent_ = world_->events.now();
  connection_->Send(message.SerializeAsString());
}

void WorkerProcess::Advance() {
  if (session_.MayGoOn()) SendNews();
  std::vector<worker::StartBatch> batches;
  session_.TakeStarts(&batches);
  for (const worker::StartBatch& batch : batches) Begin(batch);
  SendNews();
  if (leaving_) AdvanceLeaving();
}

void WorkerProcess::SendNews() {
  if (!writable() || finishing_ || (!session_.HasNews() && hash_replies_.empty())) return;
  v1::FromWorker message;
  worker::ToProto(session_.TakeMessage(world_->events.now()), &message);
  for (v1::HashReply& reply : std::exchange(hash_replies_, {})) {
    *message.add_hashes() = std::move(reply);
  }
  if (world_->tracing()) world_->Trace(name_, " -> ", message.ShortDebugString());
  Send(message);
}

void WorkerProcess::AdvanceLeaving() {
  const absl::Time now = world_->events.now();
  if (!gave_back_ && (session_.quiet() || now >= leave_deadline_)) {
    gave_back_ = true;
    std::vector<uint64_t> running;
    session_.GiveBackRest(&running);
    Cancel(running);
    leave_deadline_ = now + kAckGrace;
    return Advance();
  }
  if (gave_back_ && !finishing_ && (session_.finished() || now >= leave_deadline_)) {
    finishing_ = true;
    if (connection_ != nullptr) connection_->Finish();
    leave_deadline_ = now + absl::Seconds(1);
  }
  if (finishing_ && now >= leave_deadline_) Exit();
}

void WorkerProcess::Exit() {
  world_->Trace(name_, " has left");
  dead_ = true;
  executions_.clear();
  LayGhosts();
  for (const auto& connection : world_->connections()) connection->WorkerDied(this, false);
}

void WorkerProcess::OnRead(Connection* connection, const v1::ToWorker& message) {
  if (connection != connection_.get()) return;
  if (world_->tracing()) {
    v1::ToWorker shown = message;
    shown.clear_runs();
    shown.clear_ping();
    const std::string text = shown.ShortDebugString();
    if (!text.empty()) world_->Trace(name_, " <- ", text);
  }
  last_heard_ = world_->events.now();
  if (message.has_welcome()) {
    welcomed_ = true;
    up_since_ = last_heard_;
  }
  if (message.ping()) answer_due_ = true;
  if (!welcomed_) return;
  if (message.has_welcome()) OnWelcome(message.welcome());
  for (const v1::RunInfo& run : message.runs()) runs_[run.run()] = world_->plans.at(run.script());
  for (const v1::GrantGroup& grant : message.grants()) {
    absl::StatusOr<worker::GrantGroup> group = worker::FromProto(grant);
    CHECK(group.ok());
    session_.OnGrant(std::make_shared<const worker::GrantGroup>(*std::move(group)));
  }
  for (const v1::GrantGroup& offer : message.eager()) {
    absl::StatusOr<worker::GrantGroup> group = worker::OfferFromProto(offer);
    CHECK(group.ok());
    session_.OnEager(std::make_shared<worker::GrantGroup>(*std::move(group)));
  }
  std::vector<uint64_t> running;
  session_.OnRevoked(absl::MakeConstSpan(message.revoked().data(), message.revoked_size()),
                     &running);
  Cancel(running);
  for (const uint64_t run : message.recalled_runs()) session_.OnRecalled(run);
  session_.OnRecalled(
      absl::MakeConstSpan(message.recalled_leases().data(), message.recalled_leases_size()));
  for (const v1::SourceCredit& credit : message.credit()) {
    session_.OnCredit(credit.lease(), credit.elements());
    const auto execution = executions_.find(credit.lease());
    if (execution == executions_.end()) continue;
    execution->second.credit = std::max(execution->second.credit, credit.elements());
    if (std::exchange(execution->second.waits_for_credit, false)) {
      After(credit.lease(), absl::ZeroDuration(), &WorkerProcess::Produce);
    }
  }
  if (message.acked_report() > 0) session_.OnAcked(message.acked_report());
  for (const v1::HashRequest& request : message.hashes()) {
    world_->events.After(world_->Latency(), [this, request, asked = connection_] {
      Do([this, request, asked] {  // Later, if it stands still.
        if (asked == connection_) AnswerHashes(request);
      });
    });
  }
  for (const uint64_t run : message.ended_runs()) {
    session_.OnRunEnded(run);
    runs_.erase(run);
  }
}

void WorkerProcess::AnswerHashes(const v1::HashRequest& request) {
  const absl::StatusOr<worker::HashRequest> asked = worker::FromProto(request);
  CHECK(asked.ok());
  worker::HashReply reply{.id = asked->id};
  for (uint32_t row = 0; row < asked->count; ++row) {
    reply.hashes.push_back(ByHashOf(&world_->bucket, asked->values, row));
  }
  worker::ToProto(reply, &hash_replies_.emplace_back());
}

void WorkerProcess::OnWelcome(const v1::Welcome& welcome) {
  std::vector<uint64_t> running;
  session_.OnWelcome(absl::MakeConstSpan(welcome.dropped().data(), welcome.dropped_size()),
                     &running);
  Cancel(running);
  for (auto run = runs_.begin(); run != runs_.end();) {
    if (session_.HoldsRun(run->first)) {
      ++run;
      continue;
    }
    session_.OnRunEnded(run->first);
    run = runs_.erase(run);
  }
}

void WorkerProcess::OnWritten(Connection* connection) {
  if (connection == connection_.get()) writing_ = false;
}

void WorkerProcess::OnEnded(Connection* connection) {
  if (connection != connection_.get()) return;
  const absl::Time now = world_->events.now();
  const bool was_up = welcomed_;
  world_->Trace(name_, "'s stream ended");
  if (was_up && now - up_since_ > kLongestPause) failures_ = 0;
  connection_ = nullptr;
  welcomed_ = false;
  writing_ = false;
  const absl::Duration pause =
      failures_ == 0 ? absl::ZeroDuration()
                     : std::min(kFirstPause * (1 << std::min(failures_ - 1, 10)), kLongestPause);
  ++failures_;
  open_at_ = now + pause;
  if (finishing_) return Exit();
  if (was_up) session_.OnDisconnected();
  hash_replies_.clear();
  world_->events.At(open_at_, [this] {
    Do([this] {
      if (connection_ == nullptr && !finishing_ && world_->events.now() >= open_at_) Open();
    });
  });
}

}  // namespace bue::sim
