#include "worker/python/find_python.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"

extern char** environ;

namespace bue::worker {
namespace {

constexpr absl::Duration kProbeTimeout = absl::Seconds(30);
constexpr char kProbe[] =
    "import sys\n"
    "ok = 'yes'\n"
    "try:\n    import msgpack; msgpack.Packer(strict_types=True)\n"
    "except Exception as error: ok = type(error).__name__ + ': ' + str(error)\n"
    "print('bue', '%d.%d' % sys.version_info[:2], sys.executable, ok, sep='\\n')\n";

// Runs `python -c kProbe` and returns what it printed; empty if it can not be run or takes too
// long.
std::string RunProbe(const std::string& python) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return "";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  const char* argv[] = {python.c_str(), "-c", kProbe, nullptr};
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, python.c_str(), &actions, nullptr,
                                  const_cast<char* const*>(argv), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  std::string printed;
  const absl::Time deadline = absl::Now() + kProbeTimeout;
  while (failed == 0 && printed.size() < 4096) {
    pollfd ready{pipe_fds[0], POLLIN, 0};
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left_ms <= 0 || poll(&ready, 1, static_cast<int>(left_ms)) <= 0) break;
    char buffer[1024];
    const ssize_t got = read(pipe_fds[0], buffer, sizeof(buffer));
    if (got <= 0) break;
    printed.append(buffer, static_cast<size_t>(got));
  }
  close(pipe_fds[0]);
  if (failed == 0) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  return printed;
}

// The path of `python` itself, if it can run steps.
absl::StatusOr<std::string> Check(const std::string& python) {
  const std::vector<std::string> lines = absl::StrSplit(RunProbe(python), '\n');
  if (lines.size() < 4 || lines[0] != "bue") {
    return absl::FailedPreconditionError("can not be run");
  }
  const std::vector<std::string> version = absl::StrSplit(lines[1], '.');
  if (atoi(version[0].c_str()) != 3 || atoi(version[1].c_str()) < 10) {
    return absl::FailedPreconditionError(
        absl::StrCat("is Python ", lines[1], "; 3.10 or later is needed"));
  }
  if (lines[3] != "yes") {
    return absl::FailedPreconditionError(
        absl::StrCat("can not import msgpack 1.0 or later (", lines[3],
                     "); mend it with: ", lines[2], " -m pip install msgpack",
                     lines[2] == "/usr/bin/python3" ? ", or apt install python3-msgpack" : ""));
  }
  return lines[2];
}

std::vector<std::string> Candidates(const std::string& option) {
  if (!option.empty()) return {option};
  const char* environment = getenv("VIRTUAL_ENV");
  if (environment != nullptr && *environment != '\0') {
    return {absl::StrCat(environment, "/bin/python3")};
  }
  return {"python3", "/usr/bin/python3"};
}

}  // namespace

absl::StatusOr<std::string> FindPython(const std::string& option) {
  std::vector<std::string> problems;
  for (const std::string& python : Candidates(option)) {
    absl::StatusOr<std::string> found = Check(python);
    if (found.ok()) return found;
    problems.push_back(absl::StrCat(python, " ", found.status().message()));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no Python interpreter for steps: ", absl::StrJoin(problems, "; "),
                   option.empty() ? ". Another one can be named with --python" : ""));
}

}  // namespace bue::worker
