#include "cli/task_inputs.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/text.h"

namespace bue::cli {
namespace {

constexpr char kNone[] = "None";
constexpr char kNumber[] = "number";
constexpr char kLoop[] = "loop";
constexpr int kShownInLine = 8;
constexpr size_t kNameShown = 60;

bool IsNone(const v1::TaskInput& input) {
  return input.kind() == v1::InputColumn::VALUES && input.address() == 0;
}

// "4", or "400-499".
std::string Stretch(const v1::TaskInput& input) {
  if (input.count() == 0) return absl::StrCat(input.first());
  return absl::StrCat(input.first(), "-", input.first() + (input.count() - 1));
}

// Digits only: nothing around them, no sign.
template <typename Int>
bool ParseDigits(absl::string_view text, Int* value) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, value);
}

bool ParseAddress(absl::string_view text, uint64_t* address) {
  constexpr size_t kDigitsMax = 16;
  return text.size() <= kDigitsMax && !text.empty() &&
         std::all_of(text.begin(), text.end(), absl::ascii_isxdigit) &&
         absl::SimpleHexAtoi(text, address) && *address != 0;
}

bool ParseStretch(absl::string_view text, v1::TaskInput* input) {
  const std::pair<absl::string_view, absl::string_view> ends =
      absl::StrSplit(text, absl::MaxSplits('-', 1));
  uint64_t first = 0;
  if (!ParseDigits(ends.first, &first)) return false;
  input->set_first(first);
  if (!absl::StrContains(text, '-')) return true;
  uint64_t last = 0;
  if (!ParseDigits(ends.second, &last) || last < first ||
      last - first >= std::numeric_limits<uint32_t>::max()) {
    return false;
  }
  input->set_count(static_cast<uint32_t>(last - first + 1));
  return true;
}

bool Parse(absl::string_view key, v1::TaskInput* input) {
  if (key == kNone) return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(key, ':');
  if (parts[0] == kNumber) {
    input->set_kind(v1::InputColumn::RANGE);
    return parts.size() == 2 && ParseStretch(parts[1], input);
  }
  if (parts[0] == kLoop) {
    uint64_t instance = 0;
    uint32_t node = 0;
    if (parts.size() != 3 || !ParseDigits(parts[1], &instance) || !ParseDigits(parts[2], &node)) {
      return false;
    }
    input->set_kind(v1::InputColumn::FAN_IN);
    input->set_instance(instance);
    input->set_node(node);
    return true;
  }
  uint64_t address = 0;
  if (!ParseAddress(parts[0], &address)) return false;
  input->set_address(address);
  if (parts.size() == 1) return true;
  input->set_kind(v1::InputColumn::ELEMENTS);
  return parts.size() == 2 && ParseStretch(parts[1], input);
}

absl::string_view KindName(const v1::TaskInput& input) {
  switch (input.kind()) {
    case v1::InputColumn::ELEMENTS:
      return input.count() == 0 ? "element" : "elements";
    case v1::InputColumn::RANGE:
      return input.count() == 0 ? "number" : "numbers";
    case v1::InputColumn::FAN_IN:
      return "loop";
    case v1::InputColumn::VALUES:
    case v1::InputColumn_Kind_InputColumn_Kind_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::InputColumn_Kind_InputColumn_Kind_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return "value";
}

}  // namespace

std::string KeyOf(const v1::TaskInput& input) {
  if (IsNone(input)) return kNone;
  switch (input.kind()) {
    case v1::InputColumn::ELEMENTS:
      return absl::StrCat(absl::Hex(input.address()), ":", Stretch(input));
    case v1::InputColumn::RANGE:
      return absl::StrCat(kNumber, ":", Stretch(input));
    case v1::InputColumn::FAN_IN:
      return absl::StrCat(kLoop, ":", input.instance(), ":", input.node());
    case v1::InputColumn::VALUES:
    case v1::InputColumn_Kind_InputColumn_Kind_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::InputColumn_Kind_InputColumn_Kind_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return absl::StrCat(absl::Hex(input.address()));
}

absl::StatusOr<v1::TaskInput> ParseInputKey(absl::string_view key) {
  v1::TaskInput input;
  if (Parse(key, &input)) return input;
  return absl::InvalidArgumentError(
      absl::StrCat("'", OneLine(std::string(key), kNameShown),
                   "' is no key of an input; one looks like 1000000000abc, 1000000000abc:4, "
                   "1000000000abc:400-499, loop:3:7, number:4 or None. bue errors shows them"));
}

std::string InputsLine(const v1::ErrorRecord& error) {
  if (!error.has_inputs()) return "";
  const v1::TaskInputs& inputs = error.inputs();
  std::vector<std::string> shown;
  std::string example;
  for (const v1::TaskInput& input : inputs.shown()) {
    if (shown.size() == kShownInLine) break;
    const std::string key = KeyOf(input);
    const absl::string_view all = input.kind() == v1::InputColumn::FAN_IN ? "all of " : "";
    shown.push_back(input.from().empty()
                        ? key
                        : absl::StrCat(key, " (", all, OneLine(input.from(), kNameShown), ")"));
    const bool lies_somewhere = input.kind() != v1::InputColumn::RANGE && !IsNone(input);
    if (example.empty() && lies_somewhere) example = key;
  }
  if (shown.empty()) return "inputs: none";
  std::string line = absl::StrCat("inputs: ", absl::StrJoin(shown, ", "));
  const uint64_t more = inputs.shown_size() - shown.size() + inputs.others();
  if (more > 0) absl::StrAppend(&line, " and ", more, " more");
  if (example.empty()) return line;
  return absl::StrCat(line, "; bue get ", RunName(error.run()), " --input ", example,
                      " prints that one");
}

Json InputsJson(const v1::ErrorRecord& error) {
  if (!error.has_inputs()) return nullptr;
  Json list = Json::array();
  for (const v1::TaskInput& input : error.inputs().shown()) {
    list.push_back(Json{{"key", KeyOf(input)},
                        {"kind", std::string(KindName(input))},
                        {"from", input.from().empty() ? Json(nullptr) : Json(input.from())}});
  }
  return list;
}

}  // namespace bue::cli
