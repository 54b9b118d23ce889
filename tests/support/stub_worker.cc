#include "tests/support/stub_worker.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "tests/support/patience.h"

namespace bue {
namespace {

const absl::Duration kPatience = Patience(absl::Seconds(60));

}  // namespace

class StubWorker::Impl {
 public:
  Impl(const std::string& hub, const std::string& token)
      : channel_(MakeChannel(hub, token)), stub_(v1::Work::NewStub(channel_)) {
    context_.set_wait_for_ready(true);
    stream_ = stub_->Session(&context_);
    reader_ = std::thread([this] { Read(); });
  }
  ~Impl() {
    context_.TryCancel();
    reader_.join();
  }

  void AnswerPings(bool answer) { answers_pings_ = answer; }
  void Say(const v1::FromWorker& message) {
    absl::MutexLock lock(&write_mutex_);
    (void)stream_->Write(message);
  }

  v1::ToWorker Await(const Enough& enough) {
    absl::MutexLock lock(&mutex_);
    const absl::Time deadline = absl::Now() + kPatience;
    while (!enough(heard_)) {
      const bool late = changed_.WaitWithDeadline(&mutex_, deadline);
      if (ended_ && !enough(heard_)) log::error("the worker's stream ended: {}", end_);
      CHECK(!late && (!ended_ || enough(heard_)));
    }
    return heard_;
  }

  absl::Status AwaitEnd() {
    absl::MutexLock lock(&mutex_);
    CHECK(mutex_.AwaitWithTimeout(absl::Condition(&ended_), kPatience));
    return end_;
  }

  uint64_t NextReport() {
    absl::MutexLock lock(&mutex_);
    return ++report_;
  }

 private:
  void Read() {
    v1::ToWorker message;
    while (stream_->Read(&message)) {
      if (message.ping() && answers_pings_) Say({});
      absl::MutexLock lock(&mutex_);
      heard_.MergeFrom(message);
      changed_.SignalAll();
    }
    const grpc::Status status = stream_->Finish();
    absl::MutexLock lock(&mutex_);
    end_ = FromGrpc(status);
    ended_ = true;
    changed_.SignalAll();
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Work::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;

  std::atomic<bool> answers_pings_ = false;
  absl::Mutex write_mutex_;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  v1::ToWorker heard_ ABSL_GUARDED_BY(mutex_);
  uint64_t report_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);

  std::thread reader_;
};

StubWorker::StubWorker(const std::string& hub, const std::string& token)
    : impl_(std::make_unique<Impl>(hub, token)) {}
StubWorker::~StubWorker() = default;

void StubWorker::AnswerPings(bool answer) { impl_->AnswerPings(answer); }

void StubWorker::Say(const v1::FromWorker& message) { impl_->Say(message); }

v1::FromWorker HelloOf(const std::string& name) {
  v1::FromWorker message;
  v1::Hello* hello = message.mutable_hello();
  hello->set_name(name);
  hello->set_host("localhost");
  hello->set_incarnation(1);
  hello->set_protocol(v1::PROTOCOL_GHOSTS);
  return message;
}

v1::Welcome StubWorker::Join(const std::string& name, uint32_t leases,
                             const std::vector<v1::HeldLease>& held, uint64_t incarnation) {
  v1::FromWorker message = HelloOf(name);
  message.mutable_hello()->set_incarnation(incarnation);
  for (const v1::HeldLease& lease : held) *message.mutable_hello()->add_held() = lease;
  for (const v1::Pool pool : {v1::POOL_ASYNC, v1::POOL_THREAD, v1::POOL_PROCESS, v1::POOL_SQL}) {
    v1::Room* room = message.add_room();
    room->set_pool(pool);
    room->set_leases(leases);
    room->set_slots(leases);
  }
  Say(message);
  return Await([](const v1::ToWorker& heard) { return heard.has_welcome(); }).welcome();
}

v1::ToWorker StubWorker::Await(const Enough& enough) { return impl_->Await(enough); }

std::vector<uint64_t> StubWorker::AwaitLeases(int count) {
  const auto leases = [](const v1::ToWorker& heard) {
    std::vector<uint64_t> all;
    for (const v1::GrantGroup& group : heard.grants()) {
      all.insert(all.end(), group.lease().begin(), group.lease().end());
    }
    return all;
  };
  return leases(Await([&](const v1::ToWorker& heard) {
    return leases(heard).size() >= static_cast<size_t>(count);
  }));
}

uint64_t StubWorker::Succeed(const std::vector<uint64_t>& leases) {
  v1::FromWorker message;
  v1::Succeeded* succeeded = message.mutable_succeeded();
  for (size_t i = 0; i < leases.size(); ++i) {
    succeeded->add_lease(leases[i]);
    succeeded->add_address(100 + i);
    succeeded->add_elements(0);
    succeeded->add_run_us(5);
  }
  message.set_report(impl_->NextReport());
  Say(message);
  return message.report();
}

absl::Status StubWorker::AwaitEnd() { return impl_->AwaitEnd(); }

}  // namespace bue
