#include "common/rpc_poller.h"

#include <grpc/grpc.h>
#include <grpc/support/cpu.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bue {
namespace {

// The queue of gRPC's callbacks has no public name. An explicit instantiation may say a private
// one.
grpc::CompletionQueue* CallbackQueue();

template <grpc::CompletionQueue* (*kGet)()>
struct PrivateName {
  friend grpc::CompletionQueue* CallbackQueue() { return kGet(); }
};
template struct PrivateName<&grpc::CompletionQueue::CallbackAlternativeCQ>;

thread_local bool is_poller = false;

// How often the poller has gone into a callback or come out of one: odd while it is in one.
std::atomic<uint64_t> steps = 0;

constexpr absl::Duration kLookEvery = absl::Milliseconds(500);
constexpr absl::Duration kReliefLooksEvery = absl::Milliseconds(50);

void CallBack(const grpc_event& event) {
  if (event.type != GRPC_OP_COMPLETE) return;
  auto* const functor = static_cast<grpc_completion_queue_functor*>(event.tag);
  functor->functor_run(functor, event.success);
}

void Poll(grpc_completion_queue* queue) {
  is_poller = true;
  while (true) {
    const grpc_event event =
        grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_REALTIME), nullptr);
    steps.fetch_add(1, std::memory_order_relaxed);
    CallBack(event);
    steps.fetch_add(1, std::memory_order_relaxed);
  }
}

// Polls in its place while one callback keeps the poller: a disk that stands still under one must
// not silence the process.
void Relieve(grpc_completion_queue* queue) {
  is_poller = true;
  uint64_t before = 0;
  while (true) {
    absl::SleepFor(kLookEvery);
    const uint64_t now = steps.load(std::memory_order_relaxed);
    const bool stuck = now % 2 == 1 && now == before;
    before = now;
    while (stuck && steps.load(std::memory_order_relaxed) == now) {
      CallBack(grpc_completion_queue_next(
          queue, gpr_time_from_millis(absl::ToInt64Milliseconds(kReliefLooksEvery), GPR_TIMESPAN),
          nullptr));
    }
  }
}

// A call that ends before it begins, so that its callback comes to one of the queue's threads: one
// of gRPC's stays in it for good.
void ParkOne(const std::shared_ptr<grpc::Channel>& channel) {
  struct Call {
    grpc::ClientContext context;
    grpc::Slice nothing;
    grpc::ByteBuffer request{&nothing, 1};
    grpc::ByteBuffer reply;
  };
  auto* const call = new Call;
  call->context.TryCancel();
  grpc::GenericStub(channel).UnaryCall(&call->context, "/bue.v1.None/None", {}, &call->request,
                                       &call->reply, [call, channel](const grpc::Status&) {
                                         delete call;
                                         if (is_poller) return ParkOne(channel);
                                         while (true) pause();
                                       });
}

void TakeOver() {
  grpc_init();
  grpc_completion_queue* const queue = CallbackQueue()->cq();  // Never given back.
  std::thread(Poll, queue).detach();
  std::thread(Relieve, queue).detach();
  const auto channel = grpc::CreateChannel("ipv4:127.0.0.1:1", grpc::InsecureChannelCredentials());
  const unsigned threads = std::clamp(gpr_cpu_num_cores() / 2, 2u, 16u);  // As gRPC counts them.
  for (unsigned i = 0; i < threads; ++i) ParkOne(channel);
}

}  // namespace

void PollOnOneThread() {
  static const bool once = (TakeOver(), true);
  static_cast<void>(once);
}

}  // namespace bue
