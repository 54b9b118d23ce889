#include "cli/unknown_names.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cli/text.h"
#include "common/lang/suggestion.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr size_t kNamesShown = 30;

}  // namespace

absl::Status CheckStep(const v1::RunStatus& run, const std::string& step) {
  std::vector<absl::string_view> names;
  for (const v1::StepStatus& one : run.steps()) names.push_back(one.name());
  if (std::find(names.begin(), names.end(), step) != names.end()) return absl::OkStatus();
  std::string message = absl::StrCat("run ", RunName(run.run()), " has no step '", step, "'; ");
  const absl::string_view near = lang::Nearest(step, names);
  if (!near.empty()) absl::StrAppend(&message, "did you mean ", near, "? ");
  const size_t more = names.size() - std::min(names.size(), kNamesShown);
  names.resize(names.size() - more);
  absl::StrAppend(&message, "it has ", names.empty() ? "none" : absl::StrJoin(names, ", "));
  if (more > 0) absl::StrAppend(&message, " and ", more, " more");
  return absl::NotFoundError(message);
}

absl::Status CheckItem(HubClient* hub, uint64_t run, const std::string& step,
                       const std::string& item) {
  v1::LocateValueRequest request;
  request.set_run(run);
  request.set_name(step);
  request.set_item(item);
  absl::Status status = hub->LocateValue(request).status();
  return absl::IsInvalidArgument(status) ? std::move(status) : absl::OkStatus();
}

absl::Status SayMore(absl::Status refused, HubClient* hub, uint64_t run, const std::string& step,
                     const std::string& item) {
  if (step.empty() || absl::IsUnavailable(refused)) return refused;
  const absl::StatusOr<v1::RunStatus> status = hub->GetRun(run);
  if (!status.ok()) return refused;  // There is no such run, which has been said.
  RETURN_IF_ERROR(CheckStep(*status, step));
  if (!item.empty()) {
    RETURN_IF_ERROR(CheckItem(hub, run, step, item));
  }
  return refused;
}

}  // namespace bue::cli
