#include "common/rpc_poller.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bue/v1/hub.grpc.pb.h"
#include "common/rpc.h"
#include "tests/support/patience.h"

namespace bue {
namespace {

// Counts on which threads calls arrive and end.
class CountingHub final : public v1::Hub::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context, const v1::HubInfoRequest*,
                                    v1::HubInfo*) override {
    Count();
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  void Count() {
    absl::MutexLock lock(&mutex_);
    ++calls_[std::this_thread::get_id()];
  }
  std::map<std::thread::id, int> Take() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(calls_, {});
  }

 private:
  absl::Mutex mutex_;
  std::map<std::thread::id, int> calls_ ABSL_GUARDED_BY(mutex_);
};

class RpcPollerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server =
        RpcServer::Start({.binding = "127.0.0.1:0", .message_bytes_max = 1 << 20}, {&hub});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::Hub::NewStub(MakeChannel(server_->address(), ""));
  }
  void TearDown() override {
    stub_.reset();
    server_->Shutdown(absl::ZeroDuration());
  }

  // Many at once.
  void Call(int count) {
    struct One {
      grpc::ClientContext context;
      v1::HubInfoRequest request;
      v1::HubInfo reply;
    };
    std::vector<One> calls(count);
    absl::BlockingCounter left(count);
    for (One& call : calls) {
      stub_->async()->GetInfo(&call.context, &call.request, &call.reply, [&](grpc::Status status) {
        EXPECT_TRUE(status.ok()) << status.error_message();
        hub.Count();
        left.DecrementCount();
      });
    }
    left.Wait();
  }

  // gRPC's own threads take part until each has come by the place where it is kept.
  void AwaitOneThread() {
    const absl::Time end = absl::Now() + Patience(absl::Seconds(30));
    int rounds_on_one_thread = 0;
    while (rounds_on_one_thread < 20) {
      ASSERT_LT(absl::Now(), end);
      Call(50);
      rounds_on_one_thread = hub.Take().size() == 1 ? rounds_on_one_thread + 1 : 0;
    }
  }

  CountingHub hub;
  std::unique_ptr<v1::Hub::Stub> stub_;

 private:
  std::unique_ptr<RpcServer> server_;
};

TEST_F(RpcPollerTest, OneThreadCallsBackForServersAndClients) { AwaitOneThread(); }

// As a turn may when the disk stands still: others are called back meanwhile.
TEST_F(RpcPollerTest, CallbackThatBlocksIsRelieved) {
  AwaitOneThread();
  absl::Notification let_go;
  absl::Notification done;
  grpc::ClientContext context;
  const v1::HubInfoRequest request;
  v1::HubInfo reply;
  stub_->async()->GetInfo(&context, &request, &reply, [&](grpc::Status) {
    let_go.WaitForNotification();
    done.Notify();
  });
  Call(50);
  EXPECT_FALSE(done.HasBeenNotified());
  let_go.Notify();
  done.WaitForNotification();
}

TEST_F(RpcPollerTest, TakingOverAgainChangesNothing) {
  PollOnOneThread();
  Call(50);
  EXPECT_FALSE(hub.Take().empty());
}

}  // namespace
}  // namespace bue
