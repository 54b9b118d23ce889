#include "worker/core/role.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/logging.h"
#include "worker/core/wire.h"

namespace bue::worker {
namespace {

constexpr char kVersion[] = BUE_VERSION;
// After goodbye, for the end of the stream.
constexpr absl::Duration kGoodbyeGrace = absl::Seconds(1);
// While more than this is on its way to the bucket, no new calls begin.
constexpr size_t kStoringBytesMax = 16 << 20;
constexpr absl::Duration kLongestWait = absl::Seconds(1);
// How often the hub is told what has come to run for long.
constexpr absl::Duration kLookEvery = absl::Seconds(1);
// Where a person looks on as steps print.
constexpr absl::Duration kEchoEvery = absl::Milliseconds(200);
constexpr size_t kLogsBytesMax = 4 << 20;  // What steps printed so far, in one message.
constexpr size_t kFailedHooksMax = 100;    // Waiting to be said.

// What an executor's thread may do at once itself. Output may be for a terminal that stands still.
constexpr size_t kSmallResults = 8;
constexpr size_t kSmallResultBytes = 256 << 10;

bool IsSmall(const std::vector<CallResult>& results) {
  if (results.size() > kSmallResults) return false;
  size_t bytes = 0;
  for (const CallResult& result : results) {
    if (!result.output.empty()) return false;
    bytes += result.data.size();
  }
  return bytes <= kSmallResultBytes;
}

void WriteToStandardError(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = write(STDERR_FILENO, text.data(), text.size());
    if (wrote <= 0) return;
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

void Echo(absl::string_view output) {
  // A terminal's line may hold the progress of `bue run`, which is drawn again later.
  if (isatty(STDERR_FILENO) == 1) WriteToStandardError("\r\x1b[K");
  WriteToStandardError(output);
}

}  // namespace

void ExecutorPost::OnDone(std::vector<CallResult> results) {
  const bool small = IsSmall(results);
  inbox_->Post(
      [receiver = receiver_, results = std::move(results)]() mutable {
        receiver->OnResults(std::move(results));
      },
      small);
}

void ExecutorPost::OnProgress(uint64_t lease, uint64_t address, const Yielded& yielded) {
  inbox_->Post([receiver = receiver_, lease, address, yielded] {
    receiver->OnSourceProgress(
        {.lease = lease, .address = address, .elements = yielded.elements, .hash = yielded.hash});
  });
}

void ExecutorPost::OnStoring(uint64_t lease) {
  inbox_->Post([receiver = receiver_, lease] { receiver->OnCallStoring(lease); }, true);
}

void ExecutorPost::OnLearnedMode(uint64_t run, uint32_t step, Pool pool) {
  inbox_->Post([receiver = receiver_, run, step, pool] {
    receiver->OnStepMode({.run = run, .step = step, .pool = pool});
  });
}

void ExecutorPost::OnStarting(std::vector<uint64_t> leases) {
  const bool small = leases.size() <= kSmallResults;
  inbox_->Post(
      [receiver = receiver_, leases = std::move(leases)] { receiver->OnCallsStarting(leases); },
      small);
}

void ExecutorPost::OnStarted(std::vector<StartedCall> calls) {
  inbox_->Post(
      [receiver = receiver_, calls = std::move(calls)] { receiver->OnCallsStarted(calls); });
}

void ExecutorPost::OnOver(std::vector<uint64_t> leases) {
  inbox_->Post(
      [receiver = receiver_, leases = std::move(leases)] { receiver->OnCallsOver(leases); });
}

void ExecutorPost::OnHookFailed(uint64_t run, uint32_t step, const CallError& error) {
  inbox_->Post(
      [receiver = receiver_, run, step, error] { receiver->OnHookFailure(run, step, error); });
}

Role::Role(RoleOptions options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      inbox_(std::make_shared<Inbox>()),
      hub_calls_(channel),
      events_(inbox_, this),
      session_(options_.session),
      echo_(Echo),
      files_(options_.files_dir, &hub_calls_, inbox_),
      runs_(&files_, this),
      stream_(std::make_unique<HubStream>(HubStreamOptions{.target = options_.hub},
                                          std::move(channel), inbox_, this)),
      thread_([this] { Loop(); }) {}

Role::~Role() {
  Stop();
  files_.Stop();
  if (inputs_ != nullptr) inputs_->Stop();
  inbox_->Close();
  stream_ = nullptr;
}

absl::StatusOr<std::vector<std::string>> Role::WaitForWelcome(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithTimeout(absl::Condition(&welcome_known_), timeout)) {
    return absl::UnavailableError(absl::StrCat("the hub at ", options_.hub,
                                               " did not welcome this worker within ",
                                               DurationText(timeout)));
  }
  return welcome_;
}

void Role::Begin(BucketClient* bucket, Executor* python, Executor* sql) {
  inbox_->Post([this, bucket, python, sql] {
    python_ = python;
    sql_ = sql;
    inputs_ = std::make_unique<Inputs>(options_.inputs, bucket, &hub_calls_, inbox_, this);
    hash_reader_ = std::make_unique<HashReader>(inputs_.get());
    results_ = std::make_unique<Results>(bucket, &session_, inputs_.get(), inbox_);
  });
}

void Role::Stop() {
  if (!thread_.joinable()) return;
  inbox_->Post([this] {
    phase_ = Phase::kStopping;
    stop_deadline_ = Clock::Real()->Now() + options_.stop_grace;
    session_.Stop();
  });
  thread_.join();
  hub_calls_.Stop();
}

// ------------------------------------------------------------------------------------- the loop

void Role::Loop() {
  inbox_->SetTurn([this](std::vector<Inbox::Task> tasks) { return TakeTurn(std::move(tasks)); });
  while (phase_ != Phase::kDone) {
    TakeTurn(inbox_->Take(NextWait(Clock::Real()->Now())));
  }
}

absl::Time Role::TakeTurn(std::vector<Inbox::Task> tasks) {
  for (Inbox::Task& task : tasks) task();
  tasks.clear();
  const absl::Time now = Clock::Real()->Now();
  Advance(now);
  return phase_ == Phase::kDone ? now : now + NextWait(now);
}

absl::Duration Role::NextWait(absl::Time now) const {
  return std::min(std::min(stream_->NextDeadline(), stop_deadline_) - now,
                  options_.echo_output ? kEchoEvery : kLongestWait);
}

void Role::Advance(absl::Time now) {
  if (results_ != nullptr) {
    results_->Flush();
    if (session_.MayGoOn()) SendNews(now);
    if (results_->bytes_under_way() < kStoringBytesMax) {
      session_.TakeStarts(&batches_);
      for (StartBatch& batch : batches_) runs_.Load(std::move(batch));
      batches_.clear();
    }
    HandOver();
    LookOverCalls(now);
    SendNews(now);
  }
  if (phase_ != Phase::kRunning) AdvanceStop(now);
  stream_->Tick(now);
}

// What was revoked or given back while its inputs came, or since, does not start.
void Role::HandOver() {
  for (std::vector<Call>* ready : {&ready_python_, &ready_sql_}) {
    std::erase_if(*ready, [this](const Call& call) { return !session_.HandOver(call.lease); });
  }
  if (options_.echo_output) echo_.Started(ready_python_);
  if (!ready_python_.empty()) python_->Start(std::exchange(ready_python_, {}));
  if (!ready_sql_.empty()) sql_->Start(std::exchange(ready_sql_, {}));
}

void Role::LookOverCalls(absl::Time now) {
  if (now < next_look_) return;
  next_look_ = now + (options_.echo_output ? kEchoEvery : kLookEvery);
  for (Executor* executor : {python_, sql_}) executor->LookOver();
  session_.OnGhosts(python_->ghosts() + sql_->ghosts());
  if (options_.echo_output) {
    echo_.Look([this](uint64_t lease) { return python_->Output(lease); });
  }
}

void Role::SendNews(absl::Time now) {
  const bool asides =
      !log_replies_.empty() || !failed_hooks_.empty() || hash_reader_->has_replies();
  if ((!session_.HasNews() && !asides) || !stream_->writable()) return;
  v1::FromWorker* message = stream_->NewMessage();
  ToProto(session_.TakeMessage(now), message);
  AddLogs(message);
  for (v1::StepError& hook : failed_hooks_) *message->add_errors() = std::move(hook);
  failed_hooks_.clear();
  for (const HashReply& reply : hash_reader_->TakeReplies()) ToProto(reply, message->add_hashes());
  stream_->Send(now);
}

// The rest goes with the next message: the hub refuses one that is too long.
void Role::AddLogs(v1::FromWorker* message) {
  size_t added = 0;
  size_t bytes = 0;
  while (added < log_replies_.size() && bytes < kLogsBytesMax) {
    bytes += log_replies_[added].text().size();
    *message->add_logs() = std::move(log_replies_[added++]);
  }
  log_replies_.erase(log_replies_.begin(), log_replies_.begin() + added);
}

void Role::AdvanceStop(absl::Time now) {
  if (phase_ == Phase::kStopping && (session_.quiet() || now >= stop_deadline_)) {
    std::vector<uint64_t> running;
    session_.GiveBackRest(&running);
    Cancel(running);
    if (!running.empty()) log::info("running steps given back count={}", running.size());
    phase_ = Phase::kLeaving;
    stop_deadline_ = now + options_.ack_grace;
    if (results_ != nullptr) SendNews(now);
  }
  const bool nothing_to_say = results_ == nullptr || session_.finished();
  if (phase_ == Phase::kLeaving && (nothing_to_say || now >= stop_deadline_)) {
    stream_->Finish();
    phase_ = Phase::kEnding;
    stop_deadline_ = now + kGoodbyeGrace;
  }
  if (phase_ == Phase::kEnding && (stream_->ended() || now >= stop_deadline_)) {
    phase_ = Phase::kDone;
  }
}

void Role::Cancel(const std::vector<uint64_t>& leases) {
  if (results_ == nullptr) return;
  for (const uint64_t lease : leases) {
    python_->Cancel(lease);
    sql_->Cancel(lease);
  }
}

// -------------------------------------------------------------------------------------- the hub

void Role::FillHello(v1::Hello* hello) {
  hello->set_name(options_.name);
  hello->set_host(options_.host);
  for (const std::string& scope : options_.scopes) hello->add_scopes(scope);
  hello->set_priority_first(options_.priority_first);
  hello->set_reverse(options_.reverse);
  hello->set_version(kVersion);
  hello->set_incarnation(options_.incarnation);
  hello->set_protocol(v1::PROTOCOL_GHOSTS);
  for (const HeldLease& held : session_.Held(Clock::Real()->Now()))
    ToProto(held, hello->add_held());
  for (const Ghost& ghost : session_.Ghosts()) ToProto(ghost, hello->add_ghosts());
}

// Grants before revocations: what came up between two messages is merged into one, and only a
// granted lease can be revoked.
void Role::OnMessage(const v1::ToWorker& message) {
  if (message.has_welcome()) OnWelcome(message.welcome());
  for (const v1::RunInfo& run : message.runs()) runs_.Add(run);
  for (const v1::GrantGroup& grant : message.grants()) {
    absl::StatusOr<GrantGroup> group = FromProto(grant);
    if (group.ok()) {
      group->rank = RankOf(*group);
      session_.OnGrant(std::make_shared<const GrantGroup>(*std::move(group)));
    } else {
      log::error("grant ignored status=\"{}\"", group.status());
    }
  }
  for (const v1::GrantGroup& offer : message.eager()) {
    absl::StatusOr<GrantGroup> group = OfferFromProto(offer);
    if (group.ok()) {
      group->rank = RankOf(*group);
      session_.OnEager(std::make_shared<GrantGroup>(*std::move(group)));
    } else {
      log::error("offer ignored status=\"{}\"", group.status());
    }
  }
  if (message.revoked_size() > 0) {
    std::vector<uint64_t> running;
    const auto revoked = absl::MakeConstSpan(message.revoked().data(), message.revoked_size());
    session_.OnRevoked(revoked, &running);
    hub_calls_.LeasesEnded(revoked);
    Cancel(running);
  }
  for (const uint64_t run : message.recalled_runs()) session_.OnRecalled(run);
  session_.OnRecalled(
      absl::MakeConstSpan(message.recalled_leases().data(), message.recalled_leases_size()));
  for (const v1::SourceCredit& credit : message.credit()) {
    session_.OnCredit(credit.lease(), credit.elements());
    if (python_ != nullptr) python_->SourceCredit(credit.lease(), credit.elements());
  }
  if (message.acked_report() > 0) session_.OnAcked(message.acked_report());
  for (const v1::LogRequest& request : message.logs()) OnLogRequest(request);
  for (const v1::HashRequest& request : message.hashes()) OnHashRequest(request);
  for (const uint64_t run : message.ended_runs()) OnEndedRun(run);
}

// As the hub ranks what it grants: scopes in the worker's order, then priority, or the other way
// round; a worker for every scope knows only priorities.
Rank Role::RankOf(const GrantGroup& group) const {
  const Step* step = runs_.FindStep(group.run, group.step);
  if (step == nullptr) return Rank();
  const std::vector<std::string>& scopes = options_.scopes;
  int64_t scope = std::find(scopes.begin(), scopes.end(), step->scope) - scopes.begin();
  int64_t priority = -int64_t{step->priority};
  if (options_.reverse) {
    scope = -scope;
    priority = -priority;
  }
  if (options_.priority_first || scopes.empty()) return {.first = priority, .then = scope};
  return {.first = scope, .then = priority};
}

std::shared_ptr<const std::atomic<bool>> Role::Uses(std::vector<std::string> buckets) {
  absl::MutexLock lock(&mutex_);
  used_buckets_ = std::move(buckets);
  CompareBuckets();
  return knows_all_;
}

void Role::CompareBuckets() {
  if (used_buckets_.empty() || !welcome_.ok()) return;
  const auto sorted = [](std::vector<std::string> names) {
    absl::c_sort(names);
    return names;
  };
  *knows_all_ = sorted(used_buckets_) == sorted(*welcome_);
}

void Role::OnWelcome(const v1::Welcome& welcome) {
  std::vector<uint64_t> running;
  const auto dropped = absl::MakeConstSpan(welcome.dropped().data(), welcome.dropped_size());
  session_.OnWelcome(dropped, &running);
  hub_calls_.LeasesEnded(dropped);
  Cancel(running);
  // What ended while the hub was away is not announced; what goes on is, before its next grant.
  for (const uint64_t run :
       runs_.ForgetUnless([this](uint64_t r) { return session_.HoldsRun(r); })) {
    OnEndedRun(run);
  }
  absl::MutexLock lock(&mutex_);
  welcome_known_ = true;
  welcome_ = std::vector<std::string>(welcome.buckets().begin(), welcome.buckets().end());
  CompareBuckets();
}

void Role::OnDown() {
  session_.OnDisconnected();
  if (hash_reader_ != nullptr) hash_reader_->Forget();
}

void Role::OnRefused(const absl::Status& status) {
  // Anything but a broken connection stays as it is: Start gives up.
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) return;
  absl::MutexLock lock(&mutex_);
  if (welcome_known_) return;
  welcome_known_ = true;
  welcome_ = absl::Status(status.code(), absl::StrCat("the hub at ", options_.hub,
                                                      " refused this worker: ", status.message()));
}

// The hub asks who has said that there is room: after Begin.
void Role::OnHashRequest(const v1::HashRequest& request) {
  absl::StatusOr<HashRequest> read = FromProto(request);
  if (!read.ok()) log::error("hash request refused status=\"{}\"", read.status());
  hash_reader_->Read(read.ok() ? *std::move(read) : HashRequest{.id = request.id()});
}

void Role::OnLogRequest(const v1::LogRequest& request) {
  v1::LogReply& reply = log_replies_.emplace_back();
  reply.set_tag(request.tag());
  if (python_ == nullptr || !session_.Holds(request.lease())) {
    reply.set_unknown(true);
    return;
  }
  reply.set_text(python_->Output(request.lease()));
}

void Role::OnEndedRun(uint64_t run) {
  session_.OnRunEnded(run);
  runs_.Forget(run);
  if (results_ != nullptr) results_->Forget(run);
  if (python_ != nullptr) python_->ForgetRun(run);
  if (sql_ != nullptr) sql_->ForgetRun(run);
}

// ------------------------------------------------------------------------- from step to executor

void Role::OnStepReady(const StartBatch& batch, const std::shared_ptr<const LoadedStep>& step) {
  inputs_->Resolve(batch, step);
}

void Role::OnStepFailed(const StartBatch& batch, const absl::Status& status) {
  for (const uint32_t row : batch.rows) {
    Outcome outcome{.lease = batch.group->lease[row], .kind = Outcome::Kind::kFailed};
    if (absl::IsCancelled(status)) outcome.kind = Outcome::Kind::kGivenBack;  // Stopping.
    outcome.error = {.action = "load", .message = std::string(status.message())};
    session_.OnOutcome(std::move(outcome));
  }
}

void Role::OnReady(std::vector<Call> calls) {
  std::vector<Call>& ready =
      calls[0].step->step.language == Language::kPython ? ready_python_ : ready_sql_;
  for (Call& call : calls) {
    if (session_.Holds(call.lease)) ready.push_back(std::move(call));  // Else revoked meanwhile.
  }
}

void Role::OnInputGone(uint64_t lease, uint64_t address, const absl::Status& status) {
  session_.OnOutcome({.lease = lease,
                      .kind = Outcome::Kind::kInputGone,
                      .error = {.action = "input", .message = std::string(status.message())},
                      .gone = address,
                      .store_gone = inputs_->StoreIsGone(address)});
}

void Role::OnInputFailed(uint64_t lease, const absl::Status& status) {
  session_.OnOutcome(
      {.lease = lease,
       .kind = absl::IsCancelled(status) ? Outcome::Kind::kGivenBack : Outcome::Kind::kFailed,
       .error = {.action = "input", .message = std::string(status.message())}});
}

void Role::OnResults(std::vector<CallResult> results) {
  if (results_ == nullptr) return;
  if (options_.echo_output) {
    for (const CallResult& result : results) echo_.Ended(result);
  }
  results_->Add(std::move(results));
}

void Role::OnSourceProgress(const Progress& progress) { session_.OnProgress(progress); }

void Role::OnCallStoring(uint64_t lease) { session_.OnStoring(lease); }

void Role::OnStepMode(const LearnedMode& learned) { session_.OnLearnedMode(learned); }

void Role::OnCallsStarting(const std::vector<uint64_t>& leases) {
  const absl::Time now = Clock::Real()->Now();
  for (const uint64_t lease : leases) session_.OnStarting(lease, now);
}

void Role::OnCallsStarted(const std::vector<StartedCall>& calls) {
  const absl::Time now = Clock::Real()->Now();
  for (const StartedCall& call : calls) session_.OnStarted(call.lease, call.started, now);
}

void Role::OnCallsOver(const std::vector<uint64_t>& leases) {
  for (const uint64_t lease : leases) session_.OnOver(lease);
}

void Role::OnHookFailure(uint64_t run, uint32_t step, const CallError& error) {
  if (failed_hooks_.size() >= kFailedHooksMax) return;  // The worker's log has them all.
  v1::StepError& hook = failed_hooks_.emplace_back();
  hook.set_run(run);
  hook.set_step(step);
  hook.mutable_error()->set_action(error.action);
  hook.mutable_error()->set_type(error.type);
  hook.mutable_error()->set_message(error.message);
  hook.mutable_error()->set_traceback(error.traceback);
}

}  // namespace bue::worker
