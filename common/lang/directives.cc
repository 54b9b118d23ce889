#include "common/lang/directives.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/lang/source_text.h"
#include "common/lang/suggestion.h"
#include "common/status_macros.h"

namespace bue::lang {
namespace {

constexpr double kLongestSeconds = 30.0 * 24 * 3600;

constexpr std::pair<absl::string_view, DirectiveKind> kKinds[] = {
    {"scope", DirectiveKind::kScope},
    {"priority", DirectiveKind::kPriority},
    {"timeout", DirectiveKind::kTimeout},
    {"retries", DirectiveKind::kRetries},
    {"backoff", DirectiveKind::kBackoff},
    {"poll", DirectiveKind::kPoll},
    {"max_handbacks", DirectiveKind::kMaxHandbacks},
    {"mode", DirectiveKind::kMode},
    {"max_running", DirectiveKind::kMaxRunning},
    {"queue", DirectiveKind::kQueue},
    {"rate", DirectiveKind::kRate},
    {"on_error", DirectiveKind::kOnError},
    {"refill", DirectiveKind::kRefill},
};

absl::Status Wrong(absl::string_view value, absl::string_view allowed) {
  if (value.empty()) return absl::InvalidArgumentError(absl::StrCat("needs a value: ", allowed));
  return absl::InvalidArgumentError(absl::StrCat("cannot be '", value, "', allowed: ", allowed));
}

// As Python's int() reads it: `9`, `-2`, `+3`, `1_000`.
absl::StatusOr<int64_t> ParseInteger(absl::string_view text, int64_t least, int64_t most,
                                     absl::string_view allowed) {
  const bool negative = absl::StartsWith(text, "-");
  const bool has_sign = negative || absl::StartsWith(text, "+");
  const absl::string_view digits = text.substr(has_sign ? 1 : 0);
  const std::optional<uint64_t> magnitude = ParseWholeNumber(digits);
  if (!magnitude && !digits.empty() && absl::c_all_of(digits, absl::ascii_isdigit)) {
    return Wrong(text, absl::StrCat(allowed, ", up to ", most));  // It is one, but too large.
  }
  if (!magnitude) return Wrong(text, allowed);
  const auto value = static_cast<int64_t>(*magnitude) * (negative ? -1 : 1);
  if (value < least || value > most) return Wrong(text, allowed);
  return value;
}

absl::StatusOr<uint64_t> ParseCount(absl::string_view text, uint64_t least) {
  const absl::string_view allowed =
      least == 0 ? "a whole number, 0 or more" : "a whole number above 0";
  ASSIGN_OR_RETURN(const int64_t count, ParseInteger(text, static_cast<int64_t>(least),
                                                     std::numeric_limits<int64_t>::max(), allowed));
  return static_cast<uint64_t>(count);
}

absl::StatusOr<Number> ParseSeconds(absl::string_view text, bool zero_allowed) {
  if (text.empty()) return Wrong(text, "seconds, such as 20 * 60");
  absl::StatusOr<Number> seconds = Evaluate(text);
  if (!seconds.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot be '", text, "': ", seconds.status().message()));
  }
  const bool high_enough = zero_allowed ? seconds->value >= 0 : seconds->value > 0;
  if (high_enough && seconds->value <= kLongestSeconds) return *std::move(seconds);
  return absl::InvalidArgumentError(absl::StrCat("is ", seconds->text,
                                                 " seconds: ", zero_allowed ? "from 0" : "above 0",
                                                 " up to 30 days (2592000) are allowed"));
}

absl::StatusOr<std::string> ParseWord(absl::string_view text, const CompileLimits& limits) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = TrimBlanks(text.substr(1, text.size() - 2));
  }
  if (text.empty() || text.find_first_of("\"`") != absl::string_view::npos) {
    return Wrong(text, "a word");
  }
  if (CountCharacters(text) > limits.name_characters) {
    return absl::InvalidArgumentError(
        absl::StrCat("is longer than ", limits.name_characters, " characters"));
  }
  return std::string(text);
}

// Cuts the first word off `*text`.
absl::string_view TakeWord(absl::string_view* text) {
  *text = TrimBlanks(*text);
  size_t end = 0;
  while (end < text->size() && !IsBlank((*text)[end])) ++end;
  const absl::string_view word = text->substr(0, end);
  *text = TrimBlanks(text->substr(end));
  return word;
}

// `[key WORD | by ARG]` behind a limit.
absl::Status ParseSharing(absl::string_view text, const CompileLimits& limits, Limit* limit) {
  if (text.empty()) return absl::OkStatus();
  const absl::string_view all = text;
  const absl::string_view how = TakeWord(&text);
  if ((how != "key" && how != "by") || text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has '", all, "' behind the number: allowed are `key WORD` and `by ARGUMENT`"));
  }
  const absl::string_view other = how == "key" ? " by " : " key ";
  if (absl::StrContains(absl::StrCat(text, " "), other)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has '", all, "' behind the number: it is shared by a key or goes by a value, ",
        "not both"));
  }
  ASSIGN_OR_RETURN((how == "key" ? limit->key : limit->by), ParseWord(text, limits));
  return absl::OkStatus();
}

absl::StatusOr<Limit> ParseMaxRunning(absl::string_view text, const CompileLimits& limits) {
  Limit limit;
  const absl::string_view count = TakeWord(&text);
  ASSIGN_OR_RETURN(limit.count, ParseCount(count, 1));
  RETURN_IF_ERROR(ParseSharing(text, limits, &limit));
  return limit;
}

// People try what the other limits take.
absl::StatusOr<uint64_t> ParseQueue(absl::string_view text) {
  absl::string_view sharing = text;
  TakeWord(&sharing);
  if (absl::StartsWith(sharing, "key ") || absl::StartsWith(sharing, "by ")) {
    return absl::InvalidArgumentError(
        absl::StrCat("has '", sharing, "' behind the number: a queue has no key and goes by no ",
                     "value, allowed: a whole number above 0"));
  }
  return ParseCount(text, 1);
}

absl::StatusOr<double> SecondsOfUnit(absl::string_view unit) {
  if (unit == "s") return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  return absl::InvalidArgumentError(
      absl::StrCat("has the unit '", unit, "': allowed are s, m and h, as in `10/s`"));
}

// "0.5/s is 30/m": the same rate per a longer time, in whole numbers. Empty: there is none.
std::string InWholeNumbers(absl::string_view count, absl::string_view unit) {
  double starts = 0;
  const absl::StatusOr<double> seconds = SecondsOfUnit(unit);
  if (!seconds.ok() || !absl::SimpleAtod(count, &starts)) return "";
  for (const absl::string_view longer : {"m", "h"}) {
    const double of_longer = starts * (*SecondsOfUnit(longer) / *seconds);
    if (!(of_longer >= 1 && of_longer < 1e9)) continue;
    const double whole = std::round(of_longer);
    if (std::abs(of_longer - whole) > 1e-6) continue;
    return absl::StrCat("; ", count, "/", unit, " is ", static_cast<uint64_t>(whole), "/", longer);
  }
  return "";
}

absl::StatusOr<Limit> ParseRate(absl::string_view text, const CompileLimits& limits) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return Wrong(text, "starts per unit, such as 10/s or 90/m");
  Limit limit;
  const absl::string_view number = TrimBlanks(text.substr(0, slash));
  absl::string_view rest = text.substr(slash + 1);
  const absl::string_view unit = TakeWord(&rest);
  const absl::StatusOr<uint64_t> count = ParseCount(number, 1);
  if (!count.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(count.status().message(), InWholeNumbers(number, unit)));
  }
  limit.count = *count;
  ASSIGN_OR_RETURN(limit.per_seconds, SecondsOfUnit(unit));
  RETURN_IF_ERROR(ParseSharing(rest, limits, &limit));
  return limit;
}

absl::StatusOr<Mode> ParseMode(absl::string_view text) {
  if (text == "async") return Mode::kAsync;
  if (text == "thread") return Mode::kThread;
  if (text == "process") return Mode::kProcess;
  return Wrong(text, "async, thread or process");
}

absl::StatusOr<bool> ParseStopOnError(absl::string_view text) {
  if (text == "stop") return true;
  if (text == "continue") return false;
  return Wrong(text, "continue or stop");
}

// Puts `value` into `slot`, remembering whether there was one.
template <typename T, typename U>
absl::Status Set(absl::StatusOr<T> value, std::optional<U>* slot, bool* repeats) {
  RETURN_IF_ERROR(value.status());
  *repeats = slot->has_value();
  *slot = *std::move(value);
  return absl::OkStatus();
}

absl::StatusOr<double> ParseWait(absl::string_view text) {
  ASSIGN_OR_RETURN(const Number seconds, ParseSeconds(text, /*zero_allowed=*/true));
  return seconds.value;
}

absl::StatusOr<int32_t> ParsePriority(absl::string_view text) {
  ASSIGN_OR_RETURN(
      const int64_t priority,
      ParseInteger(text, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(),
                   "a whole number of 32 bits, higher goes first"));
  return static_cast<int32_t>(priority);
}

absl::StatusOr<bool> ParseRefill(absl::string_view text) {
  if (!text.empty())
    return absl::InvalidArgumentError(absl::StrCat("takes no value, not '", text, "'"));
  return true;
}

absl::Status ParseValue(DirectiveKind kind, absl::string_view text, const CompileLimits& limits,
                        Directives* into, bool* repeats) {
  switch (kind) {
    case DirectiveKind::kScope:
    case DirectiveKind::kOldScope:
      return Set(ParseWord(text, limits), &into->scope, repeats);
    case DirectiveKind::kPriority:
      return Set(ParsePriority(text), &into->priority, repeats);
    case DirectiveKind::kTimeout:
      return Set(ParseSeconds(text, /*zero_allowed=*/false), &into->timeout, repeats);
    case DirectiveKind::kRetries:
      return Set(ParseInteger(text, -1, std::numeric_limits<int64_t>::max(),
                              "a whole number, -1 (for ever) or more"),
                 &into->retries, repeats);
    case DirectiveKind::kBackoff:
      return Set(ParseWait(text), &into->backoff, repeats);
    case DirectiveKind::kPoll:
      return Set(ParseWait(text), &into->poll, repeats);
    case DirectiveKind::kMaxHandbacks:
      return Set(ParseCount(text, 0), &into->max_handbacks, repeats);
    case DirectiveKind::kMode:
      return Set(ParseMode(text), &into->mode, repeats);
    case DirectiveKind::kMaxRunning:
      return Set(ParseMaxRunning(text, limits), &into->max_running, repeats);
    case DirectiveKind::kQueue:
      return Set(ParseQueue(text), &into->queue, repeats);
    case DirectiveKind::kRate:
      return Set(ParseRate(text, limits), &into->rate, repeats);
    case DirectiveKind::kOnError:
      return Set(ParseStopOnError(text), &into->stop_on_error, repeats);
    case DirectiveKind::kRefill:
      return Set(ParseRefill(text), &into->refill, repeats);
    case DirectiveKind::kOldVelocity:
      return absl::OkStatus();
  }
  return absl::InternalError("no such directive");
}

// What is written in front of a directive's value.
struct Head {
  bool known = true;
  DirectiveKind kind;
  std::string name;
  size_t length;  // Up to the value.
};

Head ParseHead(absl::string_view text) {
  if (text[0] == '$') return {true, DirectiveKind::kOldScope, "$", 1};
  if (text[0] == '@') return {true, DirectiveKind::kOldVelocity, "@", 1};
  size_t end = 1;
  while (end < text.size() && (absl::ascii_isalnum(text[end]) || text[end] == '_')) ++end;
  const absl::string_view word = text.substr(1, end - 1);
  if (word.empty() || absl::ascii_isdigit(word[0])) return {true, DirectiveKind::kPriority, "!", 1};
  for (const auto& [name, kind] : kKinds) {
    if (word == name) return {true, kind, absl::StrCat("!", name), end};
  }
  // None has a hyphen, but people write one.
  while (end < text.size() &&
         (absl::ascii_isalnum(text[end]) || text[end] == '_' || text[end] == '-')) {
    ++end;
  }
  return {false, DirectiveKind::kScope, absl::StrCat("!", text.substr(1, end - 1)), end};
}

std::string UnknownDirectiveHint(absl::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, kind] : kKinds) names.push_back(absl::StrCat("!", known));
  const std::vector<absl::string_view> candidates(names.begin(), names.end());
  std::string all = "there are";
  for (const absl::string_view candidate : candidates) absl::StrAppend(&all, " ", candidate);
  // `!priority9`: a blank is missing.
  const absl::string_view letters = name.substr(0, name.find_last_not_of("0123456789_") + 1);
  return DidYouMean(letters, candidates,
                    absl::c_linear_search(candidates, letters)
                        ? absl::StrCat("a blank is missing behind `", letters, "`")
                        : all);
}

}  // namespace

void Directives::ApplyTo(Step* step) const {
  if (scope) step->scope = *scope;
  if (priority) step->priority = *priority;
  if (timeout) step->timeout_s = timeout->value;
  if (timeout) step->timeout_text = timeout->text;
  if (retries) step->retries = *retries;
  if (backoff) step->backoff_s = *backoff;
  if (poll) step->poll_s = *poll;
  if (max_handbacks) step->max_handbacks = *max_handbacks;
  if (max_running) step->max_running = *max_running;
  if (queue) step->queue = *queue;
  if (rate) step->rate = *rate;
  if (stop_on_error) step->stop_on_error = *stop_on_error;
  if (step->language != Language::kPython) return;
  if (mode) step->mode = *mode;
  if (refill) step->refill = *refill;
}

ParsedDirective ParseDirective(absl::string_view text, const CompileLimits& limits,
                               Directives* into) {
  const Head head = ParseHead(text);
  ParsedDirective parsed{.kind = head.kind, .name = head.name};
  if (!head.known) {
    parsed.error = absl::StrCat("unknown directive '", head.name, "'");
    parsed.hint = UnknownDirectiveHint(head.name);
    return parsed;
  }
  const absl::string_view value = TrimBlanks(text.substr(head.length));
  const absl::Status status = ParseValue(head.kind, value, limits, into, &parsed.repeats);
  parsed.ok = status.ok();
  if (!parsed.ok) {
    parsed.error_at = value.empty() ? 0 : value.data() - text.data();
    const absl::string_view name = head.name == "!"   ? "a priority (`!N`)"
                                   : head.name == "$" ? "a scope (`$ name`)"
                                                      : absl::string_view(head.name);
    parsed.error = absl::StrCat(name, " ", status.message());
  }
  return parsed;
}

}  // namespace bue::lang
