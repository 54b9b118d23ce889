// `bue worker` (and `bue work`): the role that runs steps.
#include "worker/core/worker.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/environment.h"
#include "cli/new_directory.h"
#include "cli/number_range.h"
#include "cli/role_flags.h"
#include "cli/stop_signal.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr int kSlotsMax = 100000;

struct Flags {
  RoleFlags role;
  std::string hub = HubToConnect();
  std::vector<std::string> buckets;
  std::vector<std::string> scopes;
  std::string name;
  std::string python;
  std::string data;
  std::string order = "scope";
  bool reverse = FlagFromEnvironment("REVERSE_PRIORITY");
  int slots = 0;
  int async_slots = 0;
  int thread_slots = 0;
  int process_slots = 0;
  int sql_slots = 0;
  double stop_grace_s = 10;
  double timeout_s = 30;
};

// Of this host's workers in this folder; each makes one of its own in it, and removes those of the
// dead. Other hosts that share the folder have theirs: not every file system locks across hosts.
std::string SharedDirectory() { return absl::StrCat(".bue/workers-", HostName()); }

worker::WorkerOptions ToOptions(const Flags& flags) {
  worker::WorkerOptions options;
  options.hub = flags.hub;
  options.buckets = SplitList(flags.buckets);
  options.scopes = SplitList(flags.scopes);
  options.name = flags.name.empty() ? absl::StrCat(HostName(), "-", getpid()) : flags.name;
  options.python = flags.python;
  options.state_dir = flags.data.empty() ? SharedDirectory() : flags.data;
  options.priority_first = flags.order == "priority";
  options.reverse = flags.reverse;
  options.slots = flags.slots;
  options.async_slots = flags.async_slots;
  options.thread_slots = flags.thread_slots;
  options.process_slots = flags.process_slots;
  options.sql_slots = flags.sql_slots;
  options.stop_grace = absl::Seconds(flags.stop_grace_s);
  options.connect_timeout = absl::Seconds(flags.timeout_s);
  return options;
}

absl::StatusOr<int> Work(const worker::WorkerOptions& options) {
  const NewDirectory state(options.state_dir);
  RETURN_IF_ERROR(MakeDirectory(options.state_dir));
  const auto started = worker::Worker::Start(options);
  if (!started.ok()) state.RemoveIfEmpty();
  RETURN_IF_ERROR(started.status());
  worker::Worker* const worker = started->get();
  StopSignal::Started();
  PrintReady(absl::StrCat("connected to ", options.hub));
  StopSignal::Wait(absl::InfiniteDuration());
  log::info("worker stopping grace={}", options.stop_grace);
  worker->Stop();
  return kExitOk;
}

// A number that an environment variable gives; 0: it is not set.
absl::StatusOr<int> NumberFromEnvironment(const char* name, int most) {
  const std::string text = FromEnvironment(name);
  int number = 0;
  if (text.empty() || (absl::SimpleAtoi(text, &number) && number >= 1 && number <= most)) {
    return number;
  }
  return absl::InvalidArgumentError(absl::StrCat("the environment's ", name, " is '", text,
                                                 "'; it takes a number from 1 to ", most,
                                                 ", or is left out"));
}

absl::StatusOr<int> ServeWorker(const Flags& flags) {
  StopSignal::Install(kExitOk);
  SetUpLogging("worker", flags.role.log_level);
  worker::WorkerOptions options = ToOptions(flags);
  RETURN_IF_ERROR(CheckHostPort("hub", options.hub));
  for (const std::string& bucket : options.buckets) {
    RETURN_IF_ERROR(CheckHostPort("bucket", bucket));
  }
  RETURN_IF_ERROR(NumberFromEnvironment("POSTGRES_PORT", 65535).status());
  if (options.process_slots == 0) {
    ASSIGN_OR_RETURN(options.process_slots, NumberFromEnvironment("N_WORKER_PROCESSES", kSlotsMax));
  }
  ASSIGN_OR_RETURN(options.token, ReadToken(flags.role.token_file));
  return Work(options);
}

void AddSlotFlags(CLI::App* command, Flags* flags) {
  const auto add = [command](const std::string& name, int* value, const std::string& what) {
    command->add_option(name, *value, what)->type_name("N")->check(WholeNumber(1, kSlotsMax));
  };
  add("--slots", &flags->slots, "Steps at once: threads, and at most so many of each other kind");
  add("--async-slots", &flags->async_slots, "`async def` steps at once (1000)");
  add("--thread-slots", &flags->thread_slots, "Plain `def` steps at once (64)");
  add("--process-slots", &flags->process_slots, "`!mode process` steps at once (one per core)");
  add("--sql-slots", &flags->sql_slots, "SQL steps at once (one per core)");
}

}  // namespace

void AddWorker(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  const std::string scopes = FromEnvironment("PIPE_WORKER_SCOPES");
  if (!scopes.empty()) flags->scopes = {scopes};
  CLI::App* const command = app->add_subcommand("worker", "Serve as a worker: runs steps");
  command->alias("work");
  command->add_option("-b,--binding,--hub", flags->hub, "The hub")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command
      ->add_option("-k,--bucket-binding,--bucket", flags->buckets,
                   "The bucket; default: where the hub says")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false);
  command
      ->add_option("-s,--scopes", flags->scopes,
                   "Scopes to serve, most wanted first, comma-separated; default: every scope")
      ->type_name("SCOPES")
      ->allow_extra_args(false);
  command->add_option("--order", flags->order, "What goes first among tasks: scope or priority")
      ->check(CLI::IsMember({"scope", "priority"}))
      ->capture_default_str();
  command->add_flag("--reverse", flags->reverse, "Take scopes and priorities from the low end");
  AddSlotFlags(command, flags.get());
  command->add_option("--name", flags->name, "Shown by `bue workers` (host and process id)");
  command
      ->add_option("--python", flags->python,
                   "Interpreter for Python steps; default: the active virtual environment's, else "
                   "python3")
      ->type_name("EXE");
  command
      ->add_option(
          "--data", flags->data,
          "Directory for uploaded files, of which the worker uses and removes a part of its "
          "own; default: .bue/workers-HOST")
      ->type_name("DIR");
  command
      ->add_option("--stop-grace", flags->stop_grace_s,
                   "Seconds that running steps have when the worker is stopped")
      ->type_name("SECONDS")
      ->check(NumberBetween(0.0, 86400.0))
      ->capture_default_str();
  command->add_option("--timeout", flags->timeout_s, "Seconds to wait for the hub at the start")
      ->type_name("SECONDS")
      ->check(NumberBetween(0.1, 86400.0))
      ->capture_default_str();
  AddRoleFlags(command, &flags->role);
  command->footer(
      "Prints `connected to HOST:PORT` when ready. SIGTERM or Ctrl-C stop it: what has not "
      "started\n"
      "goes back to the hub. The step files come from the hub; the interpreter needs msgpack.\n"
      "  bue worker\n"
      "  bue worker -b hub.example:65432 -s production,default --slots 16 --token-file token");
  command->callback([flags, action] { *action = [flags] { return ServeWorker(*flags); }; });
}

}  // namespace bue::cli
