#include "hub/verify.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "hub/scheduler/scheduler.h"
#include "hub/storage/verify_rows.h"

namespace bue::hub {
namespace {

constexpr char kRemedy[] =
    "restore the directory from a copy; or remove this run's work from it by moving the directory "
    "away and uploading again";

// The part of a snapshot that is about runs [begin, end), by place.
HubSnapshot PartOf(const HubSnapshot& whole, size_t begin, size_t end) {
  HubSnapshot part{.workers = whole.workers, .next_run = whole.next_run};
  part.runs.assign(whole.runs.begin() + begin, whole.runs.begin() + end);
  if (part.runs.empty()) return part;
  const uint64_t first = part.runs.front().added.run;
  const uint64_t last = part.runs.back().added.run;
  for (const Change& change : whole.changes) {
    if (change.run >= first && change.run <= last) part.changes.push_back(change);
  }
  return part;
}

absl::Status TakeOver(HubSnapshot snapshot) {
  Scheduler scheduler(SchedulerOptions{});
  RETURN_IF_ERROR(scheduler.Load(std::move(snapshot), absl::Now()));
  scheduler.CheckInvariants();
  return absl::OkStatus();
}

std::string ReadToEnd(int fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t size = read(fd, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(buffer, static_cast<size_t>(size));
  }
}

// A state that contradicts itself ends the process that finds out, so that is a child. Returns what
// is wrong; empty: nothing.
std::string TakeOverInChild(const HubSnapshot& whole, size_t begin, size_t end) {
  int ends[2];
  if (pipe(ends) != 0) return absl::StrCat("cannot make a pipe to look at it: errno ", errno);
  const pid_t child = fork();
  if (child < 0) return absl::StrCat("cannot fork to look at it: errno ", errno);
  if (child == 0) {
    const struct rlimit no_core = {};
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    const absl::Status status = TakeOver(PartOf(whole, begin, end));
    const std::string text(status.message());
    const bool said =
        write(STDERR_FILENO, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(status.ok() && said ? 0 : 1);
  }
  close(ends[1]);
  const std::string text = ReadToEnd(ends[0]);
  close(ends[0]);
  int result = 0;
  while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(result) && WEXITSTATUS(result) == 0) return "";
  const std::string said(absl::StripAsciiWhitespace(text));
  if (WIFSIGNALED(result)) return absl::StrCat("its state contradicts itself: ", said);
  return said.empty() ? "a hub could not take it over" : said;
}

// Finds the runs that cannot be taken over, by halves.
void FindBroken(const HubSnapshot& whole, size_t begin, size_t end, VerifyReport* report) {
  if (report->problems.size() >= VerifyReport::kProblemsMax) return;
  std::string wrong = TakeOverInChild(whole, begin, end);
  if (wrong.empty()) return;
  if (end - begin == 1) {
    report->AddProblem(absl::StrCat("run r", whole.runs[begin].added.run), std::move(wrong),
                       kRemedy);
    return;
  }
  const size_t problems = report->problems.size();
  const size_t middle = begin + (end - begin) / 2;
  if (end > begin) {
    FindBroken(whole, begin, middle, report);
    FindBroken(whole, middle, end, report);
  }
  if (report->problems.size() > problems) return;
  report->AddProblem("all runs together", std::move(wrong), kRemedy);
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyHub(const std::string& dir) {
  std::optional<HubSnapshot> snapshot;
  ASSIGN_OR_RETURN(VerifyReport report, VerifyStorage(dir, &snapshot));
  if (!snapshot.has_value()) return report;
  const size_t runs = snapshot->runs.size();
  FindBroken(*snapshot, 0, runs, &report);
  report.Add("runs taken over", report.ok() ? runs : 0);
  return report;
}

}  // namespace bue::hub
