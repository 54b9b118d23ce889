#include "hub/service/worker_stream.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace bue::hub {
namespace {

// Keeps what was asked of it; one write may be under way.
class FakeWire final : public StreamWire {
 public:
  void Write(const v1::ToWorker* message) override {
    EXPECT_FALSE(writing);
    EXPECT_FALSE(finished.has_value());
    writing = true;
    written.push_back(*message);
  }
  void Finish(const absl::Status& status) override {
    EXPECT_FALSE(writing);
    EXPECT_FALSE(finished.has_value());
    finished = status;
  }
  void Cancel() override {
    EXPECT_FALSE(finished.has_value());
    ++cancelled;
  }

  std::vector<v1::ToWorker> written;
  bool writing = false;
  std::optional<absl::Status> finished;
  int cancelled = 0;
};

class WorkerStreamTest : public testing::Test {
 protected:
  void Send(uint64_t lease, size_t bytes = 8) {
    stream_.Send(absl::UnixEpoch(), [&](v1::ToWorker* out) {
      out->add_revoked(lease);
      return bytes;
    });
  }
  void Leave(uint64_t lease, absl::Time now = absl::UnixEpoch()) {
    stream_.Leave(now, [&](v1::ToWorker* out) {
      out->add_revoked(lease);
      return size_t{8};
    });
  }
  void Written(bool ok = true) {
    wire_.writing = false;
    stream_.Written(ok);
  }

  FakeWire wire_;
  WorkerStream stream_{&wire_, 1000};
};

TEST_F(WorkerStreamTest, IdleStreamWritesAtOnce) {
  Send(1);
  ASSERT_EQ(wire_.written.size(), 1u);
  EXPECT_EQ(wire_.written[0].revoked(0), 1u);
}

TEST_F(WorkerStreamTest, WhatComesUpDuringAWriteIsOneMessage) {
  Send(1);
  Send(2);
  Send(3);
  EXPECT_EQ(wire_.written.size(), 1u);
  Written();
  ASSERT_EQ(wire_.written.size(), 2u);
  EXPECT_EQ(wire_.written[1].revoked_size(), 2);
  Written();
  EXPECT_EQ(wire_.written.size(), 2u);
}

TEST_F(WorkerStreamTest, NothingToSayIsNotSent) {
  stream_.Send(absl::UnixEpoch(), [](v1::ToWorker*) { return size_t{0}; });
  EXPECT_TRUE(wire_.written.empty());
}

TEST_F(WorkerStreamTest, WhatHasTimeGoesWithTheNextMessage) {
  Send(1);
  Leave(2);
  Written();
  EXPECT_EQ(wire_.written.size(), 1u);
  Send(3);
  ASSERT_EQ(wire_.written.size(), 2u);
  EXPECT_EQ(wire_.written[1].revoked_size(), 2);
}

TEST_F(WorkerStreamTest, WhatHasTimeGoesWithAFlush) {
  Send(1);
  Leave(2);
  stream_.Flush(absl::UnixEpoch());
  EXPECT_EQ(wire_.written.size(), 1u);  // Not during a write.
  Written();
  EXPECT_EQ(wire_.written.size(), 2u);
  Written();
  stream_.Flush(absl::UnixEpoch());
  EXPECT_EQ(wire_.written.size(), 2u);
}

TEST_F(WorkerStreamTest, OnAQuietStreamItGoesAtOnce) {
  Leave(1);
  EXPECT_EQ(wire_.written.size(), 1u);
  Written();
  Leave(2, absl::UnixEpoch() + absl::Milliseconds(4));
  EXPECT_EQ(wire_.written.size(), 1u);
  Leave(3, absl::UnixEpoch() + absl::Milliseconds(5));
  ASSERT_EQ(wire_.written.size(), 2u);
  EXPECT_EQ(wire_.written[1].revoked_size(), 2);
}

TEST_F(WorkerStreamTest, CloseWaitsForTheWriteUnderWay) {
  Send(1);
  Send(2);
  EXPECT_TRUE(stream_.Close(absl::AbortedError("first")));
  EXPECT_FALSE(stream_.Close(absl::AbortedError("second")));
  EXPECT_FALSE(wire_.finished.has_value());
  Written();
  ASSERT_TRUE(wire_.finished.has_value());
  EXPECT_EQ(wire_.finished->message(), "first");
  EXPECT_EQ(wire_.written.size(), 1u);
}

TEST_F(WorkerStreamTest, ClosedStreamIgnoresWhatIsSent) {
  stream_.Close(absl::OkStatus());
  ASSERT_TRUE(wire_.finished.has_value());
  Send(1);
  EXPECT_TRUE(wire_.written.empty());
}

TEST_F(WorkerStreamTest, ReaderThatFallsBehindIsCutOff) {
  Send(1, 600);
  Send(2, 600);
  EXPECT_EQ(wire_.cancelled, 0);
  Send(3, 600);
  EXPECT_EQ(wire_.cancelled, 1);
  Written(false);
  ASSERT_TRUE(wire_.finished.has_value());
  EXPECT_EQ(wire_.finished->code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(WorkerStreamTest, BrokenWriteEndsTheStream) {
  Send(1);
  Send(2);
  Written(false);
  ASSERT_TRUE(wire_.finished.has_value());
  EXPECT_EQ(wire_.finished->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(wire_.written.size(), 1u);
}

TEST_F(WorkerStreamTest, AbortOfAnIdleStreamFinishesIt) {
  EXPECT_TRUE(stream_.Abort(absl::DeadlineExceededError("silent")));
  EXPECT_TRUE(wire_.finished.has_value());
  EXPECT_FALSE(stream_.Abort(absl::DeadlineExceededError("silent")));
  EXPECT_EQ(wire_.cancelled, 1);
}

}  // namespace
}  // namespace bue::hub
