// A worker whose tasks take no time and have no values: what a hub reaches when nothing else is in
// its way.
//
//   instant_worker HUB LEASES     (until its standard input ends)
//
// Its steps are `!mode thread`; the addresses that it reports are of no bucket.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"

namespace bue {
namespace {

constexpr uint64_t kStore = uint64_t{1} << 48;  // Addresses of a made-up bucket.

// One message up for each that comes down.
class InstantWorker {
 public:
  InstantWorker(const std::string& hub, uint32_t leases)
      : stub_(v1::Work::NewStub(MakeChannel(hub, ""))), stream_(stub_->Session(&context_)) {
    v1::FromWorker message;
    message.mutable_hello()->set_name("instant");
    v1::Room* room = message.add_room();
    room->set_pool(v1::POOL_THREAD);
    room->set_leases(leases);
    room->set_slots(leases);
    CHECK(stream_->Write(message));
    thread_ = std::thread([this] { Work(); });
  }
  ~InstantWorker() {
    context_.TryCancel();
    thread_.join();
  }

 private:
  void Work() {
    v1::ToWorker in;
    v1::FromWorker out;
    uint64_t report = 0;
    uint64_t address = kStore;
    while (stream_->Read(&in)) {
      out.Clear();
      v1::Succeeded* succeeded = out.mutable_succeeded();
      for (const v1::GrantGroup& group : in.grants()) {
        for (const uint64_t lease : group.lease()) {
          succeeded->add_lease(lease);
          succeeded->add_address(++address);
          succeeded->add_elements(0);
          succeeded->add_run_us(1);
        }
      }
      if (succeeded->lease_size() > 0) out.set_report(++report);
      if (succeeded->lease_size() > 0 || in.ping()) stream_->Write(out);
    }
  }

  const std::unique_ptr<v1::Work::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
  std::thread thread_;
};

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "instant_worker HUB LEASES\n");
    return 2;
  }
  bue::SetUpProcess();
  bue::SetUpLogging("worker", "warning");
  const bue::InstantWorker worker(argv[1],
                                  static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)));
  char end = 0;
  return read(STDIN_FILENO, &end, 1) == 0 ? 0 : 1;
}
