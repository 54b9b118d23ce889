#include "hub/service/watch.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc.h"
#include "hub/service/client_messages.h"

namespace bue::hub {

// Asks, writes, rests, and again: one of the three is under way at a time, and what ends it decides
// what comes next.
class Watches::Watch final : public grpc::ServerWriteReactor<v1::RunStatus> {
 public:
  Watch(Watches* watches, uint64_t run, absl::Duration interval)
      : run(run), watches_(watches), interval_(interval) {}

  void Begin(std::shared_ptr<Watch> self) {
    self_ = std::move(self);
    Ask();
  }
  void Refuse(std::shared_ptr<Watch> self, const absl::Status& status) {
    self_ = std::move(self);
    Finish(ToGrpc(status));
  }

  // Cuts a rest short.
  void Poke() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<grpc::Alarm> alarm;
    {
      absl::MutexLock lock(&mutex_);
      poked_ = true;
      alarm = alarm_;
    }
    if (alarm != nullptr) alarm->Cancel();
  }
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.ok()) end_ = status;
    }
    Poke();
  }

  void OnCancel() override { End(absl::CancelledError("the watcher is gone")); }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(ToGrpc(absl::CancelledError("the watcher is gone")));
    if (over_) return Finish(grpc::Status::OK);
    Rest();
  }
  void OnDone() override {
    const std::shared_ptr<Watch> self = std::move(self_);
    watches_->Forget(self);
  }

  const uint64_t run;

 private:
  void Ask() {
    watches_->requests_->Ask(QueryRun{.run = run}, [this](Reply reply) { Take(std::move(reply)); });
  }

  void Take(Reply reply) {
    if (!reply.status.ok()) return Finish(ToGrpc(reply.status));
    const RunStatus& status = std::get<RunStatus>(reply.body);
    over_ = status.state >= RunState::kSucceeded;
    message_.Clear();
    ToProto(status, &message_);
    std::string bytes = message_.SerializeAsString();
    if (bytes == last_ && !over_) return Rest();
    last_ = std::move(bytes);
    StartWrite(&message_);
  }

  void Rest() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::Status end;
    bool poked = false;
    {
      absl::MutexLock lock(&mutex_);
      end = end_;
      poked = std::exchange(poked_, false);
      if (end.ok() && !poked) {
        alarm_ = std::make_shared<grpc::Alarm>();
        alarm_->Set(absl::ToChronoTime(absl::Now() + interval_),
                    [self = self_](bool) { self->WakeUp(); });
      }
    }
    if (!end.ok()) return Finish(ToGrpc(end));
    if (poked) Ask();
  }

  void WakeUp() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::Status end;
    std::shared_ptr<grpc::Alarm> alarm;  // Goes without the lock.
    {
      absl::MutexLock lock(&mutex_);
      end = end_;
      poked_ = false;
      alarm = std::move(alarm_);
    }
    if (!end.ok()) return Finish(ToGrpc(end));
    Ask();
  }

  Watches* const watches_;
  const absl::Duration interval_;
  std::shared_ptr<Watch> self_;

  // Used by whatever is under way.
  v1::RunStatus message_;
  std::string last_;  // What was sent last.
  bool over_ = false;

  absl::Mutex mutex_;
  std::shared_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);  // While resting.
  bool poked_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
};

grpc::ServerWriteReactor<v1::RunStatus>* Watches::Start(uint64_t run, absl::Duration interval) {
  auto watch = std::make_shared<Watch>(this, run, interval);
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) {
      refused = absl::UnavailableError("the hub is stopping");
    } else if (watches_.size() >= watches_max_) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat("the hub serves its ", watches_max_, " watches already"));
    } else {
      watches_.insert(watch);
    }
  }
  Watch* const reactor = watch.get();
  if (refused.ok()) {
    reactor->Begin(std::move(watch));
  } else {
    reactor->Refuse(std::move(watch), refused);
  }
  return reactor;
}

void Watches::Poke(const std::vector<uint64_t>& runs) {
  const absl::flat_hash_set<uint64_t> wanted(runs.begin(), runs.end());
  for (const std::shared_ptr<Watch>& watch : All()) {
    if (wanted.contains(watch->run)) watch->Poke();
  }
}

void Watches::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  for (const std::shared_ptr<Watch>& watch : All()) {
    watch->End(absl::UnavailableError("the hub is stopping"));
  }
}

void Watches::Forget(const std::shared_ptr<Watch>& watch) {
  absl::MutexLock lock(&mutex_);
  watches_.erase(watch);
}

std::vector<std::shared_ptr<Watches::Watch>> Watches::All() {
  absl::MutexLock lock(&mutex_);
  return {watches_.begin(), watches_.end()};
}

}  // namespace bue::hub
