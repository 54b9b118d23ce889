#include "worker/core/output_echo.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bue::worker {
namespace {

// Of a call that prints more, the middle is left out in the end: what comes later waits for it.
constexpr size_t kWhileRunningMax = 32 << 10;

}  // namespace

void OutputEcho::Started(const std::vector<Call>& calls) {
  for (const Call& call : calls) {
    std::string label = call.step->step.name;
    if (!call.task.item.empty()) absl::StrAppend(&label, "[", call.task.item, "]");
    running_[call.lease] = {.label = absl::StrCat(label, ": ")};
  }
}

void OutputEcho::Look(const std::function<std::string(uint64_t lease)>& output) {
  for (auto& [lease, printed] : running_) {
    const std::string text = output(lease);
    const absl::string_view sure = absl::string_view(text).substr(0, kWhileRunningMax);
    const size_t end = sure.rfind('\n');
    if (end == absl::string_view::npos || end < printed.bytes) continue;
    WriteLines(printed.label, sure.substr(printed.bytes, end + 1 - printed.bytes));
    printed.bytes = end + 1;
  }
}

void OutputEcho::Ended(const CallResult& result) {
  const auto found = running_.find(result.lease);
  if (found == running_.end()) return;
  const Printed printed = std::move(found->second);
  running_.erase(found);
  WriteLines(
      printed.label,
      absl::string_view(result.output).substr(std::min(printed.bytes, result.output.size())));
}

void OutputEcho::WriteLines(const std::string& label, absl::string_view text) const {
  std::string lines;
  while (!text.empty()) {
    const absl::string_view line = text.substr(0, text.find('\n'));
    absl::StrAppend(&lines, label, line, "\n");
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  if (!lines.empty()) write_(lines);
}

}  // namespace bue::worker
