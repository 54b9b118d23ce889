// The arithmetic of `!timeout`, `!backoff` and `!poll`: `60**2 * 5 / (1 % 2) // (1 + 1 - 1)` is
// 18000.0.
//
//   sum   = term { ("+" | "-") term } ;      term   = unary { ("*" | "/" | "//" | "%") unary } ;
//   unary = ("+" | "-") unary | power ;      power  = atom [ "**" unary ] ;
//   atom  = number | "(" sum ")" ;           number = digits [ "." [ digits ] ] | "." digits ;
//
// It means what Python means: `/` gives a float, `//` rounds down, `%` takes the divisor's sign,
// `-2**2` is -4, integers do not wrap. Integers end at 2^127, where Python's would go on.
// Pure functions.
#ifndef BUE_COMMON_LANG_EXPRESSION_H_
#define BUE_COMMON_LANG_EXPRESSION_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bue::lang {

struct Number {
  double value = 0;
  std::string text;  // As Python prints it: `1200`, `18000.0`, `0.5`.
};

// InvalidArgument says what is wrong: no arithmetic, a division by zero, a number too large.
absl::StatusOr<Number> Evaluate(absl::string_view expression);

// As Python's int() reads a number without a sign: `8`, `1_000`; up to 2^63 - 1.
std::optional<uint64_t> ParseWholeNumber(absl::string_view text);

// As Python's repr shows a float: the shortest text that reads back the same.
std::string PythonFloat(double value);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_EXPRESSION_H_
