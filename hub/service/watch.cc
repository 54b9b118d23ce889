#include "hub/service/watch.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc.h"
#include "hub/service/client_messages.h"

namespace bue::hub {
namespace {

bool HasEnded(const RunStatus& status) { return !IsActive(status.state); }

}  // namespace

// Asks, writes, rests, and again: one of the three is under way at a time, and what ends it decides
// what comes next. The run's end and the call's may come at any time; they wait for an answer or a
// write under way, and cut a rest short.
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

  void RunEnded(const RunStatus& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (ended_.has_value()) return;
      ended_.emplace();
      ToProto(status, &*ended_);
    }
    LeaveRest();
  }
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.ok()) end_ = status;
    }
    LeaveRest();
  }

  void OnCancel() override { End(absl::CancelledError("the watcher is gone")); }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(ToGrpc(absl::CancelledError("the watcher is gone")));
    if (!EndIfOver()) Rest();
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

  void Take(Reply reply) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (!reply.status.ok()) return Finish(ToGrpc(reply.status));
    const RunStatus& status = std::get<RunStatus>(reply.body);
    if (HasEnded(status)) {
      absl::MutexLock lock(&mutex_);
      if (!ended_.has_value()) ToProto(status, &ended_.emplace());
    }
    if (EndIfOver()) return;
    if (interval_ == absl::InfiniteDuration()) return Rest();
    message_.Clear();
    ToProto(status, &message_);
    if (!Changed()) return Rest();
    StartWrite(&message_);
  }

  // Whether `message_` says anything new. That time goes by, and so the pace changes, is not.
  bool Changed() {
    v1::RunStatus compared = message_;
    compared.clear_eta_s();
    compared.clear_tasks_per_s();
    std::string bytes = compared.SerializeAsString();
    if (bytes == last_) return false;
    last_ = std::move(bytes);
    return true;
  }

  // Neither asks, writes nor rests: ends the call if there is a reason to. False: there is none.
  bool EndIfOver() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::Status end;
    {
      absl::MutexLock lock(&mutex_);
      if (end_.ok() && !ended_.has_value()) return false;
      end = end_;
      if (end.ok()) message_ = *std::exchange(ended_, v1::RunStatus());
    }
    if (end.ok()) {
      StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
    } else {
      Finish(ToGrpc(end));
    }
    return true;
  }

  void Rest() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.ok() && !ended_.has_value()) {
        resting_ = true;
        if (interval_ == absl::InfiniteDuration()) return;
        alarm_ = std::make_shared<grpc::Alarm>();
        alarm_->Set(absl::ToChronoTime(absl::Now() + interval_), [self = self_](bool on_time) {
          if (on_time && self->EndRest()) self->Ask();
        });
        return;
      }
    }
    EndIfOver();
  }

  // True: the watch was resting, and the caller goes on with it.
  bool EndRest() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<grpc::Alarm> alarm;  // Goes, and is cancelled, without the lock.
    absl::MutexLock lock(&mutex_);
    alarm = std::move(alarm_);
    return std::exchange(resting_, false);
  }

  void LeaveRest() ABSL_LOCKS_EXCLUDED(mutex_) {
    if (EndRest()) EndIfOver();
  }

  Watches* const watches_;
  const absl::Duration interval_;
  std::shared_ptr<Watch> self_;

  // Used by whatever is under way.
  v1::RunStatus message_;
  std::string last_;  // What was sent last, but the pace.

  absl::Mutex mutex_;
  bool resting_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);  // Ends a rest.
  std::optional<v1::RunStatus> ended_ ABSL_GUARDED_BY(mutex_);  // The last status.
  absl::Status end_ ABSL_GUARDED_BY(mutex_);                    // Why the call ends before.
};

grpc::ServerWriteReactor<v1::RunStatus>* Watches::Start(uint64_t run, absl::Duration interval) {
  auto watch = std::make_shared<Watch>(this, run, interval);
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (stopped_) {
      refused = absl::UnavailableError("the hub is stopping");
    } else if (watches_ >= watches_max_) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat("the hub serves its ", watches_max_, " watches already"));
    } else {
      watches_of_run_[run].insert(watch);
      ++watches_;
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

void Watches::RunsEnded(const std::vector<RunStatus>& runs) {
  for (const RunStatus& run : runs) {
    WatchSet told;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = watches_of_run_.find(run.run);
      if (found != watches_of_run_.end()) told = found->second;
    }
    for (const std::shared_ptr<Watch>& watch : told) watch->RunEnded(run);
  }
}

void Watches::Stop() {
  WatchSet all;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (const auto& [run, watches] : watches_of_run_) all.insert(watches.begin(), watches.end());
  }
  for (const std::shared_ptr<Watch>& watch : all) {
    watch->End(absl::UnavailableError("the hub is stopping"));
  }
}

void Watches::Forget(const std::shared_ptr<Watch>& watch) {
  absl::MutexLock lock(&mutex_);
  const auto found = watches_of_run_.find(watch->run);
  if (found == watches_of_run_.end() || found->second.erase(watch) == 0) return;  // Refused.
  --watches_;
  if (found->second.empty()) watches_of_run_.erase(found);
}

}  // namespace bue::hub
