#include "common/hub_client/hub_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bue/v1/hub.grpc.pb.h"
#include "common/clock.h"
#include "common/hub_client/blocking_call.h"
#include "common/program/program_codec.h"
#include "common/rpc.h"
#include "common/status_macros.h"

namespace bue {
namespace {

// One try of a unary call; a hub that was stopped (not killed) does not answer, nor refuse.
constexpr absl::Duration kAttempt = absl::Seconds(10);
// A listing or an upload in which nothing moves for this long has lost its hub.
constexpr absl::Duration kSilence = absl::Seconds(20);
// A watched run may be quiet for hours: then the hub is asked whether it is there.
constexpr absl::Duration kWatchSilence = absl::Seconds(5);
constexpr absl::Duration kPause = absl::Milliseconds(100);
constexpr size_t kChunkBytes = 1 << 20;
constexpr size_t kFirstBytes = 48 << 10;  // Beside an upload's start; the hub takes a little more.

bool WorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

bool HasEnded(const v1::RunStatus& status) {
  return status.state() == v1::RUN_SUCCEEDED || status.state() == v1::RUN_FAILED ||
         status.state() == v1::CANCELLED;
}

absl::Status CheckEnded(const v1::RunStatus& last) {
  if (HasEnded(last)) return absl::OkStatus();
  return absl::UnavailableError("the hub ended the watch before the run had ended");
}

v1::WatchRunRequest ToWatchRequest(absl::Duration interval) {
  v1::WatchRunRequest request;
  if (interval == absl::InfiniteDuration()) {
    request.set_only_end(true);
  } else {
    request.set_interval_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(interval)));
  }
  return request;
}

std::string Serialize(const Program& program) {
  v1::Program proto;
  ToProto(program, &proto);
  return proto.SerializeAsString();
}

// Fills the messages of an upload: the start, then the program and every file in chunks, as much as
// goes into each. A small upload is one message.
class UploadMessages {
 public:
  explicit UploadMessages(const NewRun& run) : run_(run), program_(Serialize(*run.program)) {}

  // Fills the next message. True: it is the last.
  bool Next(v1::UploadRequest* message) {
    size_t room = kChunkBytes;
    if (!started_) {
      started_ = true;
      FillStart(message->mutable_start());
      room = kFirstBytes;
    }
    if (program_sent_ < program_.size()) {
      message->set_program(program_.substr(program_sent_, room));
      program_sent_ += message->program().size();
      room -= message->program().size();
    }
    if (program_sent_ < program_.size()) return false;
    if (file_ < run_.files.size() && room > 0) FillChunk(room, message->mutable_file());
    return file_ == run_.files.size();
  }

 private:
  void FillStart(v1::UploadRequest::Start* start) {
    start->set_key(run_.key);
    start->set_name(run_.name);
    start->set_weight(run_.weight);
    start->set_program_bytes(program_.size());
    size_t largest = 0;
    for (const UploadedFile& file : run_.files) largest = std::max(largest, file.data.size());
    // A hub of another build may need a little more for the same.
    const size_t program = MemoryOf(*run_.program);
    start->set_memory_bytes(program_.size() + program + program / 4 + (64 << 10) + largest);
  }

  // As much of the next file as goes into `room`.
  void FillChunk(size_t room, v1::FileChunk* chunk) {
    const UploadedFile& file = run_.files[file_];
    const absl::string_view data = file.data.substr(offset_, room);
    if (offset_ == 0) chunk->set_sha256(file.sha256.data(), file.sha256.size());
    chunk->set_data(data.data(), data.size());
    offset_ += data.size();
    if (offset_ == file.data.size()) {
      chunk->set_last(true);
      ++file_;
      offset_ = 0;
    }
  }

  const NewRun& run_;
  const std::string program_;  // Serialized.
  bool started_ = false;
  size_t program_sent_ = 0;
  size_t file_ = 0;
  size_t offset_ = 0;
};

// What one call has heard of the hub, and what it told a person about it.
class Contact {
 public:
  explicit Contact(const HubClientOptions& options) : options_(options) {}

  // Whether anything was heard since this was asked last.
  bool TakeHeard() { return std::exchange(heard_, false); }
  bool said_away() const { return said_away_; }

  void Heard() {
    heard_ = true;
    if (std::exchange(said_away_, false))
      Say(absl::StrCat("the hub at ", options_.target, " is back"));
  }

  void Away(absl::Time give_up) {
    if (std::exchange(said_away_, true)) return;
    Say(absl::StrCat("no answer from the hub at ", options_.target, "; waiting for it for ",
                     DurationText(give_up - absl::Now())));
  }

  void Heard(const v1::HubInfo& info) {
    Heard();
    std::set<std::string> away;
    for (const v1::AwayBucket& bucket : info.away()) {
      away.insert(bucket.bucket());
      if (buckets_away_.contains(bucket.bucket())) continue;
      const absl::Time since = absl::UnixEpoch() + absl::Seconds(bucket.since_unix_s());
      Say(absl::StrCat("bucket ", bucket.bucket(), " has not answered the hub for ",
                       DurationText(absl::Floor(absl::Now() - since, absl::Seconds(1))),
                       ": what needs it waits"));
    }
    for (const std::string& bucket : buckets_away_) {
      if (!away.contains(bucket)) Say(absl::StrCat("bucket ", bucket, " is back"));
    }
    buckets_away_ = std::move(away);
  }

 private:
  void Say(const std::string& text) const {
    if (options_.notice) options_.notice(text);
  }

  const HubClientOptions& options_;
  bool heard_ = false;
  bool said_away_ = false;
  std::set<std::string> buckets_away_;  // As was said.
};

}  // namespace

class HubClient::Impl {
 public:
  explicit Impl(const HubClientOptions& options)
      : options_(options),
        channel_(MakeChannel(options.target, options.token)),
        stub_(v1::Hub::NewStub(channel_)) {}

  absl::Status WaitConnected() {
    return WaitForChannel(channel_.get(), "hub", options_.target, options_.connect_timeout);
  }

  v1::Hub::StubInterface::async_interface* stub() { return stub_->async(); }

  // Runs `attempt` until it succeeds, fails for a reason that stays, or the hub was away for
  // `retry_for`. `attempt(contact)` notes when it heard from the hub.
  template <typename Attempt>
  absl::Status Retry(const Attempt& attempt) {
    Contact contact(options_);
    absl::Time give_up = absl::Now() + options_.retry_for;
    while (true) {
      const absl::Status status = attempt(&contact);
      if (absl::IsUnimplemented(status)) {
        return absl::UnimplementedError(
            absl::StrCat("hub ", options_.target, ": ", status.message()));
      }
      if (status.ok() || !WorthRetrying(status)) return status;
      if (contact.TakeHeard()) give_up = absl::Now() + options_.retry_for;
      contact.Away(give_up);
      const absl::Duration left = give_up - absl::Now();
      if (left <= absl::ZeroDuration()) return Away(status);
      absl::SleepFor(std::min(kPause, left));
      channel_->WaitForConnected(absl::ToChronoTime(give_up));
    }
  }

  template <typename Call>
  absl::Status Unary(const Call& call) {
    return Retry([&](Contact*) {
      return CallAndWait(std::min(kAttempt, std::max(options_.retry_for, absl::Seconds(1))), call);
    });
  }

  // Lists with `open`, skipping after a break what was delivered before it.
  template <typename Record, typename Open, typename Each>
  absl::Status List(const Open& open, const Each& each) {
    uint64_t delivered = 0;
    return Retry([&](Contact* contact) {
      ReplyReader<Record> reader(open);
      uint64_t index = 0;
      return ReadAll<Record>(&reader, contact, [&](const Record& record) {
        if (index++ < delivered) return true;
        ++delivered;
        return each(record);
      });
    });
  }

  // Reads replies until the end, or until `each` has enough; they come one after the other.
  template <typename Message, typename Reader, typename Each>
  static absl::Status ReadAll(Reader* reader, Contact* contact, const Each& each) {
    return Read<Message>(reader, contact, kSilence, each, [] {
      return absl::UnavailableError("the hub fell silent in the middle of a list");
    });
  }

  // Likewise; between them hours may pass.
  template <typename Message, typename Reader, typename Each>
  absl::Status Follow(Reader* reader, Contact* contact, const Each& each) {
    return Read<Message>(reader, contact, kWatchSilence, each, [&] { return Ping(contact); });
  }

  // One stream of WatchRun; OK when the run ended or `changed` had enough.
  absl::Status Watch(uint64_t run, absl::Duration interval,
                     const std::function<bool(const v1::RunStatus&)>& changed, v1::RunStatus* last,
                     Contact* contact) {
    v1::WatchRunRequest request = ToWatchRequest(interval);
    request.set_run(run);
    if (contact->said_away()) RETURN_IF_ERROR(Ping(contact));
    ReplyReader<v1::RunStatus> reader(
        [&](grpc::ClientContext* context, grpc::ClientReadReactor<v1::RunStatus>* reactor) {
          stub()->WatchRun(context, &request, reactor);
        });
    bool enough = false;
    RETURN_IF_ERROR(Follow<v1::RunStatus>(&reader, contact, [&](const v1::RunStatus& status) {
      *last = status;
      enough = !changed(*last);
      return !enough;
    }));
    return enough ? absl::OkStatus() : CheckEnded(*last);
  }

  // One stream of UploadAndWatch, likewise; `number` is set once the hub has the run.
  absl::Status UploadAndWatch(const NewRun& run, absl::Duration interval, uint64_t* number,
                              const std::function<bool(const v1::RunStatus&)>& changed,
                              const std::function<void(uint64_t)>& accepted, v1::RunStatus* last,
                              Contact* contact) {
    UploadMessages messages(run);
    const v1::WatchRunRequest watch = ToWatchRequest(interval);
    Exchange<v1::UploadRequest, v1::RunUpdate> exchange(
        [&](grpc::ClientContext* context,
            grpc::ClientBidiReactor<v1::UploadRequest, v1::RunUpdate>* reactor) {
          stub()->UploadAndWatch(context, reactor);
        },
        [&](v1::UploadRequest* message) {
          const bool is_last = messages.Next(message);
          if (message->has_start()) *message->mutable_start()->mutable_watch() = watch;
          return is_last;
        });
    const auto accept = [&](const v1::RunUpdate& update) {
      *number = update.accepted().run();
      return false;
    };
    RETURN_IF_ERROR(Read<v1::RunUpdate>(&exchange, contact, kSilence, accept, [&] {
      if (!exchange.TakeMoved()) return absl::UnavailableError("nothing moved");
      contact->Heard();  // It takes what is sent.
      return absl::OkStatus();
    }));
    if (*number == 0) return absl::UnavailableError("the hub ended the upload without an answer");
    accepted(*number);
    bool enough = false;
    RETURN_IF_ERROR(Follow<v1::RunUpdate>(&exchange, contact, [&](const v1::RunUpdate& update) {
      *last = update.status();
      enough = !changed(*last);
      return !enough;
    }));
    return enough ? absl::OkStatus() : CheckEnded(*last);
  }

  // One stream of ListHistory, from `after` on.
  absl::Status History(uint64_t run, bool follow, std::string* after,
                       const std::function<bool(const v1::HistoryPage&)>& each, Contact* contact) {
    v1::ListHistoryRequest request;
    request.set_run(run);
    request.set_follow(follow);
    request.set_after(*after);
    if (contact->said_away()) RETURN_IF_ERROR(Ping(contact));
    ReplyReader<v1::HistoryPage> reader(
        [&](grpc::ClientContext* context, grpc::ClientReadReactor<v1::HistoryPage>* reactor) {
          stub()->ListHistory(context, &request, reactor);
        });
    const auto take = [&](const v1::HistoryPage& page) {
      *after = page.next();
      return each(page);
    };
    if (follow) return Follow<v1::HistoryPage>(&reader, contact, take);
    return ReadAll<v1::HistoryPage>(&reader, contact, take);
  }

  absl::Status ListResults(const v1::ListResultsRequest& request,
                           const std::function<bool(const v1::ResultRecord&)>& each) {
    return List<v1::ResultRecord>(
        [&](grpc::ClientContext* context, grpc::ClientReadReactor<v1::ResultRecord>* reactor) {
          stub()->ListResults(context, &request, reactor);
        },
        each);
  }

  template <typename Message, typename Reader, typename Each, typename Silent>
  static absl::Status Read(Reader* reader, Contact* contact, absl::Duration silence,
                           const Each& each, const Silent& silent) {
    Message* message;
    while (true) {
      switch (reader->Next(silence, &message)) {
        case Reader::Got::kNothing:
          RETURN_IF_ERROR(silent());
          break;
        case Reader::Got::kEnd:
          return reader->Finish();
        case Reader::Got::kMessage:
          contact->Heard();
          if (!each(*message)) return absl::OkStatus();
      }
    }
  }

  absl::Status Ping(Contact* contact) {
    const v1::HubInfoRequest request;
    v1::HubInfo info;
    RETURN_IF_ERROR(CallAndWait(kAttempt, [&](grpc::ClientContext* context, auto done) {
      stub()->GetInfo(context, &request, &info, std::move(done));
    }));
    contact->Heard(info);
    return absl::OkStatus();
  }

 private:
  absl::Status Away(const absl::Status& last) const {
    return absl::UnavailableError(absl::StrCat("no answer from the hub at ", options_.target,
                                               " for ", absl::FormatDuration(options_.retry_for),
                                               ": ", last.message()));
  }

  const HubClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Hub::Stub> stub_;
};

HubClient::HubClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HubClient::~HubClient() = default;

absl::StatusOr<std::unique_ptr<HubClient>> HubClient::Connect(const HubClientOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  RETURN_IF_ERROR(impl->WaitConnected());
  return std::unique_ptr<HubClient>(new HubClient(std::move(impl)));
}

std::string HubClient::MakeKey() {
  std::random_device random;
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes.push_back(static_cast<char>(random()));
  return absl::BytesToHexString(bytes);
}

absl::StatusOr<uint64_t> HubClient::Upload(const NewRun& run) {
  uint64_t number = 0;
  RETURN_IF_ERROR(impl_->Retry([&](Contact*) {
    UploadMessages messages(run);
    RequestWriter<v1::UploadRequest, v1::UploadReply> writer(
        [&](grpc::ClientContext* context, v1::UploadReply* reply,
            grpc::ClientWriteReactor<v1::UploadRequest>* reactor) {
          impl_->stub()->Upload(context, reply, reactor);
        },
        [&](v1::UploadRequest* message) { return messages.Next(message); });
    RETURN_IF_ERROR(writer.Wait(kSilence));
    number = writer.reply().run();
    return absl::OkStatus();
  }));
  return number;
}

absl::StatusOr<v1::RunStatus> HubClient::GetRun(uint64_t run) {
  v1::GetRunRequest request;
  request.set_run(run);
  v1::RunStatus reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->GetRun(context, &request, &reply, std::move(done));
  }));
  return reply;
}

absl::StatusOr<std::vector<v1::RunStatus>> HubClient::ListRuns() {
  const v1::ListRunsRequest request;
  v1::ListRunsReply reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->ListRuns(context, &request, &reply, std::move(done));
  }));
  return std::vector<v1::RunStatus>(reply.runs().begin(), reply.runs().end());
}

absl::StatusOr<v1::RunStatus> HubClient::WatchRun(
    uint64_t run, absl::Duration interval,
    const std::function<bool(const v1::RunStatus&)>& changed) {
  v1::RunStatus last;
  RETURN_IF_ERROR(impl_->Retry(
      [&](Contact* contact) { return impl_->Watch(run, interval, changed, &last, contact); }));
  return last;
}

absl::StatusOr<v1::RunStatus> HubClient::UploadAndWatch(
    const NewRun& run, absl::Duration interval, const std::function<void(uint64_t)>& accepted,
    const std::function<bool(const v1::RunStatus&)>& changed) {
  uint64_t number = 0;
  v1::RunStatus last;
  RETURN_IF_ERROR(impl_->Retry([&](Contact* contact) {
    if (number != 0) return impl_->Watch(number, interval, changed, &last, contact);
    return impl_->UploadAndWatch(run, interval, &number, changed, accepted, &last, contact);
  }));
  return last;
}

absl::StatusOr<v1::ControlRunReply> HubClient::Control(const v1::ControlRunRequest& request) {
  v1::ControlRunReply reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->ControlRun(context, &request, &reply, std::move(done));
  }));
  return reply;
}

absl::Status HubClient::Control(uint64_t run, v1::ControlRunRequest::Action action) {
  v1::ControlRunRequest request;
  request.set_run(run);
  request.set_action(action);
  return Control(request).status();
}

absl::Status HubClient::SetLimits(const v1::SetLimitsRequest& request) {
  v1::SetLimitsReply reply;
  return impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->SetLimits(context, &request, &reply, std::move(done));
  });
}

absl::StatusOr<v1::ExplainReply> HubClient::Explain(const v1::ExplainRequest& request) {
  v1::ExplainReply reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->Explain(context, &request, &reply, std::move(done));
  }));
  return reply;
}

absl::Status HubClient::ListErrors(uint64_t run,
                                   const std::function<bool(const v1::ErrorRecord&)>& each) {
  v1::ListErrorsRequest request;
  request.set_run(run);
  return impl_->List<v1::ErrorRecord>(
      [&](grpc::ClientContext* context, grpc::ClientReadReactor<v1::ErrorRecord>* reactor) {
        impl_->stub()->ListErrors(context, &request, reactor);
      },
      each);
}

absl::Status HubClient::ListResults(uint64_t run,
                                    const std::function<bool(const v1::ResultRecord&)>& each) {
  v1::ListResultsRequest request;
  request.set_run(run);
  return impl_->ListResults(request, each);
}

absl::Status HubClient::ListFailedItems(uint64_t run,
                                        const std::function<bool(const v1::ResultRecord&)>& each) {
  v1::ListResultsRequest request;
  request.set_run(run);
  request.set_failed(true);
  return impl_->ListResults(request, each);
}

absl::Status HubClient::ListHistory(uint64_t run, bool follow,
                                    const std::function<bool(const v1::HistoryPage&)>& each) {
  std::string after;
  return impl_->Retry(
      [&](Contact* contact) { return impl_->History(run, follow, &after, each, contact); });
}

absl::Status HubClient::ListLogs(const v1::ListLogsRequest& request,
                                 const std::function<bool(const v1::LogRecord&)>& each) {
  return impl_->List<v1::LogRecord>(
      [&](grpc::ClientContext* context, grpc::ClientReadReactor<v1::LogRecord>* reactor) {
        impl_->stub()->ListLogs(context, &request, reactor);
      },
      each);
}

absl::StatusOr<std::vector<v1::WorkerStatus>> HubClient::ListWorkers() {
  const v1::ListWorkersRequest request;
  v1::ListWorkersReply reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->ListWorkers(context, &request, &reply, std::move(done));
  }));
  return std::vector<v1::WorkerStatus>(reply.workers().begin(), reply.workers().end());
}

absl::StatusOr<v1::LocateValueReply> HubClient::LocateValue(const v1::LocateValueRequest& request) {
  v1::LocateValueReply reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->LocateValue(context, &request, &reply, std::move(done));
  }));
  return reply;
}

absl::StatusOr<v1::ListValuesReply> HubClient::ListValues(const v1::ListValuesRequest& request) {
  v1::ListValuesReply reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->ListValues(context, &request, &reply, std::move(done));
  }));
  return reply;
}

absl::Status HubClient::NoteBuckets() {
  return impl_->Retry([&](Contact* contact) { return impl_->Ping(contact); });
}

absl::StatusOr<v1::HubInfo> HubClient::GetInfo() {
  const v1::HubInfoRequest request;
  v1::HubInfo reply;
  RETURN_IF_ERROR(impl_->Unary([&](grpc::ClientContext* context, auto done) {
    impl_->stub()->GetInfo(context, &request, &reply, std::move(done));
  }));
  return reply;
}

}  // namespace bue
