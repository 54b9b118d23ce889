// What `bue hub` and `bue bucket` share: roles that listen, and keep a data directory that can be
// looked at.
#ifndef BUE_CLI_SERVER_ROLE_H_
#define BUE_CLI_SERVER_ROLE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/new_directory.h"
#include "cli/role_flags.h"
#include "cli/stop_signal.h"
#include "common/status_macros.h"

namespace bue::cli {

struct ServerFlags {
  RoleFlags role;
  std::string binding;
  std::string data;
  std::string sync = "disk";
  std::optional<uint64_t> low_water;  // Bytes.
  bool verify = false;
  bool json = false;
};

// What the options mean for this role.
struct ServerTexts {
  const char* data;
  const char* sync;
  const char* low_water;
};

// Adds -b, --data, --sync, --low-water, --verify, --json, and those of every role.
void AddServerFlags(CLI::App* command, const ServerTexts& texts, ServerFlags* flags);

// Into HubOptions or BucketOptions.
template <typename Options>
absl::Status Fill(const ServerFlags& flags, Options* options) {
  options->binding = flags.binding;
  options->data_dir = flags.data;
  options->insecure = flags.role.insecure;
  options->sync_os = flags.sync == "os";
  options->give_up = StopSignal::Received;
  ASSIGN_OR_RETURN(options->token, ReadToken(flags.role.token_file));
  return absl::OkStatus();
}

// Runs what Role::Start(options) makes until a signal comes. `lock`: the file in the data directory
// that a role locks.
template <typename Role, typename Options>
absl::StatusOr<int> Serve(const Options& options, const char* lock) {
  const NewDirectory data(options.data_dir);
  const auto role = Role::Start(options);
  if (!role.ok()) data.Remove(lock);
  if (absl::IsCancelled(role.status())) return kExitOk;  // Stopped before it had started.
  RETURN_IF_ERROR(role.status());
  StopSignal::Started();
  PrintReady(absl::StrCat("listening on ", (*role)->address()));
  StopSignal::Wait(absl::InfiniteDuration());
  (*role)->Shutdown();
  return kExitOk;
}

}  // namespace bue::cli

#endif  // BUE_CLI_SERVER_ROLE_H_
