// `bue run`: a script, here and now, in one process.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/failures.h"
#include "cli/local_cluster.h"
#include "cli/number_range.h"
#include "cli/progress.h"
#include "cli/result_lines.h"
#include "cli/run_directory.h"
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
constexpr char kParent[] = ".bue";

struct Flags {
  ScriptFlags script;
  std::string python;
  int slots = 0;
  bool results = false;
  bool json = false;
  size_t keep = 5;
  std::string log_level = "error";
};

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

// To `out` the summary, to standard error what goes into detail.
absl::Status PrintSummary(HubClient* hub, const v1::RunStatus& status, std::FILE* out) {
  Failures failures;
  RETURN_IF_ERROR(hub->ListErrors(status.run(), [&](const v1::ErrorRecord& error) {
    failures.Add(error);
    return true;
  }));
  failures.Add(status);
  absl::FPrintF(stderr, "%s", failures.Tracebacks());
  absl::FPrintF(out, "%s\n%s", EndLine(status, absl::Now()), failures.Summary());
  return absl::OkStatus();
}

absl::StatusOr<int> PrintValues(const LocalCluster& cluster, HubClient* hub, uint64_t run,
                                bool json) {
  ASSIGN_OR_RETURN(
      const std::unique_ptr<BucketClient> bucket,
      BucketClient::Connect({.buckets = {cluster.bucket_address()}, .token = cluster.token()}));
  ASSIGN_OR_RETURN(const std::string complaint,
                   PrintResults(hub, bucket.get(), {.run = run, .json = json}));
  if (complaint.empty()) return kExitOk;
  absl::FPrintF(stderr, "bue run: error: %s\n", complaint);
  return kExitFailed;
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
  const bool values = flags.results || flags.json;
  RETURN_IF_ERROR(PrintSummary(hub.get(), status, values ? stderr : stdout));
  if (interrupted) return kExitInterrupted;
  int code = status.state() == v1::RUN_SUCCEEDED ? kExitOk : kExitFailed;
  if (values) {
    ASSIGN_OR_RETURN(const int printed, PrintValues(cluster, hub.get(), run, flags.json));
    code = std::max(code, printed);
  }
  return code;
}

struct Ended {
  int code = kExitOk;
  // Where its roles listened: no other cluster on this machine does.
  std::string hub;
  std::string bucket;
};

absl::StatusOr<Ended> RunIn(const std::string& state, const CompiledScript& script,
                            const Flags& flags) {
  ASSIGN_OR_RETURN(
      const std::unique_ptr<LocalCluster> cluster,
      LocalCluster::Start({.data_dir = state, .python = flags.python, .slots = flags.slots}));
  ASSIGN_OR_RETURN(const int code, RunOn(*cluster, script, flags));
  return Ended{.code = code, .hub = cluster->hub_address(), .bucket = cluster->bucket_address()};
}

void SayWhatIsKept(const std::string& state, const Ended& ended, size_t keep) {
  const std::string& hub = ended.hub;
  absl::FPrintF(stderr,
                "Its state is kept in %s, until %d more did not succeed here. To look into it, and "
                "to go on from there:\n"
                "  bue bucket -b %s --data %s/bucket &\n"
                "  bue hub -b %s -k %s --data %s/hub &\n"
                "  bue errors -b %s r1; bue get -b %s r1 NAME\n"
                "  bue worker -b %s & bue retry -b %s r1\n"
                "A retry runs the files as they were: once they are mended, bue run again.\n",
                state, keep, ended.bucket, state, hub, ended.bucket, state, hub, hub, hub, hub);
}

absl::StatusOr<int> Run(const Flags& flags) {
  ASSIGN_OR_RETURN(const CompiledScript script, CompileScript(flags.script));
  absl::FPrintF(stderr, "%s", FormatScript(script));
  if (!script.result.program.has_value()) return kExitRefused;
  StopSignal::Install(kExitInterrupted);
  StopSignal::Started();
  SetUpLogging("run", flags.log_level);
  ASSIGN_OR_RETURN(const std::unique_ptr<RunDirectory> state, RunDirectory::Make(kParent));
  const absl::StatusOr<Ended> ended = RunIn(state->path(), script, flags);
  if (ended.ok() && ended->code != kExitOk && flags.keep > 0) {
    SayWhatIsKept(state->path(), *ended, flags.keep);
  } else {
    state->Remove();
  }
  RunDirectory::RemoveOld(kParent, flags.keep);
  RETURN_IF_ERROR(ended.status());
  return ended->code;
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
      ->check(WholeNumber(1, 100000));
  command->add_flag("--results", flags->results,
                    "Print the values it ended in, as bue results does; the summary goes to "
                    "standard error");
  command->add_flag("--json", flags->json,
                    "The same, one JSON object a line: run, step, item, value");
  command
      ->add_option("--keep", flags->keep,
                   "Keep the state of the last N that did not succeed in this folder")
      ->type_name("N")
      ->check(WholeNumber(0, 1000))
      ->capture_default_str();
  command->add_option("--log-level", flags->log_level, "What the roles log to standard error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->type_name("LEVEL")
      ->capture_default_str();
  command->footer(
      "Needs no server: a hub, a bucket and a worker for every scope run in this process, on "
      "loopback,\n"
      "with their state in .bue/run-…, which is removed when all succeeded, and else when --keep "
      "newer\n"
      "ones are there; the commands to look into it, at addresses of its own, are printed at its\n"
      "end. What steps print goes to standard error, a line at a time with its step and item, the\n"
      "summary with every failed step to standard output.\n"
      "Exit code: 0 all succeeded, 1 some failed, 2 the script was rejected, 130 interrupted.\n"
      "  bue run -f example.bue\n"
      "  r1 succeeded in 1.62 s: 73 tasks done\n"
      "  bue run -f example.bue --json | jq .value");
  command->callback([flags, action] { *action = [flags] { return Run(*flags); }; });
}

}  // namespace bue::cli
