#include "cli/server_role.h"

#include <CLI/CLI.hpp>

namespace bue::cli {

void AddServerFlags(CLI::App* command, const ServerTexts& texts, ServerFlags* flags) {
  command->add_option("-b,--binding", flags->binding, "Listen here; port 0 picks a free one")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--data", flags->data, texts.data)->type_name("DIR")->capture_default_str();
  command->add_option("--sync", flags->sync, texts.sync)
      ->check(CLI::IsMember({"disk", "os"}))
      ->capture_default_str();
  command->add_option("--low-water", flags->low_water, texts.low_water)
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->type_name("SIZE");
  CLI::Option* const verify = command->add_flag(
      "--verify", flags->verify,
      "Start nothing: look at --data, change nothing, and say what is wrong with it");
  command->add_flag("--json", flags->json, "With --verify: as JSON")->needs(verify);
  AddRoleFlags(command, &flags->role);
  AddInsecureFlag(command, &flags->role);
}

}  // namespace bue::cli
