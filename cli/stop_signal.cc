#include "cli/stop_signal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "absl/time/clock.h"
#include "common/check.h"

namespace bue::cli {
namespace {

// A signal handler can reach nothing but process-wide state.
int signal_pipe[2] = {-1, -1};
std::atomic<int> signals_received = 0;
std::atomic<bool> started = false;
int exit_code_at_once = 0;

void OnSignal(int) {
  const int saved_errno = errno;
  if (!started || signals_received.fetch_add(1) > 0) _exit(exit_code_at_once);
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(signal_pipe[1], &byte, 1);
  errno = saved_errno;
}

}  // namespace

void StopSignal::Install(int exit_code) {
  exit_code_at_once = exit_code;
  CHECK(pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) == 0);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
}

void StopSignal::Started() { started = true; }

bool StopSignal::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!Received()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    struct pollfd waiting = {.fd = signal_pipe[0], .events = POLLIN, .revents = 0};
    poll(&waiting, 1,
         static_cast<int>(absl::ToInt64Milliseconds(std::min(left, absl::Hours(1)))) + 1);
  }
  return true;
}

bool StopSignal::Received() { return signals_received.load() > 0; }

}  // namespace bue::cli
