// StubWorker is a worker's end of a stream for tests of a real hub: it says what the test tells it
// to say and keeps what the hub says. One stream; its own thread reads.
//
// Thread-safe.
#ifndef BUE_TESTS_SUPPORT_STUB_WORKER_H_
#define BUE_TESTS_SUPPORT_STUB_WORKER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bue/v1/work.pb.h"

namespace bue {

// A worker's first message.
v1::FromWorker HelloOf(const std::string& name);

class StubWorker {
 public:
  StubWorker(const std::string& hub, const std::string& token);
  ~StubWorker();  // Breaks the stream.

  // From now on answers pings, so that the hub takes it for alive, or does not any more.
  void AnswerPings(bool answer = true);

  // Sends `message` as it is.
  void Say(const v1::FromWorker& message);

  // Says hello, with room for `leases` tasks of each pool, and waits for the welcome.
  v1::Welcome Join(const std::string& name, uint32_t leases,
                   const std::vector<v1::HeldLease>& held = {}, uint64_t incarnation = 1);

  // Waits until everything the hub said so far, merged into one message, satisfies `enough`. Dies
  // if it does not in time.
  using Enough = std::function<bool(const v1::ToWorker&)>;
  v1::ToWorker Await(const Enough& enough);
  // The leases among it, in order.
  std::vector<uint64_t> AwaitLeases(int count);

  // Reports plain successes; returns the report's number. Values are at address 100 + lease's
  // place.
  uint64_t Succeed(const std::vector<uint64_t>& leases);

  // Waits for the stream's end; the hub's reason.
  absl::Status AwaitEnd();

 private:
  class Impl;  // Keeps gRPC out of this header.

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue

#endif  // BUE_TESTS_SUPPORT_STUB_WORKER_H_
