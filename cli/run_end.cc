#include "cli/run_end.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/connection.h"
#include "cli/run_report.h"
#include "cli/text.h"

namespace bue::cli {

int ShowEnd(const v1::RunStatus& last) {
  absl::PrintF("%s\n", EndLine(last, absl::Now()));
  if (last.state() == v1::RUN_FAILED) {
    Note(absl::StrCat("what failed, and why: bue errors ", RunName(last.run())));
  }
  return last.state() == v1::RUN_SUCCEEDED ? kExitOk : kExitFailed;
}

}  // namespace bue::cli
