// A bucket that is far away: how much it sends before it hears from its reader again.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/check.h"
#include "tests/support/patience.h"
#include "tests/unit/bucket/bucket_fixture.h"

namespace bue {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// More than what a server says by itself: of this many bytes, some are the answer.
constexpr uint64_t kAnswer = 4096;

// Passes one connection's bytes on. From the next answer on it may keep what the client sends, as a
// link does whose other end is far.
class Link {
 public:
  explicit Link(const std::string& server) : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in here = Loopback(0);
    socklen_t size = sizeof here;
    CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&here), size) == 0);
    CHECK(listen(listener_, 1) == 0);
    CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size) == 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(here.sin_port));
    int port = 0;
    CHECK(absl::SimpleAtoi(std::pair<std::string, std::string>(absl::StrSplit(server, ':')).second,
                           &port));
    accepting_ = std::thread([this, port] { Serve(port); });
  }

  // The connection must have ended.
  ~Link() {
    accepting_.join();
    close(listener_);
  }

  const std::string& address() const { return address_; }

  void KeepRequestsFromTheNextAnswerOn() {
    absl::MutexLock lock(&mutex_);
    keep_ = true;
    answered_ = 0;
  }

  // Bytes that the server sent since, once they are `bytes` or nothing more has come for a while.
  uint64_t AwaitAnswered(uint64_t bytes) {
    absl::MutexLock lock(&mutex_);
    while (answered_ < bytes) {
      const uint64_t before = answered_;
      const auto more = [&] {
        mutex_.AssertHeld();
        return answered_ > before;
      };
      if (!mutex_.AwaitWithTimeout(absl::Condition(&more), Patience(absl::Milliseconds(500)))) {
        break;
      }
    }
    return answered_;
  }

  void LetRequestsPass() {
    absl::MutexLock lock(&mutex_);
    keep_ = false;
  }

 private:
  void Serve(int port) {
    const int client = accept(listener_, nullptr, nullptr);
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in there = Loopback(port);
    CHECK(connect(server, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0);
    std::thread requests([&] {
      Pass(client, server, [this](size_t) {
        absl::MutexLock lock(&mutex_);
        const auto may_pass = [this] {
          mutex_.AssertHeld();
          return !keep_ || answered_ < kAnswer;
        };
        mutex_.Await(absl::Condition(&may_pass));
      });
    });
    Pass(server, client, [this](size_t bytes) {
      absl::MutexLock lock(&mutex_);
      answered_ += bytes;
    });
    requests.join();
    close(client);
    close(server);
  }

  // Until `from` ends.
  template <typename Before>
  static void Pass(int from, int to, Before before) {
    std::array<char, 1 << 16> piece;
    while (true) {
      const ssize_t got = read(from, piece.data(), piece.size());
      if (got <= 0) break;
      before(static_cast<size_t>(got));
      for (ssize_t sent = 0; sent < got;) {
        const ssize_t wrote = send(to, piece.data() + sent, got - sent, MSG_NOSIGNAL);
        if (wrote <= 0) break;
        sent += wrote;
      }
    }
    shutdown(to, SHUT_WR);
  }

  const int listener_;
  std::string address_;
  absl::Mutex mutex_;
  bool keep_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread accepting_;
};

class FarLinkTest : public BucketFixture {};

// 64 KiB a round trip, gRPC's fixed window, would be 64 MiB a second from a host 1 ms away.
TEST_F(FarLinkTest, AValueIsSentAheadOfItsReader) {
  constexpr uint64_t kAhead = 1 << 20;
  const std::string data(8 << 20, 'v');
  const uint64_t address = Write(ObjectKind::kBytes, data, 0);
  Link link(bucket_->address());
  auto far = BucketClient::Connect({.buckets = {link.address()}});
  ASSERT_TRUE(far.ok()) << far.status();
  uint64_t ahead = 0;
  // The first ones find out how much the link can carry.
  const absl::Time deadline = absl::Now() + Patience(absl::Seconds(60));
  while (ahead < kAhead && absl::Now() < deadline) {
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ReadAll((*far)->OpenReader(address)->get()) == data);
    link.KeepRequestsFromTheNextAnswerOn();
    std::thread reading([&] { EXPECT_TRUE(ReadAll((*far)->OpenReader(address)->get()) == data); });
    ahead = link.AwaitAnswered(kAhead);
    link.LetRequestsPass();
    reading.join();
  }
  EXPECT_GE(ahead, kAhead);
  far->reset();
}

}  // namespace
}  // namespace bue
