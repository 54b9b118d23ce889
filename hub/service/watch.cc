#include "hub/service/watch.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc.h"
#include "common/status_macros.h"
#include "hub/service/client_messages.h"

namespace bue::hub {
namespace {

bool HasEnded(const RunStatus& status) { return !IsActive(status.state); }

class WatchCall final : public grpc::ServerWriteReactor<v1::RunStatus>, WatchStream {
 public:
  WatchCall(Watches* watches, const v1::WatchRunRequest& request) : watches_(watches) {
    if (absl::Status status = Begin(request); !status.ok()) Finish(ToGrpc(status));
  }

  void OnWriteDone(bool ok) override { watch_->WriteDone(ok); }
  void OnCancel() override {
    if (watch_ != nullptr) watch_->Cancelled();
  }
  void OnDone() override {
    if (watch_ != nullptr) watches_->Remove(watch_);
    if (entered_) watches_->Leave();
    delete this;
  }

 private:
  absl::Status Begin(const v1::WatchRunRequest& request) {
    RETURN_IF_ERROR(watches_->Enter());
    entered_ = true;
    ASSIGN_OR_RETURN(watch_, watches_->Add(request.run(), request, this));
    watch_->Start();
    return absl::OkStatus();
  }

  void Write(v1::RunStatus* status) override { StartWrite(status); }
  void WriteLast(v1::RunStatus* status) override {
    StartWriteAndFinish(status, grpc::WriteOptions(), grpc::Status::OK);
  }
  void End(const absl::Status& status) override { Finish(ToGrpc(status)); }

  Watches* const watches_;
  // Constant after construction.
  bool entered_ = false;
  std::shared_ptr<Watch> watch_;  // Null: refused.
};

}  // namespace

// ---------------------------------------------------------------------------------------- a watch

void Watch::RunEnded(const RunStatus& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (ended_.has_value()) return;
    ended_.emplace();
    ToProto(status, &*ended_);
  }
  LeaveRest();
}

void Watch::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (end_.ok()) end_ = status;
  }
  LeaveRest();
}

void Watch::WriteDone(bool ok) {
  if (!ok) return stream_->End(absl::CancelledError("the watcher is gone"));
  if (!EndIfOver()) Rest();
}

void Watch::Ask() {
  requests_->Ask(QueryRun{.run = run},
                 [self = shared_from_this()](Reply reply) { self->Take(std::move(reply)); });
}

void Watch::Take(Reply reply) {
  if (!reply.status.ok()) return stream_->End(reply.status);
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
  stream_->Write(&message_);
}

// Whether `message_` says anything new. That time goes by, and so the pace changes, is not.
bool Watch::Changed() {
  v1::RunStatus compared = message_;
  compared.clear_eta_s();
  compared.clear_tasks_per_s();
  std::string bytes = compared.SerializeAsString();
  if (bytes == last_) return false;
  last_ = std::move(bytes);
  return true;
}

// Neither asks, writes nor rests: ends the call if there is a reason to. False: there is none.
bool Watch::EndIfOver() {
  absl::Status end;
  {
    absl::MutexLock lock(&mutex_);
    if (end_.ok() && !ended_.has_value()) return false;
    end = end_;
    if (end.ok()) message_ = *std::exchange(ended_, v1::RunStatus());
  }
  if (end.ok()) {
    stream_->WriteLast(&message_);
  } else {
    stream_->End(end);
  }
  return true;
}

void Watch::Rest() {
  {
    absl::MutexLock lock(&mutex_);
    if (end_.ok() && !ended_.has_value()) {
      resting_ = true;
      if (interval_ == absl::InfiniteDuration()) return;
      alarm_ = std::make_shared<grpc::Alarm>();
      alarm_->Set(absl::ToChronoTime(absl::Now() + interval_),
                  [self = shared_from_this()](bool on_time) {
                    if (on_time && self->EndRest()) self->Ask();
                  });
      return;
    }
  }
  EndIfOver();
}

// True: the watch was resting, and the caller goes on with it.
bool Watch::EndRest() {
  std::shared_ptr<grpc::Alarm> alarm;  // Goes, and is cancelled, without the lock.
  absl::MutexLock lock(&mutex_);
  alarm = std::move(alarm_);
  return std::exchange(resting_, false);
}

void Watch::LeaveRest() {
  if (EndRest()) EndIfOver();
}

// ------------------------------------------------------------------------------------ all watches

absl::Status Watches::Enter() {
  absl::MutexLock lock(&mutex_);
  if (entered_ >= options_.watches_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the hub serves its ", options_.watches_max, " watches already"));
  }
  ++entered_;
  return absl::OkStatus();
}

void Watches::Leave() {
  absl::MutexLock lock(&mutex_);
  --entered_;
}

absl::StatusOr<std::shared_ptr<Watch>> Watches::Add(uint64_t run,
                                                    const v1::WatchRunRequest& request,
                                                    WatchStream* stream) {
  absl::Duration interval = options_.interval;
  if (request.interval_ms() > 0) interval = absl::Milliseconds(request.interval_ms());
  interval = std::max(interval, options_.interval_min);
  if (request.only_end()) interval = absl::InfiniteDuration();
  auto watch = std::make_shared<Watch>(requests_, run, interval, stream);
  absl::MutexLock lock(&mutex_);
  if (stopped_) return absl::UnavailableError("the hub is stopping");
  watches_of_run_[run].insert(watch);
  return watch;
}

void Watches::Remove(const std::shared_ptr<Watch>& watch) {
  absl::MutexLock lock(&mutex_);
  const auto found = watches_of_run_.find(watch->run);
  found->second.erase(watch);
  if (found->second.empty()) watches_of_run_.erase(found);
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

grpc::ServerWriteReactor<v1::RunStatus>* ServeWatch(Watches* watches,
                                                    const v1::WatchRunRequest& request) {
  return new WatchCall(watches, request);
}

}  // namespace bue::hub
