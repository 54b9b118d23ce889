// `bue token`: a new cluster token.
#include <sys/random.h>

#include <CLI/CLI.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"

namespace bue::cli {
namespace {

absl::StatusOr<int> PrintToken() {
  unsigned char bytes[32];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    return absl::InternalError("the system gave no random bytes");
  }
  const absl::string_view raw(reinterpret_cast<const char*>(bytes), sizeof(bytes));
  absl::PrintF("%s\n", absl::BytesToHexString(raw));
  return kExitOk;
}

}  // namespace

void AddToken(CLI::App* app, Action* action) {
  CLI::App* const command = app->add_subcommand("token", "Make a cluster token");
  command->footer(
      "Who has the token may run code on the workers, so keep it as you keep a key:\n"
      "  umask 077; bue token > token\n"
      "  bue hub -b 0.0.0.0:65432 --token-file token\n"
      "Give every role and every client the same one, by --token-file FILE or BUE_TOKEN.");
  command->callback([action] { *action = PrintToken; });
}

}  // namespace bue::cli
