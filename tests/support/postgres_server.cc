// See postgres_server.h.
// Used by one thread.
#include "tests/support/postgres_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/status_macros.h"

namespace bue {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(60);

// The newest version that is installed; empty if none is.
std::string ProgramsDirectory() {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    const std::filesystem::path programs = entry.path() / "bin";
    if (std::filesystem::exists(programs / "initdb", error)) found.push_back(programs.string());
  }
  return found.empty() ? "" : *std::max_element(found.begin(), found.end());
}

// Whom the server runs as; null: as ourselves.
const passwd* ServerUser() { return geteuid() == 0 ? getpwnam("postgres") : nullptr; }

// In the child: becomes the program. Output goes to `log`.
[[noreturn]] void Become(const std::vector<std::string>& command, const std::string& log,
                         const passwd* user) {
  const int file = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0666);
  dup2(file, STDOUT_FILENO);
  dup2(file, STDERR_FILENO);
  if (user != nullptr &&
      (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
    _exit(126);
  }
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

pid_t Spawn(const std::vector<std::string>& command, const std::string& log) {
  const passwd* user = ServerUser();
  const pid_t pid = fork();
  if (pid == 0) Become(command, log, user);
  return pid;
}

int FreePort() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  int port = 0;
  if (bind(socket_fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(socket_fd);
  return port;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Start() {
  if (ProgramsDirectory().empty()) {
    return absl::NotFoundError("no PostgreSQL server under /usr/lib/postgresql");
  }
  if (geteuid() == 0 && ServerUser() == nullptr) {
    return absl::NotFoundError("running as root, and there is no user 'postgres'");
  }
  std::unique_ptr<PostgresServer> server(new PostgresServer);
  RETURN_IF_ERROR(server->Initialise());
  RETURN_IF_ERROR(server->Launch());
  return server;
}

PostgresServer::~PostgresServer() {
  Stop();
  std::error_code error;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
}

absl::Status PostgresServer::Initialise() {
  std::string name = (std::filesystem::temp_directory_path() / "bue_postgres_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return absl::InternalError("mkdtemp failed");
  directory_ = name;
  const passwd* user = ServerUser();
  if (user != nullptr && chown(name.c_str(), user->pw_uid, user->pw_gid) != 0) {
    return absl::InternalError("chown failed");
  }
  const std::string log = directory_ + "/initdb.log";
  const pid_t pid = Spawn({ProgramsDirectory() + "/initdb", "-D", directory_ + "/data", "-U",
                           this->user(), "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"},
                          log);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
    return absl::InternalError(absl::StrCat("initdb failed, status ", status));
  }
  return absl::OkStatus();
}

absl::Status PostgresServer::Launch() {
  if (port_ == 0) port_ = FreePort();
  pid_ = Spawn({ProgramsDirectory() + "/postgres", "-D", directory_ + "/data", "-k", directory_,
                "-p", absl::StrCat(port_), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                "-c", "timezone=UTC"},
               directory_ + "/server.log");
  if (pid_ < 0) return absl::InternalError("fork failed");
  return WaitUntilReady();
}

// The server writes "ready" into its pid file's eighth line once it takes connections.
absl::Status PostgresServer::WaitUntilReady() {
  const std::string pid_file = directory_ + "/data/postmaster.pid";
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (absl::Now() < deadline) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      return absl::InternalError("the PostgreSQL server ended at once");
    }
    char text[1024] = {};
    const int file = open(pid_file.c_str(), O_RDONLY);
    const ssize_t size = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
    if (file >= 0) close(file);
    const absl::string_view content(text, std::max<ssize_t>(size, 0));
    if (content.find("ready") != absl::string_view::npos) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(10));
  }
  return absl::DeadlineExceededError("the PostgreSQL server did not get ready");
}

void PostgresServer::Stop() {
  if (pid_ < 0) return;
  kill(pid_, SIGQUIT);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

absl::Status PostgresServer::Restart() {
  Stop();
  return Launch();
}

}  // namespace bue
