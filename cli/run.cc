// `bue run`: a script, here and now, in one process.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/failures.h"
#include "cli/local_cluster.h"
#include "cli/progress.h"
#include "cli/role_flags.h"
#include "cli/run_report.h"
#include "cli/script.h"
#include "cli/stop_signal.h"
#include "cli/text.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

// The run is looked at often at first, so that short ones end at once.
constexpr absl::Duration kFirstLook = absl::Milliseconds(2);
constexpr absl::Duration kLongestLook = absl::Milliseconds(100);

struct Flags {
  ScriptFlags script;
  std::string python;
  int slots = 0;
  std::string log_level = "error";
};

// A folder under .bue/ that no other run has (rule: two runs in one folder do not meet).
absl::StatusOr<std::string> MakeStateDirectory() {
  RETURN_IF_ERROR(MakeDirectory(".bue"));
  std::string path = ".bue/run-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make a directory in .bue/: ", std::strerror(errno)));
  }
  return path;
}

absl::StatusOr<v1::RunStatus> Follow(HubClient* hub, uint64_t run) {
  Progress progress(absl::Now());
  absl::Duration look = kFirstLook;
  while (true) {
    const bool stop = StopSignal::Wait(look);
    ASSIGN_OR_RETURN(const v1::RunStatus status, hub->GetRun(run));
    progress.Show(status, absl::Now());
    if (HasEnded(status) || stop) {
      progress.Clear();
      return status;
    }
    look = std::min(look * 1.1, kLongestLook);
  }
}

absl::Status PrintSummary(HubClient* hub, const v1::RunStatus& status) {
  Failures failures;
  RETURN_IF_ERROR(hub->ListErrors(status.run(), [&](const v1::ErrorRecord& error) {
    failures.Add(error);
    return true;
  }));
  failures.Add(status);
  absl::FPrintF(stderr, "%s", failures.Tracebacks());
  absl::PrintF("%s\n%s", EndLine(status, absl::Now()), failures.Summary());
  return absl::OkStatus();
}

absl::StatusOr<int> RunOn(const LocalCluster& cluster, const CompiledScript& script,
                          const Flags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub,
                   HubClient::Connect({.target = cluster.hub_address(), .token = cluster.token()}));
  ASSIGN_OR_RETURN(const uint64_t run, hub->Upload(ToNewRun(script, flags.script)));
  ASSIGN_OR_RETURN(v1::RunStatus status, Follow(hub.get(), run));
  const bool interrupted = !HasEnded(status);
  if (interrupted) {
    absl::FPrintF(stderr, "stopping; once more to stop at once\n");
    RETURN_IF_ERROR(hub->Control(run, v1::ControlRunRequest::CANCEL));
    ASSIGN_OR_RETURN(status, hub->GetRun(run));
  }
  RETURN_IF_ERROR(PrintSummary(hub.get(), status));
  if (interrupted) return kExitInterrupted;
  return status.state() == v1::RUN_SUCCEEDED ? kExitOk : kExitFailed;
}

absl::StatusOr<int> RunIn(const std::string& state, const CompiledScript& script,
                          const Flags& flags) {
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LocalCluster> cluster,
      LocalCluster::Start({.data_dir = state, .python = flags.python, .slots = flags.slots}));
  return RunOn(*cluster, script, flags);
}

absl::StatusOr<int> Run(const Flags& flags) {
  ASSIGN_OR_RETURN(const CompiledScript script, CompileScript(flags.script));
  absl::FPrintF(stderr, "%s", FormatScript(script));
  if (!script.result.program.has_value()) return kExitRefused;
  StopSignal::Install(kExitInterrupted);
  StopSignal::Started();
  SetUpLogging("run", flags.log_level);
  ASSIGN_OR_RETURN(const std::string state, MakeStateDirectory());
  const absl::StatusOr<int> code = RunIn(state, script, flags);
  const bool keep = code.ok() && *code != kExitOk;
  if (keep) {
    absl::FPrintF(stderr, "what the steps handed on is kept in %s\n", state);
  } else {
    RemoveDirectory(state);
  }
  return code;
}

}  // namespace

void AddRun(CLI::App* app, Action* action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command = app->add_subcommand("run", "Run a script here and now");
  AddScriptFlags(command, &flags->script);
  command
      ->add_option("--python", flags->python,
                   "Interpreter for Python steps; default: the active virtual environment's, else "
                   "python3")
      ->type_name("EXE");
  command
      ->add_option("--slots", flags->slots,
                   "Steps at once: threads, and at most so many of each other kind")
      ->type_name("N")
      ->check(CLI::Range(1, 100000));
  command->add_option("--log-level", flags->log_level, "What the roles log to standard error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->type_name("LEVEL")
      ->capture_default_str();
  command->footer(
      "Needs no server: a hub, a bucket and a worker for every scope run in this process, on "
      "loopback,\n"
      "with their state in .bue/run-…, which is removed when all succeeded. What steps print goes "
      "to\n"
      "standard error, the summary with every failed step to standard output.\n"
      "Exit code: 0 all succeeded, 1 some failed, 2 the script was rejected, 130 interrupted.\n"
      "  bue run -f example.bue\n"
      "  r1 succeeded in 1.62 s: 73 tasks done");
  command->callback([flags, action] { *action = [flags] { return Run(*flags); }; });
}

}  // namespace bue::cli
