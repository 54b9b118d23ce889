// PostgresServer is a real PostgreSQL server for tests: a fresh cluster in a temporary directory,
// reached through a unix socket there and on loopback. It ends, and its files go, with the object;
// it also ends when the test's process dies.
//
// PostgreSQL refuses to run as root; then it runs as the user `postgres`, whom Debian's package
// makes. Used by one thread.
#ifndef BUE_TESTS_SUPPORT_POSTGRES_SERVER_H_
#define BUE_TESTS_SUPPORT_POSTGRES_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bue {

class PostgresServer final {
 public:
  // NotFound if the server's programs are not installed.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start();
  ~PostgresServer();

  // Ends the server at once (clients see their connections break), and starts it again.
  absl::Status Restart();

  const std::string& socket_directory() const { return directory_; }
  int port() const { return port_; }
  std::string user() const { return "tester"; }  // May do everything, without a password.
  std::string database() const { return "postgres"; }

 private:
  PostgresServer() = default;

  absl::Status Initialise();
  absl::Status Launch();
  absl::Status WaitUntilReady();
  void Stop();

  std::string directory_;
  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace bue

#endif  // BUE_TESTS_SUPPORT_POSTGRES_SERVER_H_
