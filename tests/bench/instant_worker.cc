// A worker whose tasks take no time and have no values: what a hub reaches when nothing else is in
// its way.
//
//   instant_worker HUB LEASES [SCOPE [COUNT]]     (until its standard input ends)
//
// It serves every scope, or only SCOPE. With COUNT it prints one JSON object once it was granted so
// many tasks: how many of them were of each run, by the run's number. Its steps are `!mode thread`;
// the addresses that it reports are of no bucket.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "bue/v1/work.grpc.pb.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "nlohmann/json.hpp"

namespace bue {
namespace {

constexpr uint64_t kStore = uint64_t{1} << 48;  // Addresses of a made-up bucket.

// One message up for each that comes down.
class InstantWorker {
 public:
  // `count`: of the first tasks whose runs are printed; 0: nothing is.
  InstantWorker(const std::string& hub, uint32_t leases, const std::string& scope, uint64_t count)
      : left_(count),
        stub_(v1::Work::NewStub(MakeChannel(hub, ""))),
        stream_(stub_->Session(&context_)) {
    v1::FromWorker message;
    message.mutable_hello()->set_name("instant");
    message.mutable_hello()->set_protocol(v1::PROTOCOL_GHOSTS);
    if (!scope.empty()) message.mutable_hello()->add_scopes(scope);
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
        if (left_ > 0) Count(group);
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

  void Count(const v1::GrantGroup& group) {
    const uint64_t counted = std::min<uint64_t>(left_, group.lease_size());
    shares_[std::to_string(group.run())] += counted;
    left_ -= counted;
    if (left_ > 0) return;
    std::printf("%s\n", nlohmann::json(shares_).dump().c_str());
    std::fflush(stdout);
  }

  uint64_t left_;  // Until the shares are printed.
  std::map<std::string, uint64_t> shares_;
  const std::unique_ptr<v1::Work::Stub> stub_;
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::FromWorker, v1::ToWorker>> stream_;
  std::thread thread_;
};

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fprintf(stderr, "instant_worker HUB LEASES [SCOPE [COUNT]]\n");
    return 2;
  }
  bue::SetUpProcess();
  bue::SetUpLogging("worker", "warning");
  const bue::InstantWorker worker(
      argv[1], static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)), argc > 3 ? argv[3] : "",
      argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0);
  char end = 0;
  return read(STDIN_FILENO, &end, 1) == 0 ? 0 : 1;
}
