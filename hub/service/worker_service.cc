#include "hub/service/worker_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "common/status_macros.h"
#include "hub/service/worker_stream.h"

namespace bue::hub {
namespace {

using Reactor = grpc::ServerBidiReactor<v1::FromWorker, v1::ToWorker>;

constexpr size_t kLogBytesMax = 128 << 10;  // Of one answer: its end.

// What one turn sends to one worker.
struct Parcel {
  const WorkerWelcome* welcome = nullptr;
  std::vector<const GrantGroup*> grants;
  std::vector<uint64_t> revoked;
  std::vector<SourceCredit> credits;
  bool close = false;
};

// A call that is refused before it begins.
class Refusal final : public Reactor {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

class WorkerService::Impl final : public v1::Work::CallbackService {
 public:
  Impl(WorkerServiceOptions options, Post post, const Clock* clock);
  ~Impl() override;

  Reactor* Session(grpc::CallbackServerContext* context) override;

  void Publish(Outgoing* outgoing);
  void Acknowledge(const std::vector<OutcomeAck>& acks);
  void AskLog(uint64_t worker, uint64_t lease, LogAnswer answer);
  void Stop();

 private:
  class Session;
  using SessionPointer = std::shared_ptr<class Session>;
  struct PendingLog {
    uint64_t worker = 0;
    absl::Time deadline;
    LogAnswer answer;
  };

  // The way up. An error closes the stream.
  absl::Status Take(class Session* session, const v1::FromWorker& message);
  absl::Status TakeHello(class Session* session, const v1::Hello& hello);
  void TakeLogs(const v1::FromWorker& message);
  void Gone(class Session* session);
  void Forget(class Session* session);

  // The way down.
  SessionPointer Find(uint64_t worker);
  void FillParcels(Outgoing* outgoing);
  void SendParcel(class Session* session, const Parcel& parcel);
  size_t AppendGrants(class Session* session, const Parcel& parcel, v1::ToWorker* out);
  void SendWelcome(const WorkerWelcome& welcome, v1::ToWorker* out) const;
  void SendEndedRuns(const std::vector<uint64_t>& runs);

  // The clockwork.
  void Run();
  void Tick(absl::Time now, bool stalled);
  void Check(class Session* session, absl::Time now);
  void ExpireLogs(absl::Time now);
  std::vector<SessionPointer> AllSessions();

  // Constant after construction.
  const WorkerServiceOptions options_;
  const Post post_;
  const Clock* const clock_;

  // Used by the turn thread only.
  absl::flat_hash_map<uint64_t, std::shared_ptr<const Program>> programs_;  // Of runs under way.
  absl::flat_hash_map<uint64_t, Parcel> parcels_;

  absl::Mutex mutex_;
  absl::CondVar stop_;
  absl::flat_hash_map<uint64_t, SessionPointer> sessions_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, PendingLog> logs_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_worker_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t next_log_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread clockwork_;
};

// One worker's call. Lives until gRPC is done with it and nobody holds it any more.
class WorkerService::Impl::Session final : public Reactor, public StreamWire {
 public:
  Session(Impl* service, grpc::CallbackServerContext* context, uint64_t id)
      : id(id),
        stream(this, service->options_.queued_bytes_max),
        service_(service),
        context_(context) {
    Heard();
  }

  // `self` keeps the session alive until OnDone.
  void Begin(std::shared_ptr<Session> self) {
    self_ = std::move(self);
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      service_->Gone(this);
      stream.Close(absl::OkStatus());
      return;
    }
    Heard();
    if (absl::Status status = service_->Take(this, incoming_); !status.ok()) {
      stream.Close(status);
      service_->Gone(this);
      return;
    }
    StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override { stream.Written(ok); }
  void OnDone() override {
    service_->Gone(this);
    service_->Forget(this);
    self_.reset();
  }

  void Write(const v1::ToWorker* message) override { StartWrite(message); }
  void Finish(const absl::Status& status) override { Reactor::Finish(ToGrpc(status)); }
  void Cancel() override { context_->TryCancel(); }

  void Heard() { heard_us_ = absl::ToUnixMicros(service_->clock_->Now()); }
  absl::Time last_heard() const { return absl::FromUnixMicros(heard_us_); }

  const uint64_t id;  // The scheduler's name for it.
  WorkerStream stream;

  // Used by the stream's reader, in turn; `name` is constant once joined.
  std::string name;
  std::atomic<bool> joined = false;
  std::atomic<bool> gone = false;
  std::atomic<bool> welcomed = false;

  // Used by the turn thread only.
  absl::flat_hash_set<uint64_t> told_runs;

 private:
  Impl* const service_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Session> self_;
  v1::FromWorker incoming_;  // Reused: it keeps its memory.
  std::atomic<int64_t> heard_us_ = 0;
};

WorkerService::Impl::Impl(WorkerServiceOptions options, Post post, const Clock* clock)
    : options_(std::move(options)), post_(std::move(post)), clock_(clock) {
  clockwork_ = std::thread([this] { Run(); });
}

WorkerService::Impl::~Impl() {
  Stop();
  clockwork_.join();
}

// ------------------------------------------------------------------------------------ the way up

Reactor* WorkerService::Impl::Session(grpc::CallbackServerContext* context) {
  if (absl::Status status = CheckToken(*context, options_.token); !status.ok()) {
    return new Refusal(status);
  }
  SessionPointer session;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return new Refusal(absl::UnavailableError("the hub is stopping"));
    if (sessions_.size() >= options_.workers_max) {
      return new Refusal(absl::ResourceExhaustedError(
          absl::StrCat("the hub has its ", options_.workers_max, " workers already")));
    }
    session = std::make_shared<class Session>(this, context, next_worker_++);
    sessions_[session->id] = session;
  }
  session->Begin(session);
  return session.get();
}

absl::Status WorkerService::Impl::Take(class Session* session, const v1::FromWorker& message) {
  if (message.has_hello() == session->joined) {
    return absl::InvalidArgumentError(session->joined ? "a worker says hello once"
                                                      : "a worker says hello first");
  }
  if (message.has_hello()) RETURN_IF_ERROR(TakeHello(session, message.hello()));
  if (message.logs_size() > 0) TakeLogs(message);
  // An empty report tells the scheduler that the worker is alive.
  ASSIGN_OR_RETURN(WorkerReported report, ToReported(message, session->id, options_.limits));
  return post_(std::move(report));
}

absl::Status WorkerService::Impl::TakeHello(class Session* session, const v1::Hello& hello) {
  ASSIGN_OR_RETURN(WorkerJoined joined, ToJoined(hello, session->id, options_.limits));
  session->name = joined.name;
  log::info("worker joined worker={} host={} version={} stream={} held={}", joined.name,
            joined.host, joined.version, session->id, joined.held.size());
  RETURN_IF_ERROR(post_(std::move(joined)));
  session->joined = true;
  return absl::OkStatus();
}

void WorkerService::Impl::TakeLogs(const v1::FromWorker& message) {
  for (const v1::LogReply& reply : message.logs()) {
    LogAnswer answer;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = logs_.find(reply.tag());
      if (found == logs_.end()) continue;
      answer = std::move(found->second.answer);
      logs_.erase(found);
    }
    if (reply.unknown()) {
      answer(std::nullopt);
    } else {
      const std::string& text = reply.text();
      answer(text.substr(text.size() - std::min(text.size(), kLogBytesMax)));
    }
  }
}

// Once per session: tells the scheduler, the log, and who waits for what a task printed.
void WorkerService::Impl::Gone(class Session* session) {
  if (!session->joined || session->gone.exchange(true)) return;
  const absl::Status reason = session->stream.closed().value_or(absl::OkStatus());
  log::info("worker stream ended worker={} stream={} reason={}", session->name, session->id,
            reason.ok() ? "closed" : std::string(reason.message()));
  (void)post_(WorkerGone{.worker = session->id});  // Refused only when the hub stops.
  std::vector<LogAnswer> answers;
  {
    absl::MutexLock lock(&mutex_);
    for (auto pending = logs_.begin(); pending != logs_.end();) {
      const auto it = pending++;
      if (it->second.worker != session->id) continue;
      answers.push_back(std::move(it->second.answer));
      logs_.erase(it);
    }
  }
  for (LogAnswer& answer : answers) answer(std::nullopt);
}

void WorkerService::Impl::Forget(class Session* session) {
  SessionPointer last;  // Let go without the lock.
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(session->id);
  last = std::move(found->second);
  sessions_.erase(found);
}

// ---------------------------------------------------------------------------------- the way down

WorkerService::Impl::SessionPointer WorkerService::Impl::Find(uint64_t worker) {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(worker);
  return found == sessions_.end() ? nullptr : found->second;
}

void WorkerService::Impl::Publish(Outgoing* outgoing) {
  for (RunSteps& run : outgoing->run_steps) programs_[run.run] = std::move(run.program);
  FillParcels(outgoing);
  for (const auto& [worker, parcel] : parcels_) {
    if (const SessionPointer session = Find(worker)) SendParcel(session.get(), parcel);
  }
  parcels_.clear();
  if (!outgoing->ended_runs.empty()) SendEndedRuns(outgoing->ended_runs);
}

void WorkerService::Impl::FillParcels(Outgoing* outgoing) {
  for (const WorkerWelcome& welcome : outgoing->welcomes)
    parcels_[welcome.worker].welcome = &welcome;
  for (const GrantGroup& group : outgoing->grants) parcels_[group.worker].grants.push_back(&group);
  for (const Revocation& revocation : outgoing->revocations) {
    parcels_[revocation.worker].revoked.push_back(revocation.lease);
  }
  for (const SourceCredit& credit : outgoing->credits) {
    parcels_[credit.worker].credits.push_back(credit);
  }
  for (const uint64_t worker : outgoing->closed_workers) parcels_[worker].close = true;
}

void WorkerService::Impl::SendParcel(class Session* session, const Parcel& parcel) {
  session->stream.Send(clock_->Now(), [&](v1::ToWorker* out) {
    size_t bytes = 0;
    if (parcel.welcome != nullptr) {
      SendWelcome(*parcel.welcome, out);
      bytes += 64 + 8 * parcel.welcome->dropped.size();
    }
    bytes += AppendGrants(session, parcel, out);
    out->mutable_revoked()->Add(parcel.revoked.begin(), parcel.revoked.end());
    bytes += 8 * parcel.revoked.size();
    for (const SourceCredit& credit : parcel.credits) {
      v1::SourceCredit* to = out->add_credit();
      to->set_lease(credit.lease);
      to->set_elements(credit.elements);
      bytes += 16;
    }
    return bytes;
  });
  if (parcel.welcome != nullptr) session->welcomed = true;
  if (parcel.close) session->stream.Close(absl::OkStatus());
}

// A run's steps and files go before its first grant of the stream.
size_t WorkerService::Impl::AppendGrants(class Session* session, const Parcel& parcel,
                                         v1::ToWorker* out) {
  size_t bytes = 0;
  for (const GrantGroup* group : parcel.grants) {
    if (session->told_runs.insert(group->run).second) {
      const auto program = programs_.find(group->run);
      CHECK(program != programs_.end());
      bytes += AppendRun(group->run, *program->second, out);
    }
    bytes += AppendGrant(*group, out);
  }
  return bytes;
}

void WorkerService::Impl::SendWelcome(const WorkerWelcome& welcome, v1::ToWorker* out) const {
  v1::Welcome* to = out->mutable_welcome();
  to->set_epoch(options_.epoch);
  to->set_worker(welcome.worker);
  for (const std::string& bucket : options_.buckets) to->add_buckets(bucket);
  to->set_heartbeat_ms(absl::ToInt64Milliseconds(options_.heartbeat));
  to->set_silence_ms(absl::ToInt64Milliseconds(options_.silence));
  to->mutable_dropped()->Add(welcome.dropped.begin(), welcome.dropped.end());
}

void WorkerService::Impl::SendEndedRuns(const std::vector<uint64_t>& runs) {
  for (const uint64_t run : runs) programs_.erase(run);
  for (const SessionPointer& session : AllSessions()) {
    std::vector<uint64_t> told;
    for (const uint64_t run : runs) {
      if (session->told_runs.erase(run) > 0) told.push_back(run);
    }
    if (told.empty()) continue;
    session->stream.Send(clock_->Now(), [&](v1::ToWorker* out) {
      out->mutable_ended_runs()->Add(told.begin(), told.end());
      return 4 * told.size();
    });
  }
}

void WorkerService::Impl::Acknowledge(const std::vector<OutcomeAck>& acks) {
  for (const OutcomeAck& ack : acks) {
    const SessionPointer session = Find(ack.worker);
    if (session == nullptr) continue;
    session->stream.Send(clock_->Now(), [&](v1::ToWorker* out) {
      out->set_acked_report(std::max(out->acked_report(), ack.report));
      return size_t{8};
    });
  }
}

void WorkerService::Impl::AskLog(uint64_t worker, uint64_t lease, LogAnswer answer) {
  const SessionPointer session = Find(worker);
  if (session == nullptr || session->gone) return answer(std::nullopt);
  uint64_t tag = 0;
  {
    absl::MutexLock lock(&mutex_);
    tag = next_log_++;
    logs_[tag] = {.worker = worker,
                  .deadline = clock_->Now() + options_.log_patience,
                  .answer = std::move(answer)};
  }
  session->stream.Send(clock_->Now(), [&](v1::ToWorker* out) {
    v1::LogRequest* request = out->add_logs();
    request->set_tag(tag);
    request->set_lease(lease);
    return size_t{16};
  });
}

// --------------------------------------------------------------------------------- the clockwork

void WorkerService::Impl::Run() {
  const absl::Duration beat = options_.heartbeat / 4;
  absl::Time last = clock_->Now();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (!stopping_) stop_.WaitWithTimeout(&mutex_, beat);
      if (stopping_) return;
    }
    const absl::Time now = clock_->Now();
    // A machine that slept, or a process that was stopped, heard nobody: that proves nothing.
    Tick(now, now - last > options_.silence / 2);
    last = now;
  }
}

void WorkerService::Impl::Tick(absl::Time now, bool stalled) {
  for (const SessionPointer& session : AllSessions()) {
    if (stalled) session->Heard();
    Check(session.get(), now);
  }
  ExpireLogs(now);
}

void WorkerService::Impl::Check(class Session* session, absl::Time now) {
  const absl::Duration silent = now - session->last_heard();
  if (silent > options_.silence) {
    if (session->stream.Abort(absl::DeadlineExceededError(absl::StrCat(
            "the worker said nothing for ", absl::FormatDuration(options_.silence))))) {
      Gone(session);
    }
  } else if (session->welcomed && now - session->stream.last_sent() >= options_.heartbeat * 3 / 4) {
    session->stream.Send(now, [](v1::ToWorker* out) {
      out->set_ping(true);
      return size_t{2};
    });
  }
}

void WorkerService::Impl::ExpireLogs(absl::Time now) {
  std::vector<LogAnswer> answers;
  {
    absl::MutexLock lock(&mutex_);
    for (auto pending = logs_.begin(); pending != logs_.end();) {
      const auto it = pending++;
      if (it->second.deadline > now) continue;
      answers.push_back(std::move(it->second.answer));
      logs_.erase(it);
    }
  }
  for (LogAnswer& answer : answers) answer(std::nullopt);
}

std::vector<WorkerService::Impl::SessionPointer> WorkerService::Impl::AllSessions() {
  absl::MutexLock lock(&mutex_);
  std::vector<SessionPointer> sessions;
  sessions.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) sessions.push_back(session);
  return sessions;
}

void WorkerService::Impl::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    stopping_ = true;
    stop_.Signal();
  }
  for (const SessionPointer& session : AllSessions()) {
    session->stream.Close(absl::UnavailableError("the hub is stopping"));
  }
}

// ------------------------------------------------------------------------------------ front door

WorkerService::WorkerService(WorkerServiceOptions options, Post post, const Clock* clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(post), clock)) {}
WorkerService::~WorkerService() = default;

grpc::Service* WorkerService::service() { return impl_.get(); }
void WorkerService::Publish(Outgoing* outgoing) { impl_->Publish(outgoing); }
void WorkerService::Acknowledge(const std::vector<OutcomeAck>& acks) { impl_->Acknowledge(acks); }
void WorkerService::AskLog(uint64_t worker, uint64_t lease, LogAnswer answer) {
  impl_->AskLog(worker, lease, std::move(answer));
}
void WorkerService::Stop() { impl_->Stop(); }

}  // namespace bue::hub
