// What the roles' commands (hub, bucket, worker, demo, run) share: their options, the ready line,
// and running until a signal comes.
#ifndef BUE_CLI_ROLE_FLAGS_H_
#define BUE_CLI_ROLE_FLAGS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace CLI {
class App;
}  // namespace CLI

namespace bue::cli {

struct RoleFlags {
  std::string token_file;
  bool insecure = false;
  std::string log_level = "info";
};

// Adds --token-file and --log-level.
void AddRoleFlags(CLI::App* command, RoleFlags* flags);
// Adds --insecure, for the roles that listen.
void AddInsecureFlag(CLI::App* command, RoleFlags* flags);

// The parts of a comma-separated list, trimmed, in order; empty ones left out.
std::vector<std::string> SplitList(const std::vector<std::string>& given);

// Prints `line` alone on standard output, at once: what whoever started the role waits for.
void PrintReady(absl::string_view line);

// Makes `path` and its parents. FailedPrecondition says which directory could not be made and why.
absl::Status MakeDirectory(const std::string& path);

// Removes `path` and all in it; a path that is not there is fine.
void RemoveDirectory(const std::string& path);

// This host's name, for names of workers.
std::string HostName();

}  // namespace bue::cli

#endif  // BUE_CLI_ROLE_FLAGS_H_
