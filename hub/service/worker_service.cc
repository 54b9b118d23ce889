#include "hub/service/worker_service.h"

#include <grpcpp/grpcpp.h>

#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "bue/v1/work.grpc.pb.h"
#include "common/rpc.h"

namespace bue::hub {
namespace {

using Reactor = grpc::ServerBidiReactor<v1::FromWorker, v1::ToWorker>;

// A call that is refused before it begins.
class Refusal final : public Reactor {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

// One worker's call. It and its session hold each other until gRPC is done with it; then it lives
// as long as anybody holds the session.
class Call final : public Reactor, public StreamWire {
 public:
  Call(WorkerSessions* sessions, grpc::CallbackServerContext* context, const Clock* clock)
      : sessions_(sessions), context_(context), clock_(clock) {}

  void Begin(std::shared_ptr<WorkerSession> session) {
    session_ = std::move(session);
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      sessions_->ReadsEnded(session_.get());
    } else if (sessions_->Read(session_.get(), incoming_, clock_->Now())) {
      StartRead(&incoming_);
    }
  }
  void OnWriteDone(bool ok) override { session_->stream.Written(ok); }
  void OnDone() override {
    sessions_->Ended(session_.get());
    const std::shared_ptr<WorkerSession> last = std::move(session_);
  }

  void Write(const v1::ToWorker* message) override { StartWrite(message); }
  void Finish(const absl::Status& status) override { Reactor::Finish(ToGrpc(status)); }
  void Cancel() override { context_->TryCancel(); }

 private:
  WorkerSessions* const sessions_;
  grpc::CallbackServerContext* const context_;
  const Clock* const clock_;
  std::shared_ptr<WorkerSession> session_;
  v1::FromWorker incoming_;  // Reused: it keeps its memory.
};

}  // namespace

class WorkerService::Impl final : public v1::Work::CallbackService {
 public:
  Impl(WorkerServiceOptions options, Post post, const Clock* clock);
  ~Impl() override;

  Reactor* Session(grpc::CallbackServerContext* context) override;

  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock* clock() const { return clock_; }
  WorkerSessions* sessions() { return &sessions_; }

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);  // The clockwork.

  // Constant after construction.
  const std::string token_;
  const absl::Duration beat_;
  const Clock* const clock_;

  WorkerSessions sessions_;

  absl::Mutex mutex_;
  absl::CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread clockwork_;
};

WorkerService::Impl::Impl(WorkerServiceOptions options, Post post, const Clock* clock)
    : token_(options.token),
      beat_(options.heartbeat / 4),
      clock_(clock),
      sessions_(std::move(options), std::move(post), clock->Now()),
      clockwork_([this] { Run(); }) {}

WorkerService::Impl::~Impl() {
  Stop();
  clockwork_.join();
}

Reactor* WorkerService::Impl::Session(grpc::CallbackServerContext* context) {
  if (absl::Status status = CheckToken(*context, token_); !status.ok()) {
    return new Refusal(status);
  }
  auto call = std::make_shared<Call>(&sessions_, context, clock_);
  absl::StatusOr<std::shared_ptr<WorkerSession>> session = sessions_.Open(call, clock_->Now());
  if (!session.ok()) return new Refusal(session.status());
  call->Begin(*std::move(session));
  return call.get();
}

void WorkerService::Impl::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (!stopping_) stop_.WaitWithTimeout(&mutex_, beat_);
      if (stopping_) return;
    }
    sessions_.Tick(clock_->Now());
  }
}

void WorkerService::Impl::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    stop_.Signal();
  }
  sessions_.Stop();
}

// ------------------------------------------------------------------------------------ front door

WorkerService::WorkerService(WorkerServiceOptions options, Post post, const Clock* clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(post), clock)) {}
WorkerService::~WorkerService() = default;

grpc::Service* WorkerService::service() { return impl_.get(); }
void WorkerService::Publish(Outgoing* outgoing) {
  impl_->sessions()->Publish(outgoing, impl_->clock()->Now());
}
void WorkerService::Acknowledge(const std::vector<OutcomeAck>& acks) {
  impl_->sessions()->Acknowledge(acks, impl_->clock()->Now());
}
void WorkerService::AskLog(uint64_t worker, uint64_t lease, LogAnswer answer) {
  impl_->sessions()->AskLog(worker, lease, impl_->clock()->Now(), std::move(answer));
}
void WorkerService::Stop() { impl_->Stop(); }

}  // namespace bue::hub
