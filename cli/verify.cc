#include "cli/verify.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

std::string ToJson(const VerifyReport& report) {
  nlohmann::ordered_json json;
  json["role"] = report.role;
  json["directory"] = report.directory;
  json["ok"] = report.ok();
  json["format"] = nullptr;
  if (report.format != 0) json["format"] = report.format;
  json["in_use_by"] = nullptr;
  if (!report.in_use_by.empty()) json["in_use_by"] = report.in_use_by;
  json["looked_at"] = nlohmann::ordered_json::object();
  for (const VerifyReport::Count& count : report.looked_at) {
    json["looked_at"][count.what] = count.count;
  }
  json["notes"] = report.notes;
  json["problems"] = nlohmann::ordered_json::array();
  for (const VerifyReport::Problem& problem : report.problems) {
    json["problems"].push_back(
        {{"place", problem.place}, {"problem", problem.problem}, {"remedy", problem.remedy}});
  }
  json["problems_left_out"] = report.problems_left_out;
  // Names and messages can hold any bytes.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string ToText(const VerifyReport& report) {
  std::string text = absl::StrCat(report.role, " data in ", report.directory);
  if (report.format != 0) absl::StrAppend(&text, ", format ", report.format);
  if (!report.in_use_by.empty()) {
    absl::StrAppend(&text, ", in use by ", report.in_use_by, " (looked at as it was just now)");
  }
  absl::StrAppend(&text, "\n");
  for (const VerifyReport::Count& count : report.looked_at) {
    const bool bytes = absl::EndsWith(count.what, "bytes");
    absl::StrAppendFormat(&text, "%14s  %s\n",
                          bytes ? HumanBytes(count.count) : absl::StrCat(count.count), count.what);
  }
  for (const std::string& note : report.notes) absl::StrAppend(&text, "note: ", note, "\n");
  for (const VerifyReport::Problem& problem : report.problems) {
    absl::StrAppend(&text, Paint(Colour::kRed, "problem: "), problem.place, ": ", problem.problem,
                    "\n  remedy: ", problem.remedy, "\n");
  }
  const uint64_t problems = report.problems.size() + report.problems_left_out;
  if (report.problems_left_out > 0) {
    absl::StrAppend(&text, report.problems_left_out, " more problems are not shown\n");
  }
  if (problems == 0) return absl::StrCat(text, Paint(Colour::kGreen, "nothing is wrong"), "\n");
  return absl::StrCat(text, problems, problems == 1 ? " problem\n" : " problems\n");
}

}  // namespace

absl::StatusOr<int> PrintVerified(const absl::StatusOr<VerifyReport>& report, bool json) {
  RETURN_IF_ERROR(report.status());
  absl::PrintF("%s%s", json ? ToJson(*report) : ToText(*report), json ? "\n" : "");
  return report->ok() ? kExitOk : kExitFailed;
}

}  // namespace bue::cli
