#include "worker/python/runner_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "worker/python/wire.h"

extern char** environ;

namespace bue::worker {
namespace {

constexpr int kRunnerSocket = 3;
constexpr int kRunnerTether = 4;
constexpr int kSocketBufferBytes = 1 << 20;
constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kReceiveBytesMax = 4 << 20;  // Per call, so that one runner starves nobody.
constexpr size_t kLogTailBytes = 4 << 10;
constexpr size_t kLogLineBytesMax = 1 << 10;
constexpr int kLogLinesMax = 1000;

// A descriptor out of the way of those that the runner is given by number.
int OutOfTheWay(int fd) {
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
  close(fd);
  return moved;
}

absl::Status SystemError(absl::string_view what) {
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot start a Python runner: ", what, ": ", strerror(errno)));
}

// The worker's environment, and what steps may rely on.
class Environment {
 public:
  explicit Environment(const std::string& package) {
    bool hash_seed = false;
    std::string path = absl::StrCat("PYTHONPATH=", package);
    for (char** entry = environ; *entry != nullptr; ++entry) {
      absl::string_view variable = *entry;
      if (absl::ConsumePrefix(&variable, "PYTHONPATH=")) {
        if (!variable.empty()) absl::StrAppend(&path, ":", variable);
      } else if (!absl::StartsWith(variable, "BUELON_JOB=")) {
        hash_seed = hash_seed || absl::StartsWith(variable, "PYTHONHASHSEED=");
        entries_.emplace_back(*entry);
      }
    }
    // A generator that walks through a set yields the same in every runner.
    if (!hash_seed) entries_.push_back("PYTHONHASHSEED=0");
    entries_.push_back(std::move(path));
    entries_.push_back("BUELON_JOB=true");
    for (std::string& entry : entries_) pointers_.push_back(entry.data());
    pointers_.push_back(nullptr);
  }
  char** get() { return pointers_.data(); }

 private:
  std::vector<std::string> entries_;
  std::vector<char*> pointers_;
};

// Starts the interpreter with `socket` and `log` in their places, in a process group of its own, so
// that the terminal's Ctrl-C does not reach it and that it can be killed with its children.
absl::StatusOr<pid_t> SpawnPython(const RunnerOptions& options, int socket, int log, int tether) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, log, 1);
  posix_spawn_file_actions_adddup2(&actions, log, 2);
  posix_spawn_file_actions_adddup2(&actions, socket, kRunnerSocket);
  posix_spawn_file_actions_adddup2(&actions, tether, kRunnerTether);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t signals;
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);

  const std::string script = options.package + "/run_buelon.py";
  const std::string threads = absl::StrCat("--threads=", options.threads_max);
  const char* argv[] = {options.python.c_str(), script.c_str(), threads.c_str(),
                        options.process_mode ? "--process" : nullptr, nullptr};
  Environment environment(options.package);
  pid_t pid = -1;
  errno = posix_spawn(&pid, options.python.c_str(), &actions, &attributes,
                      const_cast<char* const*>(argv), environment.get());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (errno != 0) return SystemError(options.python);
  return pid;
}

// However this process ends, the kernel then kills the runner and what it started: the last writer
// of the pipe closing it is an event for which the reader's owner, the runner's process group, is
// sent SIGKILL. A runner that is well ends by itself when its socket closes; this is for one whose
// threads get no turn. The runner holds the reading end too, so that it is there when the event is.
bool TieTo(pid_t group, int reader) {
  return fcntl(reader, F_SETOWN, -group) == 0 && fcntl(reader, F_SETSIG, SIGKILL) == 0 &&
         fcntl(reader, F_SETFL, fcntl(reader, F_GETFL) | O_ASYNC) == 0;
}

void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

absl::StatusOr<std::unique_ptr<RunnerProcess>> RunnerProcess::Spawn(const RunnerOptions& options) {
  std::unique_ptr<RunnerProcess> runner(new RunnerProcess());
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return SystemError("socketpair");
  }
  runner->socket_ = OutOfTheWay(sockets[0]);
  const int far_socket = OutOfTheWay(sockets[1]);
  for (const int fd : {runner->socket_, far_socket}) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof(kSocketBufferBytes));
  }
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
    close(far_socket);
    return SystemError("pipe");
  }
  runner->log_ = OutOfTheWay(pipe_fds[0]);
  const int far_log = OutOfTheWay(pipe_fds[1]);
  int tether[2];
  if (pipe2(tether, O_CLOEXEC) != 0) {
    close(far_socket);
    close(far_log);
    return SystemError("pipe");
  }
  runner->far_tether_ = OutOfTheWay(tether[0]);
  runner->tether_ = OutOfTheWay(tether[1]);
  const absl::StatusOr<pid_t> pid = SpawnPython(options, far_socket, far_log, runner->far_tether_);
  close(far_socket);
  close(far_log);
  RETURN_IF_ERROR(pid.status());
  runner->pid_ = *pid;
  // Not by glibc's wrapper: its header lacks extern "C" in Debian 12. -1 on old kernels.
  runner->exit_ = static_cast<int>(syscall(SYS_pidfd_open, *pid, 0));
  if (!TieTo(*pid, runner->far_tether_)) log::warn("runner not tied pid={}", *pid);
  SetNonBlocking(runner->socket_);
  SetNonBlocking(runner->log_);
  return runner;
}

RunnerProcess::~RunnerProcess() {
  Kill();
  for (const int fd : {socket_, log_, exit_, tether_, far_tether_}) {
    if (fd >= 0) close(fd);
  }
}

void RunnerProcess::Send() {
  while (unsent() > 0) {
    const ssize_t took =
        send(socket_, outgoing_.data() + sent_, unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (took < 0 && errno == EINTR) continue;
    if (took <= 0) break;
    sent_ += static_cast<size_t>(took);
  }
  if (unsent() == 0) {
    outgoing_.clear();
    sent_ = 0;
    if (outgoing_.capacity() > (1 << 20)) outgoing_.shrink_to_fit();
  } else if (sent_ > (1 << 20)) {
    outgoing_.erase(0, sent_);
    sent_ = 0;
  }
}

bool RunnerProcess::Receive(const std::function<bool(absl::string_view message)>& on_message) {
  size_t received = 0;
  while (received < kReceiveBytesMax) {
    if (incoming_.size() < have_ + kReadBytes) incoming_.resize(have_ + kReadBytes);
    const size_t room = incoming_.size() - have_;
    const ssize_t got = recv(socket_, incoming_.data() + have_, room, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (got <= 0) return false;
    have_ += static_cast<size_t>(got);
    received += static_cast<size_t>(got);
    if (!TakeBatches(on_message)) return false;
    if (static_cast<size_t>(got) < room) return true;
  }
  return true;
}

bool RunnerProcess::TakeBatches(const std::function<bool(absl::string_view message)>& on_message) {
  const std::optional<size_t> took =
      worker::TakeBatches(absl::string_view(incoming_).substr(0, have_), on_message);
  if (!took.has_value()) {
    if (fault_.empty()) fault_ = "a batch of messages of impossible sizes";
    return false;
  }
  if (*took > 0) {
    memmove(incoming_.data(), incoming_.data() + *took, have_ - *took);
    have_ -= *took;
  }
  if (have_ == 0 && incoming_.size() > 2 * kReadBytes) {
    incoming_.resize(kReadBytes);
    incoming_.shrink_to_fit();
  }
  return true;
}

void RunnerProcess::ReadLog(const std::function<void(absl::string_view text)>& sink) {
  char buffer[16 << 10];
  for (int reads = 0; reads < 16; ++reads) {
    const ssize_t got = read(log_, buffer, sizeof(buffer));
    if (got <= 0) return;
    const absl::string_view text(buffer, static_cast<size_t>(got));
    log_tail_.append(buffer, static_cast<size_t>(got));
    if (log_tail_.size() > kLogTailBytes) log_tail_.erase(0, log_tail_.size() - kLogTailBytes);
    if (sink) {
      sink(text);
      continue;
    }
    size_t start = 0;
    for (size_t end; (end = text.find('\n', start)) != absl::string_view::npos; start = end + 1) {
      absl::StrAppend(&log_line_, text.substr(start, end - start));
      LogLine(log_line_);
      log_line_.clear();
    }
    if (log_line_.size() < kLogLineBytesMax) absl::StrAppend(&log_line_, text.substr(start));
  }
}

void RunnerProcess::LogLine(absl::string_view line) {
  if (line.empty() || lines_logged_ > kLogLinesMax) return;
  if (++lines_logged_ > kLogLinesMax) {
    log::info("runner says more than is logged pid={} lines={}", pid_, kLogLinesMax);
    return;
  }
  log::info("runner says pid={} line={}", pid_, line.substr(0, kLogLineBytesMax));
}

std::string RunnerProcess::last_words() const {
  absl::string_view words = log_tail_;
  if (words.size() > 2048) words.remove_prefix(words.size() - 2048);
  return std::string(absl::StripSuffix(words, "\n"));
}

void RunnerProcess::Kill() {
  if (ended_ || pid_ < 0) return;
  ended_ = true;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  ReadLog();
}

std::string RunnerProcess::HowItEnded() const {
  if (!fault_.empty())
    return absl::StrCat("it was killed, for it said what makes no sense: ", fault_);
  if (WIFSIGNALED(wait_status_)) {
    const int signal = WTERMSIG(wait_status_);
    return absl::StrCat("signal ", signal, " (", strsignal(signal), ")",
                        signal == SIGKILL ? ", as the kernel does when memory runs out" : "");
  }
  return absl::StrCat("exit code ", WEXITSTATUS(wait_status_));
}

}  // namespace bue::worker
