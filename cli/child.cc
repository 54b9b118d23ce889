#include "cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace bue::cli {
namespace {

constexpr char kSelf[] = "/proc/self/exe";
constexpr absl::Duration kLook = absl::Milliseconds(20);

// In the child, after fork.
[[noreturn]] void Become(std::vector<char*>& arguments, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // It died before that.
  setpgid(0, 0);
  dup2(output, STDOUT_FILENO);
  execv(kSelf, arguments.data());
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Child>> Child::Start(const std::vector<std::string>& arguments,
                                                    absl::Duration timeout) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), "bue");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Become(pointers, ends[1], parent);
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot start a process: ", std::strerror(errno)));
  }
  std::unique_ptr<Child> child(new Child(pid, ends[0]));
  if (!child->ReadReadyLine(absl::Now() + timeout)) {
    return absl::UnavailableError(absl::StrCat("bue ", arguments.front(), " did not start"));
  }
  return child;
}

Child::~Child() {
  if (Running()) Stop(absl::ZeroDuration());
  close(output_);
}

bool Child::ReadReadyLine(absl::Time deadline) {
  while (true) {
    struct pollfd waiting = {.fd = output_, .events = POLLIN, .revents = 0};
    const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0 || poll(&waiting, 1, static_cast<int>(left)) <= 0) return false;
    char character;
    if (read(output_, &character, 1) != 1) return false;
    if (character == '\n') return true;
    ready_line_.push_back(character);
  }
}

bool Child::Running() {
  if (pid_ != 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = 0;
  return pid_ != 0;
}

void Child::Stop(absl::Duration grace) {
  if (pid_ != 0) kill(pid_, SIGTERM);
  const absl::Time deadline = absl::Now() + grace;
  while (Running() && absl::Now() < deadline) absl::SleepFor(kLook);
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

}  // namespace bue::cli
