// FakeHub is an in-process hub for tests of the worker: it records what workers say on their
// stream, says what the test wants, and answers the two questions that workers ask beside it.
//
// Thread-safe.
#ifndef BUE_TESTS_UNIT_WORKER_FAKE_HUB_H_
#define BUE_TESTS_UNIT_WORKER_FAKE_HUB_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "bue/v1/hub.grpc.pb.h"
#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/rpc.h"
#include "tests/support/patience.h"

namespace bue::worker {

class FakeHub {
 public:
  static inline const absl::Duration kPatience = Patience(absl::Seconds(60));

  explicit FakeHub(const std::string& binding = "127.0.0.1:0") : work_(this), questions_(this) {
    welcome_.mutable_welcome()->set_epoch(1);
    welcome_.mutable_welcome()->set_heartbeat_ms(200);
    welcome_.mutable_welcome()->set_silence_ms(5000);
    Listen(binding);
  }
  ~FakeHub() { Close(); }

  const std::string& address() const { return address_; }

  // Ends the server; streams break. Listen opens it again, at the same address.
  void Close() {
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ZeroDuration());
    server_ = nullptr;
    absl::MutexLock lock(&mutex_);
    stream_ = nullptr;
  }
  void Reopen() { Listen(address_); }

  // ------------------------------------------------------------------------------ what it says
  v1::Welcome* welcome() { return welcome_.mutable_welcome(); }
  void AckReports(bool ack) {
    absl::MutexLock lock(&mutex_);
    ack_ = ack;
  }
  void Refuse(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    refusal_ = std::move(status);
  }
  void Send(const v1::ToWorker& message) {
    absl::MutexLock lock(&mutex_);
    CHECK(stream_ != nullptr);
    stream_->Send(message);
  }
  void EndStream() {
    absl::MutexLock lock(&mutex_);
    if (stream_ != nullptr) stream_->End(absl::UnavailableError("ended by the test"));
  }
  void AddFile(const std::string& sha256, const std::string& data) {
    absl::MutexLock lock(&mutex_);
    files_[sha256] = data;
  }
  void SetValues(uint64_t instance, std::vector<uint64_t> addresses,
                 std::vector<uint64_t> instances = {}) {
    absl::MutexLock lock(&mutex_);
    values_[instance] = {std::move(addresses), std::move(instances)};
  }

  // ------------------------------------------------------------------------------ what it heard
  // Waits until `done` holds of all messages so far; false if that takes too long.
  bool WaitFor(const std::function<bool(const std::deque<v1::FromWorker>&)>& done) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [&] { return done(heard_); };
    return mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience);
  }
  // Waits for hello number `count`.
  v1::Hello WaitForHello(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [&] { return hellos_.size() >= count; };
    CHECK(mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience));
    return hellos_[count - 1];
  }
  size_t hellos() {
    absl::MutexLock lock(&mutex_);
    return hellos_.size();
  }
  std::deque<v1::FromWorker> heard() {
    absl::MutexLock lock(&mutex_);
    return heard_;
  }
  // The leases reported as plain successes so far, with their addresses.
  std::map<uint64_t, uint64_t> Succeeded() {
    std::map<uint64_t, uint64_t> succeeded;
    for (const v1::FromWorker& message : heard()) {
      for (int i = 0; i < message.succeeded().lease_size(); ++i) {
        succeeded[message.succeeded().lease(i)] = message.succeeded().address(i);
      }
    }
    return succeeded;
  }
  // The outcome of a lease, waited for.
  v1::Outcome WaitForOutcome(uint64_t lease) {
    v1::Outcome outcome;
    CHECK(WaitFor([&](const auto& messages) {
      for (const v1::FromWorker& message : messages) {
        for (const v1::Outcome& one : message.outcomes()) {
          if (one.lease() != lease) continue;
          outcome = one;
          return true;
        }
      }
      return false;
    }));
    return outcome;
  }
  bool WaitForSuccesses(size_t count) {
    return WaitFor([&](const auto& messages) {
      size_t successes = 0;
      for (const v1::FromWorker& message : messages) successes += message.succeeded().lease_size();
      return successes >= count;
    });
  }

 private:
  class Stream final : public grpc::ServerBidiReactor<v1::FromWorker, v1::ToWorker> {
   public:
    explicit Stream(FakeHub* hub) : hub_(hub) { StartRead(&incoming_); }

    void Send(const v1::ToWorker& message) {
      absl::MutexLock lock(&mutex_);
      queue_.push_back(message);
      WriteNext();
    }
    void End(const absl::Status& status) {
      absl::MutexLock lock(&mutex_);
      if (ended_) return;
      ended_ = true;
      Finish(ToGrpc(status));
    }
    void OnReadDone(bool ok) override {
      if (!ok) {
        End(absl::OkStatus());
        return;
      }
      hub_->OnHeard(this, incoming_);
      StartRead(&incoming_);
    }
    void OnWriteDone(bool) override {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      WriteNext();
    }
    void OnCancel() override { End(absl::CancelledError("cancelled")); }
    void OnDone() override {
      hub_->OnGone(this);
      delete this;
    }

   private:
    void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (writing_ || ended_ || queue_.empty()) return;
      writing_ = true;
      outgoing_ = queue_.front();
      queue_.pop_front();
      StartWrite(&outgoing_);
    }

    FakeHub* const hub_;
    v1::FromWorker incoming_;
    absl::Mutex mutex_;
    v1::ToWorker outgoing_;
    std::deque<v1::ToWorker> queue_ ABSL_GUARDED_BY(mutex_);
    bool writing_ ABSL_GUARDED_BY(mutex_) = false;
    bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  };

  class Work final : public v1::Work::CallbackService {
   public:
    explicit Work(FakeHub* hub) : hub_(hub) {}
    grpc::ServerBidiReactor<v1::FromWorker, v1::ToWorker>* Session(
        grpc::CallbackServerContext*) override {
      return hub_->NewStream();
    }

   private:
    FakeHub* const hub_;
  };

  class File final : public grpc::ServerWriteReactor<v1::FileChunk> {
   public:
    explicit File(const std::string& data) {
      chunk_.set_data(data);
      chunk_.set_last(true);
      StartWriteAndFinish(&chunk_, grpc::WriteOptions(), grpc::Status::OK);
    }
    explicit File(const absl::Status& status) { Finish(ToGrpc(status)); }
    void OnDone() override { delete this; }

   private:
    v1::FileChunk chunk_;
  };

  class Questions final : public v1::Hub::CallbackService {
   public:
    explicit Questions(FakeHub* hub) : hub_(hub) {}
    grpc::ServerWriteReactor<v1::FileChunk>* GetFile(grpc::CallbackServerContext*,
                                                     const v1::GetFileRequest* request) override {
      absl::MutexLock lock(&hub_->mutex_);
      const auto found = hub_->files_.find(request->sha256());
      if (found == hub_->files_.end()) return new File(absl::NotFoundError("no such file"));
      return new File(found->second);
    }
    // Pages of three.
    grpc::ServerUnaryReactor* ListValues(grpc::CallbackServerContext* context,
                                         const v1::ListValuesRequest* request,
                                         v1::ListValuesReply* reply) override {
      absl::MutexLock lock(&hub_->mutex_);
      const auto& [addresses, instances] = hub_->values_[request->instance()];
      const size_t all = addresses.size() + instances.size();
      const size_t end = std::min<size_t>(all, request->start() + 3);
      for (size_t i = request->start(); i < end; ++i) {
        if (instances.empty()) {
          reply->add_addresses(addresses[i]);
        } else {
          reply->add_instances(instances[i]);
        }
      }
      reply->set_next(end);
      reply->set_end(end == all);
      grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }

   private:
    FakeHub* const hub_;
  };

  void Listen(const std::string& binding) {
    absl::StatusOr<std::unique_ptr<RpcServer>> server =
        RpcServer::Start({.binding = binding}, {&work_, &questions_});
    CHECK(server.ok());
    server_ = *std::move(server);
    address_ = server_->address();
  }
  Stream* NewStream() {
    auto* const stream = new Stream(this);
    absl::MutexLock lock(&mutex_);
    stream_ = stream;
    return stream;
  }
  void OnGone(Stream* stream) {
    absl::MutexLock lock(&mutex_);
    if (stream_ == stream) stream_ = nullptr;
  }
  void OnHeard(Stream* stream, const v1::FromWorker& message) {
    absl::MutexLock lock(&mutex_);
    if (message.has_hello()) {
      hellos_.push_back(message.hello());
      if (refusal_.ok()) {
        stream->Send(welcome_);
      } else {
        stream->End(refusal_);
      }
    }
    heard_.push_back(message);
    if (ack_ && message.report() > 0) {
      v1::ToWorker ack;
      ack.set_acked_report(message.report());
      stream->Send(ack);
    }
  }

  Work work_;
  Questions questions_;
  std::unique_ptr<RpcServer> server_;
  std::string address_;
  v1::ToWorker welcome_;

  absl::Mutex mutex_;
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool ack_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::FromWorker> heard_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Hello> hellos_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> files_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::pair<std::vector<uint64_t>, std::vector<uint64_t>>> values_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace bue::worker

#endif  // BUE_TESTS_UNIT_WORKER_FAKE_HUB_H_
