#include "worker/core/hub_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/rpc.h"
#include "tests/support/patience.h"
#include "tests/unit/worker/fake_hub.h"

namespace bue::worker {
namespace {

class HubStreamTest : public testing::Test, public HubStreamListener {
 protected:
  HubStreamTest() { Connect(); }
  ~HubStreamTest() override { inbox_->Close(); }

  void Connect() {
    stream_ = std::make_unique<HubStream>(HubStreamOptions{.target = hub_.address()},
                                          MakeChannel(hub_.address(), ""), inbox_, this);
  }

  void FillHello(v1::Hello* hello) override {
    hello->set_name("tester");
    hello->set_incarnation(++hellos_);
  }
  void OnMessage(const v1::ToWorker& message) override { messages_.push_back(message); }
  void OnDown() override {
    ++downs_;
    down_at_ = absl::Now();
    opens_at_when_down_ = stream_->NextDeadline();
  }
  void OnRefused(const absl::Status& status) override { refusals_.push_back(status); }

  // Runs the loop until `done`, or a deadline.
  template <typename Done>
  bool RunUntil(const Done& done) {
    const absl::Time deadline = absl::Now() + FakeHub::kPatience;
    while (!done()) {
      if (absl::Now() > deadline) return false;
      const absl::Duration wait = stream_->NextDeadline() - absl::Now();
      for (Inbox::Task& task : inbox_->Take(std::min(wait, absl::Milliseconds(20)))) task();
      stream_->Tick(absl::Now());
    }
    return true;
  }
  bool RunUntilUp() {
    return RunUntil([this] { return stream_->writable(); });
  }

  FakeHub hub_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unique_ptr<HubStream> stream_;
  std::vector<v1::ToWorker> messages_;
  std::vector<absl::Status> refusals_;
  int downs_ = 0;
  absl::Time down_at_;
  absl::Time opens_at_when_down_;
  uint64_t hellos_ = 0;
};

TEST_F(HubStreamTest, SaysHelloFirstAndHearsTheWelcome) {
  ASSERT_TRUE(RunUntilUp());
  EXPECT_EQ(hub_.WaitForHello(1).name(), "tester");
  ASSERT_EQ(messages_.size(), 1u);
  EXPECT_TRUE(messages_[0].has_welcome());
}

TEST_F(HubStreamTest, MessagesArriveInOrderBothWays) {
  hub_.AckReports(false);
  ASSERT_TRUE(RunUntilUp());
  for (uint64_t i = 1; i <= 200; ++i) {
    v1::ToWorker message;
    message.set_acked_report(i);
    hub_.Send(message);
    ASSERT_TRUE(RunUntilUp());
    stream_->NewMessage()->set_report(i);
    stream_->Send(absl::Now());
  }
  ASSERT_TRUE(RunUntil([this] { return messages_.size() == 201; }));
  for (uint64_t i = 1; i <= 200; ++i) EXPECT_EQ(messages_[i].acked_report(), i);
  ASSERT_TRUE(hub_.WaitFor([](const auto& heard) { return heard.back().report() == 200; }));
  uint64_t last = 0;
  for (const v1::FromWorker& message : hub_.heard()) {
    if (message.report() > 0) {
      EXPECT_EQ(message.report(), ++last);
    }
  }
}

// Threads that only burn time take the processor from those of gRPC at every point of their way.
TEST_F(HubStreamTest, AFloodArrivesWholeAndInOrder) {
  constexpr uint64_t kMessages = 20000;
  ASSERT_TRUE(RunUntilUp());
  std::atomic<bool> over = false;
  std::vector<std::thread> burning;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
    burning.emplace_back([&over] {
      while (!over) {
      }
    });
  }
  v1::ToWorker message;
  for (uint64_t i = 1; i <= kMessages; ++i) {
    message.set_acked_report(i);
    hub_.Send(message);
  }
  const auto acks = [this] {
    return !messages_.empty() && messages_.back().acked_report() == kMessages;
  };
  EXPECT_TRUE(RunUntil(acks));
  over = true;
  for (std::thread& thread : burning) thread.join();
  uint64_t last = 0;
  for (const v1::ToWorker& heard : messages_) {
    if (heard.has_welcome() || heard.ping()) continue;
    ASSERT_EQ(heard.acked_report(), ++last);
  }
  EXPECT_EQ(last, kMessages);
}

TEST_F(HubStreamTest, AStreamThatMissesAMessageIsOpenedAnew) {
  ASSERT_TRUE(RunUntilUp());
  v1::ToWorker message;
  for (const uint64_t number : {1, 2, 4, 5}) {
    message.set_number(number);
    message.set_acked_report(number);
    hub_.Send(message);
  }
  ASSERT_TRUE(RunUntil([this] { return downs_ == 1 && stream_->writable(); }));
  EXPECT_EQ(hub_.WaitForHello(2).incarnation(), 2u);
  std::vector<uint64_t> heard;
  for (const v1::ToWorker& one : messages_) {
    if (one.acked_report() > 0) heard.push_back(one.acked_report());
  }
  EXPECT_EQ(heard, (std::vector<uint64_t>{1, 2}));
}

TEST_F(HubStreamTest, MessagesAreNumberedOnEachStream) {
  for (size_t stream = 1; stream <= 2; ++stream) {
    ASSERT_TRUE(RunUntilUp());
    stream_->NewMessage()->set_report(10 * stream);
    stream_->Send(absl::Now());
    ASSERT_TRUE(
        hub_.WaitFor([&](const auto& heard) { return heard.back().report() == 10 * stream; }));
    if (stream == 2) break;
    hub_.EndStream();
    ASSERT_TRUE(RunUntil([this] { return downs_ == 1; }));
  }
  uint64_t last = 0;
  for (const v1::FromWorker& message : hub_.heard()) {
    if (message.has_hello()) last = 0;
    EXPECT_EQ(message.number(), ++last);
  }
}

TEST_F(HubStreamTest, OnlyOneWriteIsUnderWay) {
  ASSERT_TRUE(RunUntilUp());
  // So large that it takes many round trips, however late this thread looks.
  stream_->NewMessage()->add_logs()->set_text(std::string(16 << 20, 'x'));
  stream_->Send(absl::Now());
  EXPECT_FALSE(stream_->writable());
  EXPECT_TRUE(RunUntil([this] { return stream_->writable(); }));
}

TEST_F(HubStreamTest, ABrokenStreamIsOpenedAgainAtOnce) {
  ASSERT_TRUE(RunUntilUp());
  hub_.EndStream();
  ASSERT_TRUE(RunUntil([this] { return downs_ == 1; }));
  EXPECT_LE(opens_at_when_down_, down_at_) << "due at once";
  ASSERT_TRUE(RunUntilUp());
  EXPECT_EQ(hub_.WaitForHello(2).incarnation(), 2u);
}

TEST_F(HubStreamTest, AHubThatEndsEveryStreamIsNotAskedWithoutAPause) {
  const absl::Time start = absl::Now();
  for (int i = 1; i <= 4; ++i) {
    ASSERT_TRUE(RunUntilUp());
    hub_.EndStream();
    ASSERT_TRUE(RunUntil([this, i] { return downs_ == i; }));
  }
  ASSERT_TRUE(RunUntilUp());
  EXPECT_GT(absl::Now() - start, absl::Milliseconds(50 + 100 + 200));
}

// The end of a stream is known before its last callback: in between nothing may be written.
TEST_F(HubStreamTest, StreamsMayEndWhileMessagesAreSent) {
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(RunUntilUp());
    hub_.EndStream();
    ASSERT_TRUE(RunUntil([this, i] {
      if (stream_->writable()) {
        stream_->NewMessage();
        stream_->Send(absl::Now());
      }
      return downs_ == i;
    }));
  }
}

TEST_F(HubStreamTest, AHubThatRestartsIsFoundAgain) {
  ASSERT_TRUE(RunUntilUp());
  hub_.Close();
  ASSERT_TRUE(RunUntil([this] { return downs_ == 1; }));
  hub_.Reopen();
  EXPECT_TRUE(RunUntilUp());
}

TEST_F(HubStreamTest, ARefusalIsToldAndTriedAgain) {
  hub_.Refuse(absl::UnauthenticatedError("wrong token"));
  ASSERT_TRUE(RunUntil([this] { return refusals_.size() >= 3; }));
  EXPECT_TRUE(absl::IsUnauthenticated(refusals_[0])) << refusals_[0];
  hub_.Refuse(absl::OkStatus());
  EXPECT_TRUE(RunUntilUp());
  EXPECT_EQ(downs_, 0);
}

TEST_F(HubStreamTest, SaysThatItIsAliveWithoutBeingAsked) {
  ASSERT_TRUE(RunUntilUp());
  EXPECT_TRUE(RunUntil([this] { return hub_.heard().size() >= 4; }));
}

TEST_F(HubStreamTest, APingIsAnswered) {
  hub_.welcome()->set_heartbeat_ms(1000000);
  ASSERT_TRUE(RunUntilUp());
  v1::ToWorker ping;
  ping.set_ping(true);
  hub_.Send(ping);
  EXPECT_TRUE(RunUntil([this] { return hub_.heard().size() == 2; }));
}

TEST_F(HubStreamTest, ASilentHubIsGivenUp) {
  hub_.welcome()->set_silence_ms(300);
  ASSERT_TRUE(RunUntilUp());
  EXPECT_TRUE(RunUntil([this] { return downs_ >= 1; }));
  EXPECT_TRUE(RunUntil([this] { return hub_.hellos() >= 2; }));
}

TEST_F(HubStreamTest, FinishEndsTheStreamAndOpensNoOther) {
  ASSERT_TRUE(RunUntilUp());
  stream_->NewMessage()->set_goodbye(true);
  stream_->Send(absl::Now());
  stream_->Finish();
  ASSERT_TRUE(RunUntil([this] { return stream_->ended(); }));
  EXPECT_TRUE(hub_.WaitFor([](const auto& heard) { return heard.back().goodbye(); }));
  EXPECT_EQ(downs_, 0);
  EXPECT_EQ(hub_.hellos(), 1u);
}

}  // namespace
}  // namespace bue::worker
