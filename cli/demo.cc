// `bue demo`: a small cluster on this machine, to play with.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/child.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/number_range.h"
#include "cli/stop_signal.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr absl::Duration kStartTimeout = absl::Minutes(1);
constexpr absl::Duration kStopGrace = absl::Seconds(15);
constexpr absl::Duration kLook = absl::Milliseconds(200);

struct Flags {
  std::string binding = absl::StrCat("localhost:", kHubPort);
  std::string data = ".bue/demo";
  std::string python;
  int workers = 3;
};

using Roles = std::vector<std::unique_ptr<Child>>;

absl::StatusOr<std::string> StartListener(Roles* roles, std::vector<std::string> arguments) {
  ASSIGN_OR_RETURN(std::unique_ptr<Child> child, Child::Start(arguments, kStartTimeout));
  const std::string address(absl::StripPrefix(child->ready_line(), "listening on "));
  roles->push_back(std::move(child));
  return address;
}

// In the order they depend on each other; returns the hub's address.
absl::StatusOr<std::string> StartRoles(const Flags& flags, Roles* roles) {
  const std::vector<std::string> quiet = {"--log-level", "warning"};
  ASSIGN_OR_RETURN(const std::string bucket,
                   StartListener(roles, {"bucket", "-b", "localhost:0", "--data",
                                         absl::StrCat(flags.data, "/bucket"), quiet[0], quiet[1]}));
  ASSIGN_OR_RETURN(const std::string hub,
                   StartListener(roles, {"hub", "-b", flags.binding, "-k", bucket, "--data",
                                         absl::StrCat(flags.data, "/hub"), quiet[0], quiet[1]}));
  for (int number = 1; number <= flags.workers; ++number) {
    const std::string name = absl::StrCat("worker-", number);
    std::vector<std::string> arguments = {
        "worker", "-b",    hub, "--name", name, "--data", absl::StrCat(flags.data, "/", name),
        quiet[0], quiet[1]};
    if (!flags.python.empty()) arguments.insert(arguments.end(), {"--python", flags.python});
    ASSIGN_OR_RETURN(std::unique_ptr<Child> worker, Child::Start(arguments, kStartTimeout));
    roles->push_back(std::move(worker));
  }
  return hub;
}

void PrintUsage(const std::string& hub, const Flags& flags) {
  const bool usual = hub == absl::StrCat("localhost:", kHubPort);
  const std::string where = usual ? "" : absl::StrCat(" -b ", hub);
  absl::PrintF(
      "A hub at %s, a bucket and %d workers are running; their state is in %s.\n"
      "From another terminal:\n"
      "  bue example                        writes example.bue and example.py\n"
      "  bue upload%s -f example.bue        prints the run, say r1\n"
      "  bue status%s r1 --watch\n"
      "  bue results%s r1 --json\n"
      "  bue workers%s\n"
      "Ctrl-C ends them all.\n",
      hub, flags.workers, flags.data, where, where, where, where);
  std::fflush(stdout);
}

// Until a signal comes; Internal when a role ended by itself.
absl::Status Stay(const Roles& roles) {
  while (!StopSignal::Wait(kLook)) {
    for (const std::unique_ptr<Child>& role : roles) {
      if (!role->Running()) {
        return absl::InternalError(
            "one of the demo's processes ended by itself; stopping the rest");
      }
    }
  }
  return absl::OkStatus();
}

// Workers first: they give back what they hold.
void StopRoles(Roles* roles) {
  while (!roles->empty()) {
    roles->back()->Stop(kStopGrace);
    roles->pop_back();
  }
}

absl::StatusOr<int> Demo(const Flags& flags) {
  StopSignal::Install(kExitOk);
  Roles roles;
  const absl::StatusOr<std::string> hub = StartRoles(flags, &roles);
  absl::Status status = hub.status();
  if (hub.ok()) {
    StopSignal::Started();
    PrintUsage(*hub, flags);
    status = Stay(roles);
  }
  StopRoles(&roles);
  RETURN_IF_ERROR(status);
  return kExitOk;
}

}  // namespace

void AddDemo(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app->add_subcommand("demo", "Start a small cluster on this machine to play with");
  command->add_option("-b,--binding", flags->binding, "Where its hub listens")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--data", flags->data, "Directory for its state")
      ->type_name("DIR")
      ->capture_default_str();
  command->add_option("--workers", flags->workers, "How many workers")
      ->check(WholeNumber(1, 100))
      ->capture_default_str();
  command->add_option("--python", flags->python, "Interpreter for Python steps")->type_name("EXE");
  command->footer(
      "A bucket, a hub and three workers as processes of their own; Ctrl-C ends them all.\n"
      "  bue demo");
  command->callback([flags, action] { *action = [flags] { return Demo(*flags); }; });
}

}  // namespace bue::cli
