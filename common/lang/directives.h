// Directives: `!scope`, `!priority`, `!timeout` … and their old forms `$ name`, `!9`, `@ …`. Parses
// one, and lays those of a file, a loop's body and a definition over each other.
// Pure functions and plain data.
#ifndef BUE_COMMON_LANG_DIRECTIVES_H_
#define BUE_COMMON_LANG_DIRECTIVES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/lang/compiler.h"
#include "common/lang/expression.h"
#include "common/program/program.h"

namespace bue::lang {

// What one place says; what it leaves open comes from the place around it.
struct Directives {
  std::optional<std::string> scope;
  std::optional<int32_t> priority;
  std::optional<Number> timeout;
  std::optional<int64_t> retries;
  std::optional<double> backoff;
  std::optional<double> poll;
  std::optional<uint64_t> max_handbacks;
  std::optional<Mode> mode;
  std::optional<Limit> max_running;
  std::optional<uint64_t> queue;
  std::optional<Limit> rate;
  std::optional<bool> stop_on_error;
  std::optional<bool> refill;

  // Sets in `step` what is set here. `!mode` and `!refill` are left out of SQL steps.
  void ApplyTo(Step* step) const;
};

enum class DirectiveKind : uint8_t {
  kScope,
  kOldScope,  // `$ name`: a scope like `!scope`, but at file level it counts in order.
  kPriority,
  kTimeout,
  kRetries,
  kBackoff,
  kPoll,
  kMaxHandbacks,
  kMode,
  kMaxRunning,
  kQueue,
  kRate,
  kOnError,
  kRefill,
  kOldVelocity,  // `@ …`: has never had an effect.
};

struct ParsedDirective {
  bool ok = false;
  DirectiveKind kind = DirectiveKind::kScope;
  std::string name;      // As people write it: `!scope`, `$`.
  bool repeats = false;  // `into` had a value of this kind already; the new one has replaced it.
  // What is wrong, if not ok, and where: a byte of the text.
  size_t error_at = 0;
  std::string error;
  std::string hint;
};

// Parses `text`, which begins with `!`, `$` or `@` and holds one directive, and sets it in `into`.
ParsedDirective ParseDirective(absl::string_view text, const CompileLimits& limits,
                               Directives* into);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_DIRECTIVES_H_
