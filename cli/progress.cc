#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "cli/run_report.h"
#include "cli/text.h"

namespace bue::cli {
namespace {

constexpr absl::Duration kOnTerminal = absl::Milliseconds(200);
constexpr absl::Duration kElsewhere = absl::Seconds(10);
constexpr char kEraseLine[] = "\r\x1b[K";

// A line that is longer than the terminal is wide would not be erased whole.
size_t TerminalWidth() {
  struct winsize size = {};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1 : 79;
}

}  // namespace

Progress::Progress(absl::Time now)
    : terminal_(IsTerminal(STDERR_FILENO)), next_(now + (terminal_ ? kOnTerminal : kElsewhere)) {}

void Progress::Show(const v1::RunStatus& status, absl::Time now) {
  if (now < next_) return;
  next_ = now + (terminal_ ? kOnTerminal : kElsewhere);
  std::string line = ProgressLine(status);
  if (terminal_ && line.size() > TerminalWidth()) line.resize(TerminalWidth());
  absl::FPrintF(stderr, "%s%s%s", terminal_ ? kEraseLine : "", line, terminal_ ? "" : "\n");
  std::fflush(stderr);
  shown_ = true;
}

void Progress::Clear() {
  if (terminal_ && shown_) absl::FPrintF(stderr, "%s", kEraseLine);
  shown_ = false;
}

}  // namespace bue::cli
