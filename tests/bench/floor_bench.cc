// The least that a run can take on this machine at this moment: five bare processes that hand on as
// many bytes and sync as many files as a client, a hub, a worker, a runner and a bucket must, and
// do nothing else. Prints one JSON object.
//
//   floor_bench FOLDER RUNS STEPS BYTES     {"ms": [...]}
//
// A run: the hub logs it; each of STEPS values, of BYTES, 2 * BYTES and so on, is made by the
// runner and logged by the bucket, before the next is begun; the hub logs the end; the client gets
// the last value. Logged is what fdatasync has returned for, in a file whose blocks were written
// before.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/check.h"

namespace bue {
namespace {

constexpr size_t kMessageBytes = 200;  // What is no value.
constexpr off_t kLogBytes = 64 << 20;

// The two ends of a connection.
struct Link {
  int one = 0;
  int other = 0;
};

Link ConnectTcp() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  CHECK(bind(listener, reinterpret_cast<sockaddr*>(&here), size) == 0);
  CHECK(listen(listener, 1) == 0);
  CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size) == 0);
  Link link{.one = socket(AF_INET, SOCK_STREAM, 0)};
  CHECK(connect(link.one, reinterpret_cast<sockaddr*>(&here), size) == 0);
  link.other = accept(listener, nullptr, nullptr);
  CHECK(link.other >= 0);
  close(listener);
  const int yes = 1;
  for (const int end : {link.one, link.other}) {
    CHECK(setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
  }
  return link;
}

Link ConnectUnix() {
  std::array<int, 2> ends;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
  return {.one = ends[0], .other = ends[1]};
}

// A message is its length and as many bytes.
void Send(int to, const std::string& message) {
  std::string framed(sizeof(uint64_t), '\0');
  const uint64_t length = message.size();
  framed.assign(reinterpret_cast<const char*>(&length), sizeof length);
  framed += message;
  for (size_t sent = 0; sent < framed.size();) {
    const ssize_t wrote = send(to, framed.data() + sent, framed.size() - sent, MSG_NOSIGNAL);
    CHECK(wrote > 0);
    sent += static_cast<size_t>(wrote);
  }
}

void ReadAll(int from, char* to, size_t bytes) {
  for (size_t got = 0; got < bytes;) {
    const ssize_t more = read(from, to + got, bytes - got);
    CHECK(more > 0);
    got += static_cast<size_t>(more);
  }
}

std::string Receive(int from) {
  uint64_t length = 0;
  ReadAll(from, reinterpret_cast<char*>(&length), sizeof length);
  std::string message(length, '\0');
  ReadAll(from, message.data(), length);
  return message;
}

// A file that begins anew when it is full.
class Log {
 public:
  explicit Log(const std::string& path) : file_(open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
    CHECK(file_ >= 0);
    const std::string zeros(1 << 20, '\0');
    for (off_t at = 0; at < kLogBytes; at += static_cast<off_t>(zeros.size())) Write(zeros, at);
    CHECK(fsync(file_) == 0);
  }

  void Append(const std::string& bytes) {
    if (end_ + static_cast<off_t>(bytes.size()) > kLogBytes) end_ = 0;
    last_ = end_;
    Write(bytes, end_);
    end_ += static_cast<off_t>(bytes.size());
    CHECK(fdatasync(file_) == 0);
  }

  std::string ReadLast() const {
    std::string bytes(static_cast<size_t>(end_ - last_), '\0');
    CHECK(pread(file_, bytes.data(), bytes.size(), last_) == end_ - last_);
    return bytes;
  }

 private:
  void Write(const std::string& bytes, off_t at) const {
    CHECK(pwrite(file_, bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size()));
  }

  const int file_;
  off_t last_ = 0;
  off_t end_ = 0;
};

struct Links {
  Link client_hub = ConnectTcp();
  Link hub_worker = ConnectTcp();
  Link worker_bucket = ConnectTcp();
  Link client_bucket = ConnectTcp();
  Link worker_runner = ConnectUnix();
};

[[noreturn]] void BeHub(const Links& links, const std::string& path) {
  Log log(path);
  while (true) {
    log.Append(Receive(links.client_hub.other));
    Send(links.hub_worker.one, std::string(kMessageBytes, 'h'));
    log.Append(Receive(links.hub_worker.one));
    Send(links.client_hub.other, std::string(kMessageBytes, 'h'));
  }
}

[[noreturn]] void BeWorker(const Links& links, int steps) {
  while (true) {
    Receive(links.hub_worker.other);
    std::string value;
    for (int step = 0; step < steps; ++step) {
      Send(links.worker_runner.one, value);
      value = Receive(links.worker_runner.one);
      Send(links.worker_bucket.one, value);
      Receive(links.worker_bucket.one);
    }
    Send(links.hub_worker.other, std::string(kMessageBytes, 'w'));
  }
}

[[noreturn]] void BeRunner(const Links& links, size_t bytes) {
  const std::string piece(bytes, 'v');
  while (true) Send(links.worker_runner.other, Receive(links.worker_runner.other) + piece);
}

[[noreturn]] void BeBucket(const Links& links, const std::string& path) {
  Log log(path);
  const int worker = links.worker_bucket.other;
  const int client = links.client_bucket.other;
  while (true) {
    std::array<pollfd, 2> asked = {{{.fd = worker, .events = POLLIN, .revents = 0},
                                    {.fd = client, .events = POLLIN, .revents = 0}}};
    CHECK(poll(asked.data(), asked.size(), -1) > 0);
    if (asked[0].revents != 0) {
      log.Append(Receive(worker));
      Send(worker, std::string(kMessageBytes, 'b'));
    }
    if (asked[1].revents != 0) {
      Receive(client);
      Send(client, log.ReadLast());
    }
  }
}

// A process that ends with this one.
pid_t Start(const std::function<void()>& be) {
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid != 0) return pid;
  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  be();
  _exit(1);
}

int Main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: floor_bench FOLDER RUNS STEPS BYTES\n", stderr);
    return 2;
  }
  const std::string folder = argv[1];
  const int runs = std::atoi(argv[2]);
  const int steps = std::atoi(argv[3]);
  const size_t bytes = static_cast<size_t>(std::atoll(argv[4]));
  const std::string hub_log = absl::StrCat(folder, "/floor_hub");
  const std::string bucket_log = absl::StrCat(folder, "/floor_bucket");
  const Links links;
  const std::vector<pid_t> others = {
      Start([&] { BeHub(links, hub_log); }),
      Start([&] { BeWorker(links, steps); }),
      Start([&] { BeRunner(links, bytes); }),
      Start([&] { BeBucket(links, bucket_log); }),
  };
  constexpr int kFirst = 20;  // Not counted: files are made, caches filled.
  std::vector<double> ms;
  for (int run = -kFirst; run < runs; ++run) {
    const absl::Time before = absl::Now();
    Send(links.client_hub.one, std::string(kMessageBytes, 'c'));
    Receive(links.client_hub.one);
    Send(links.client_bucket.one, std::string(kMessageBytes, 'c'));
    CHECK(Receive(links.client_bucket.one).size() == bytes * static_cast<size_t>(steps));
    if (run >= 0) ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - before));
  }
  for (const pid_t pid : others) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  unlink(hub_log.c_str());
  unlink(bucket_log.c_str());
  std::printf("{\"ms\": [%s]}\n", absl::StrJoin(ms, ", ").c_str());
  return 0;
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) { return bue::Main(argc, argv); }
