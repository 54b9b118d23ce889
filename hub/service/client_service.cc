#include "hub/service/client_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "bue/v1/hub.grpc.pb.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "hub/service/client_messages.h"
#include "hub/service/history_listing.h"
#include "hub/service/listings.h"
#include "hub/service/upload.h"
#include "hub/service/upload_and_watch.h"
#include "hub/service/watch.h"

namespace bue::hub {
namespace {

using Context = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

// A call that is refused before it begins.
template <typename Reactor>
class Refused final : public Reactor {
 public:
  explicit Refused(const absl::Status& status) { this->Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

using Uploading = grpc::ServerReadReactor<v1::UploadRequest>;
using UploadingAndWatching = grpc::ServerBidiReactor<v1::UploadRequest, v1::RunUpdate>;
template <typename Record>
using Listing = grpc::ServerWriteReactor<Record>;

constexpr double kGraceMaxS = 30.0 * 86400;  // Of a run that is being stopped.
constexpr absl::Duration kRateTimeMin = absl::Milliseconds(1);
constexpr absl::Duration kRateTimeMax = absl::Hours(24);

absl::StatusOr<ControlRun::Action> ToAction(v1::ControlRunRequest::Action action) {
  switch (action) {
    case v1::ControlRunRequest::CANCEL:
      return ControlRun::Action::kCancel;
    case v1::ControlRunRequest::PAUSE:
      return ControlRun::Action::kPause;
    case v1::ControlRunRequest::RESUME:
      return ControlRun::Action::kResume;
    case v1::ControlRunRequest::DELETE:
      return ControlRun::Action::kDelete;
    case v1::ControlRunRequest::STOP:
      return ControlRun::Action::kStop;
    case v1::ControlRunRequest::RETRY:
      return ControlRun::Action::kRetry;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown action ", action));
  }
}

// For the log.
const char* VerbOf(ControlRun::Action action) {
  switch (action) {
    case ControlRun::Action::kCancel:
      return "cancelled";
    case ControlRun::Action::kPause:
      return "paused";
    case ControlRun::Action::kResume:
      return "resumed";
    case ControlRun::Action::kDelete:
      return "deleted";
    case ControlRun::Action::kStop:
      return "stopping";
    case ControlRun::Action::kRetry:
      return "retried";
  }
  CHECK(false);
}

}  // namespace

class ClientService::Impl final : public v1::Hub::CallbackService {
 public:
  Impl(ClientServiceOptions options, ClientParts parts)
      : options_(std::move(options)),
        parts_(parts),
        uploads_(options_.upload, parts),
        watches_(parts.requests, {.watches_max = options_.watches_max,
                                  .interval = options_.watch_interval,
                                  .interval_min = options_.watch_interval_min}) {}

  void RunsEnded(const std::vector<RunStatus>& runs) { watches_.RunsEnded(runs); }
  void Stop() { watches_.Stop(); }

  Uploading* Upload(Context* context, v1::UploadReply* reply) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Uploading>(allowed);
    return ServeUpload(&uploads_, context, reply);
  }

  UploadingAndWatching* UploadAndWatch(Context* context) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<UploadingAndWatching>(allowed);
    return ServeUploadAndWatch(&uploads_, &watches_, context);
  }

  Unary* GetRun(Context* context, const v1::GetRunRequest* request, v1::RunStatus* reply) override {
    return Ask<RunStatus>(context, QueryRun{.run = request->run()},
                          [reply](const RunStatus& status) { ToProto(status, reply); });
  }

  Unary* ListRuns(Context* context, const v1::ListRunsRequest*, v1::ListRunsReply* reply) override {
    return AskLong<RunList>(context, QueryRuns{}, [reply](const RunList& list) {
      for (const RunStatus& status : list.runs) {
        v1::RunStatus* run = reply->add_runs();
        ToProto(status, run);
        run->clear_steps();  // A hundred thousand runs must fit into a message; GetRun has them.
      }
    });
  }

  Listing<v1::RunStatus>* WatchRun(Context* context, const v1::WatchRunRequest* request) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Listing<v1::RunStatus>>(allowed);
    return ServeWatch(&watches_, *request);
  }

  Unary* ControlRun(Context* context, const v1::ControlRunRequest* request,
                    v1::ControlRunReply* reply) override {
    const auto action = ToAction(request->action());
    if (!action.ok()) return Refuse(context, action.status());
    hub::ControlRun command{.run = request->run(),
                            .action = *action,
                            .grace = absl::Seconds(std::clamp(request->grace_s(), 0.0, kGraceMaxS)),
                            .failed = request->failed(),
                            .cancelled = request->cancelled(),
                            .step = request->step()};
    return Ask<Controlled>(context, std::move(command),
                           [reply, run = request->run(), verb = VerbOf(*action),
                            client = std::string(context->peer())](const Controlled& controlled) {
                             if (!controlled.already)
                               log::info("run {} run=r{} client={}", verb, run, client);
                             reply->set_tasks(controlled.tasks);
                             reply->set_waiting(controlled.waiting);
                             reply->set_already(controlled.already);
                           });
  }

  Unary* SetLimits(Context* context, const v1::SetLimitsRequest* request,
                   v1::SetLimitsReply*) override {
    hub::SetLimits command{.run = request->run(), .step = request->step()};
    if (request->has_max_running()) command.max_running = request->max_running();
    if (request->has_queue()) command.queue = request->queue();
    if (request->has_rate()) {
      const absl::Duration per = absl::Seconds(request->rate().per_s());
      if (request->rate().count() > 0 && (per < kRateTimeMin || per > kRateTimeMax)) {
        return Refuse(
            context, absl::InvalidArgumentError("a rate is so many starts in 0.001 s up to a day"));
      }
      command.rate = {.count = request->rate().count(), .per = per};
    }
    return Ask<Done>(context, std::move(command), [](const Done&) {});
  }

  Unary* Explain(Context* context, const v1::ExplainRequest* request,
                 v1::ExplainReply* reply) override {
    return Ask<Reasons>(
        context,
        QueryReasons{.run = request->run(), .step = request->step(), .item = request->item()},
        [reply](const Reasons& reasons) { ToProto(reasons, reply); });
  }

  grpc::ServerWriteReactor<v1::ErrorRecord>* ListErrors(
      Context* context, const v1::ListErrorsRequest* request) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Listing<v1::ErrorRecord>>(allowed);
    return StartListErrors(parts_, *request);
  }

  grpc::ServerWriteReactor<v1::ResultRecord>* ListResults(
      Context* context, const v1::ListResultsRequest* request) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Listing<v1::ResultRecord>>(allowed);
    return StartListResults(parts_, *request);
  }

  grpc::ServerWriteReactor<v1::HistoryPage>* ListHistory(
      Context* context, const v1::ListHistoryRequest* request) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Listing<v1::HistoryPage>>(allowed);
    return StartListHistory(parts_, *request, HistoryListingOptions{}, &followers_);
  }

  Unary* ListWorkers(Context* context, const v1::ListWorkersRequest*,
                     v1::ListWorkersReply* reply) override {
    return AskLong<WorkerList>(context, QueryWorkers{}, [reply](const WorkerList& list) {
      for (const WorkerStatus& status : list.workers) ToProto(status, reply->add_workers());
    });
  }

  grpc::ServerWriteReactor<v1::LogRecord>* ListLogs(Context* context,
                                                    const v1::ListLogsRequest* request) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Listing<v1::LogRecord>>(allowed);
    return StartListLogs(parts_, *request, options_.running_logs_max);
  }

  Unary* LocateValue(Context* context, const v1::LocateValueRequest* request,
                     v1::LocateValueReply* reply) override {
    return Ask<ValuePlace>(
        context,
        QueryPlace{.run = request->run(), .name = request->name(), .item = request->item()},
        [reply](const ValuePlace& place) { ToProto(place, reply); });
  }

  Unary* ListValues(Context* context, const v1::ListValuesRequest* request,
                    v1::ListValuesReply* reply) override {
    return Ask<ValuePage>(context,
                          QueryValues{.run = request->run(),
                                      .instance = request->instance(),
                                      .node = request->node(),
                                      .start = request->start(),
                                      .lease = request->lease()},
                          [reply](const ValuePage& page) { ToProto(page, reply); });
  }

  grpc::ServerWriteReactor<v1::FileChunk>* GetFile(Context* context,
                                                   const v1::GetFileRequest* request) override {
    absl::Status allowed = CheckToken(*context, options_.token);
    if (!allowed.ok()) return new Refused<Listing<v1::FileChunk>>(allowed);
    return StartGetFile(parts_, *request);
  }

  Unary* GetInfo(Context* context, const v1::HubInfoRequest*, v1::HubInfo* reply) override {
    reply->set_version(BUE_VERSION);
    reply->set_epoch(options_.epoch);
    for (const std::string& bucket : options_.buckets) reply->add_buckets(bucket);
    if (parts_.buckets != nullptr) {
      for (const AwayBucket& bucket : parts_.buckets->Away()) ToProto(bucket, reply->add_away());
    }
    return Refuse(context, absl::OkStatus());
  }

 private:
  // Answers at once. A wrong token goes before any other answer.
  Unary* Refuse(Context* context, const absl::Status& status) {
    Unary* const reactor = context->DefaultReactor();
    const absl::Status allowed = CheckToken(*context, options_.token);
    reactor->Finish(ToGrpc(allowed.ok() ? status : allowed));
    return reactor;
  }

  // Asks the scheduler; `fill` makes the reply of the `Body` it found. The call stays until it is
  // finished, whether or not somebody still waits for it.
  template <typename Body, typename Fill>
  Unary* Ask(Context* context, Command command, Fill fill) {
    if (absl::Status allowed = CheckToken(*context, options_.token); !allowed.ok()) {
      return Refuse(context, allowed);
    }
    Unary* const reactor = context->DefaultReactor();
    parts_.requests->Ask(std::move(command), [reactor, fill](Reply reply) {
      if (reply.status.ok()) fill(std::get<Body>(reply.body));
      reactor->Finish(ToGrpc(reply.status));
    });
    return reactor;
  }

  // For replies that are large: they are made on the pool, not on the turn's thread.
  template <typename Body, typename Fill>
  Unary* AskLong(Context* context, Command command, Fill fill) {
    if (absl::Status allowed = CheckToken(*context, options_.token); !allowed.ok()) {
      return Refuse(context, allowed);
    }
    Unary* const reactor = context->DefaultReactor();
    parts_.requests->Ask(std::move(command), [this, reactor, fill](Reply reply) {
      auto shared = std::make_shared<Reply>(std::move(reply));
      const bool taken = parts_.pool->TryPost([reactor, fill, shared] {
        if (shared->status.ok()) fill(std::get<Body>(shared->body));
        reactor->Finish(ToGrpc(shared->status));
      });
      if (!taken) {
        reactor->Finish(ToGrpc(absl::ResourceExhaustedError("the hub is overloaded; try again")));
      }
    });
    return reactor;
  }

  const ClientServiceOptions options_;
  const ClientParts parts_;
  Uploads uploads_;
  Watches watches_;
  std::atomic<size_t> followers_ = 0;
};

ClientService::ClientService(ClientServiceOptions options, ClientParts parts)
    : impl_(std::make_unique<Impl>(std::move(options), parts)) {}
ClientService::~ClientService() = default;

grpc::Service* ClientService::service() { return impl_.get(); }
void ClientService::RunsEnded(const std::vector<RunStatus>& runs) { impl_->RunsEnded(runs); }
void ClientService::Stop() { impl_->Stop(); }

}  // namespace bue::hub
