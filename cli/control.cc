// `bue cancel`, `stop`, `pause`, `resume`, `retry` and `delete`: runs, told what to do.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/number_range.h"
#include "cli/text.h"
#include "cli/unknown_names.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

using Request = v1::ControlRunRequest;

constexpr double kGraceMaxS = 30.0 * 86400;  // More the hub would not take.

struct Verb {
  const char* name;
  const char* alias;  // The old name, or null.
  const char* about;
  const char* footer;
  const char* done;
  const char* already;  // When it was so before; null: the hub refuses that.
  Request::Action action;
};

constexpr Verb kVerbs[] = {
    {"cancel", nullptr, "End a run: what has not started never starts",
     "Steps that run are stopped. What is done stays done and can be read.\n  bue cancel r17\n  "
     "bue cancel r17 r18",
     "cancelled", nullptr, Request::CANCEL},
    {"stop", nullptr, "End a run gently: nothing more starts, what runs may end",
     "What still runs after --grace is stopped. The run is cancelled then; what is done stays "
     "done,\n"
     "and bue retry --cancelled lets it go on from there.\n  bue stop r17 --grace 60",
     "is stopping", nullptr, Request::STOP},
    {"pause", nullptr, "Hold a run: no further step of it starts",
     "Steps that run go on to their end.\n  bue pause r17", "paused", "is paused already",
     Request::PAUSE},
    {"resume", nullptr, "Let a paused run go on", "  bue resume r17", "resumed",
     "is running already", Request::RESUME},
    {"retry", "reset", "Run again what failed, or what a cancel left undone",
     "What succeeded is kept; what was skipped because of a failure runs too. A loop with items "
     "that\n"
     "failed opens again, and what gathers its values runs anew over the full list. The run may "
     "have\n"
     "ended or still be under way; a paused one stays paused until bue resume. The code that runs "
     "is\n"
     "what was uploaded with the run: a file mended since takes a new bue upload, a run from the\n"
     "start that takes over none of this one's values.\n"
     "  bue retry r17                  all that failed; a cancelled run goes on\n"
     "  bue retry r17 --step load      only failures of step 'load'\n"
     "  bue retry r17 --cancelled      only let a cancelled run go on",
     "goes on", nullptr, Request::RETRY},
    {"delete", nullptr, "Remove a run that has ended, with its values, errors and logs",
     "A run that has not ended is cancelled first with bue cancel.\n  bue delete r17 r18",
     "deleted", nullptr, Request::DELETE},
};

struct Flags {
  ConnectionFlags connection;
  std::vector<std::string> runs;
  double grace_s = 30;
  bool failed = false;
  bool cancelled = false;
  std::string step;
};

Request ToRequest(uint64_t run, const Flags& flags, const Verb& verb) {
  Request request;
  request.set_run(run);
  request.set_action(verb.action);
  if (verb.action == Request::STOP) request.set_grace_s(flags.grace_s);
  if (verb.action == Request::RETRY) {
    request.set_failed(flags.failed || !flags.step.empty());
    request.set_cancelled(flags.cancelled);
    request.set_step(flags.step);
  }
  return request;
}

std::string Tasks(uint64_t count, const char* what) {
  return absl::StrCat(", ", count, count == 1 ? " task " : " tasks ", what);
}

std::string RunAgain(uint64_t tasks) {
  return absl::StrCat(tasks, tasks == 1 ? " failed task runs again" : " failed tasks run again");
}

// What became of it, behind the run's name.
std::string Done(const Verb& verb, const v1::ControlRunReply& reply) {
  if (reply.already()) return verb.already;
  std::string text = verb.done;
  if (verb.action != Request::RETRY) return text;
  if (reply.waiting() > 0) absl::StrAppend(&text, Tasks(reply.waiting(), "to go"));
  if (reply.tasks() > 0 || reply.waiting() == 0) {
    absl::StrAppend(&text, ", ", RunAgain(reply.tasks()));
  }
  return text;
}

// A pause outlasts a retry.
std::string RetriedInPause(uint64_t run, const v1::ControlRunReply& reply) {
  return absl::StrCat("is still paused, ", RunAgain(reply.tasks()), " once it goes on: bue resume ",
                      RunName(run));
}

absl::StatusOr<std::string> Tell(HubClient* hub, uint64_t run, const Flags& flags,
                                 const Verb& verb) {
  ASSIGN_OR_RETURN(const v1::ControlRunReply reply, hub->Control(ToRequest(run, flags, verb)));
  if (verb.action == Request::RETRY) {
    const absl::StatusOr<v1::RunStatus> status = hub->GetRun(run);
    if (status.ok() && status->state() == v1::PAUSED) return RetriedInPause(run, reply);
  }
  return Done(verb, reply);
}

// One that is refused does not keep the others from it.
absl::StatusOr<int> Control(const Flags& flags, const Verb& verb) {
  std::vector<uint64_t> runs;
  for (const std::string& text : flags.runs) {
    ASSIGN_OR_RETURN(runs.emplace_back(), ParseRun(text));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<HubClient> hub, ConnectHub(flags.connection));
  int code = kExitOk;
  for (const uint64_t run : runs) {
    const absl::StatusOr<std::string> told = Tell(hub.get(), run, flags, verb);
    if (told.ok()) {
      absl::PrintF("%s %s\n", RunName(run), *told);
      continue;
    }
    const absl::Status refused = SayMore(told.status(), hub.get(), run, flags.step);
    if (runs.size() == 1 || absl::IsUnavailable(refused)) return refused;
    std::fflush(stdout);
    absl::FPrintF(stderr, "bue %s: error: %s\n", verb.name, refused.message());
    code = kExitRefused;
  }
  return code;
}

}  // namespace

void AddControl(CLI::App* app, Action* action) {
  for (const Verb& verb : kVerbs) {
    auto flags = std::make_shared<Flags>();
    CLI::App* const command = app->add_subcommand(verb.name, verb.about);
    if (verb.alias != nullptr) command->alias(verb.alias);
    command->add_option("RUN", flags->runs, "The run, as upload printed it; or several")
        ->type_name("")
        ->required();
    if (verb.action == Request::STOP) {
      command->add_option("--grace", flags->grace_s, "Seconds for what runs (default 30)")
          ->type_name("SECONDS")
          ->check(NumberBetween(0, kGraceMaxS));
    }
    if (verb.action == Request::RETRY) {
      command->add_flag("--failed", flags->failed, "Only tasks that failed");
      command->add_flag("--cancelled", flags->cancelled, "Only what a cancel left undone");
      command->add_option("--step", flags->step, "Only failures of this step");
    }
    AddHubFlags(command, &flags->connection);
    command->footer(verb.footer);
    command->callback(
        [flags, action, &verb] { *action = [flags, &verb] { return Control(*flags, verb); }; });
  }
}

}  // namespace bue::cli
