// A Session, and what its tests say to it.
//
// Not thread-safe.
#ifndef BUE_TESTS_UNIT_WORKER_SESSION_TESTING_H_
#define BUE_TESTS_UNIT_WORKER_SESSION_TESTING_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "worker/core/session.h"

namespace bue::worker {

using Leases = std::vector<uint64_t>;

inline constexpr absl::Time kStart = absl::UnixEpoch();

inline SessionOptions SmallOptions() {
  SessionOptions options;
  options.slots[0] = 4;
  options.slots[1] = 2;
  options.slots[2] = 1;
  options.slots[3] = 1;
  return options;
}

inline std::shared_ptr<GrantGroup> Group(Leases leases, Pool pool = Pool::kThread) {
  auto group = std::make_shared<GrantGroup>();
  group->run = 7;
  group->step = 1;
  group->pool = pool;
  for (const uint64_t lease : leases) group->item.push_back(lease * 10);
  group->lease = std::move(leases);
  return group;
}

class SessionTest : public testing::Test {
 protected:
  explicit SessionTest(const SessionOptions& options = SmallOptions()) : session_(options) {
    Welcome({});
  }

  Leases Welcome(const Leases& dropped) {
    Leases cancelled;
    session_.OnWelcome(dropped, &cancelled);
    return cancelled;
  }
  Leases Revoke(const Leases& leases) {
    Leases cancelled;
    session_.OnRevoked(leases, &cancelled);
    return cancelled;
  }
  Leases Starts() {
    std::vector<StartBatch> batches;
    session_.TakeStarts(&batches);
    Leases started;
    for (const StartBatch& batch : batches) {
      for (const uint32_t row : batch.rows) started.push_back(batch.group->lease[row]);
    }
    return started;
  }
  void Succeed(uint64_t lease, absl::Duration run_time = absl::Milliseconds(1)) {
    ASSERT_TRUE(session_.OnExecuted(lease, run_time).has_value());
    ASSERT_TRUE(session_.OnSucceeded(lease, lease + 1000, 0, 5));
  }
  Leases HeldLeases() {
    Leases leases;
    for (const HeldLease& held : session_.Held(kStart)) leases.push_back(held.lease);
    return leases;
  }
  static uint32_t RoomOf(const Session::Message& message, Pool pool) {
    for (const Room& room : message.rooms) {
      if (room.pool == pool) return room.leases;
    }
    return UINT32_MAX;
  }

  Session session_;
};

}  // namespace bue::worker

#endif  // BUE_TESTS_UNIT_WORKER_SESSION_TESTING_H_
