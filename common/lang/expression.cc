#include "common/lang/expression.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/lang/source_text.h"
#include "common/status_macros.h"

namespace bue::lang {
namespace {

constexpr size_t kLongestExpression = 1000;
constexpr int kDeepest = 100;  // Of parentheses and signs.

__extension__ using Integer = __int128;
using Value = std::variant<Integer, double>;

bool IsInteger(const Value& value) { return std::holds_alternative<Integer>(value); }

double AsFloat(const Value& value) {
  return IsInteger(value) ? static_cast<double>(std::get<Integer>(value)) : std::get<double>(value);
}

absl::Status TooLarge() { return absl::InvalidArgumentError("the number gets too large"); }
absl::Status DivisionByZero() { return absl::InvalidArgumentError("division by zero"); }

absl::StatusOr<Value> Float(double value) {
  if (!std::isfinite(value)) return TooLarge();
  return Value(value);
}

absl::StatusOr<Value> Add(const Value& a, const Value& b) {
  if (!IsInteger(a) || !IsInteger(b)) return Float(AsFloat(a) + AsFloat(b));
  Integer sum;
  if (__builtin_add_overflow(std::get<Integer>(a), std::get<Integer>(b), &sum)) return TooLarge();
  return Value(sum);
}

absl::StatusOr<Value> Subtract(const Value& a, const Value& b) {
  if (!IsInteger(a) || !IsInteger(b)) return Float(AsFloat(a) - AsFloat(b));
  Integer difference;
  if (__builtin_sub_overflow(std::get<Integer>(a), std::get<Integer>(b), &difference)) {
    return TooLarge();
  }
  return Value(difference);
}

absl::StatusOr<Value> Multiply(const Value& a, const Value& b) {
  if (!IsInteger(a) || !IsInteger(b)) return Float(AsFloat(a) * AsFloat(b));
  Integer product;
  if (__builtin_mul_overflow(std::get<Integer>(a), std::get<Integer>(b), &product)) {
    return TooLarge();
  }
  return Value(product);
}

absl::StatusOr<Value> Divide(const Value& a, const Value& b) {
  if (AsFloat(b) == 0) return DivisionByZero();
  if (!IsInteger(a) || !IsInteger(b)) return Float(AsFloat(a) / AsFloat(b));
  // Rounded once from 64 bits: as exact as Python's up to 2^64.
  const auto quotient = static_cast<long double>(std::get<Integer>(a)) /
                        static_cast<long double>(std::get<Integer>(b));
  return Float(static_cast<double>(quotient));
}

// Quotient rounded down, and the remainder with the divisor's sign.
struct Division {
  Value quotient;
  Value remainder;
};

Division DivideIntegers(Integer a, Integer b) {
  Integer quotient = a / b;
  Integer remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    remainder += b;
    --quotient;
  }
  return {Value(quotient), Value(remainder)};
}

// CPython's float_divmod.
Division DivideFloats(double a, double b) {
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  } else if ((b < 0) != (remainder < 0)) {
    remainder += b;
    quotient -= 1;
  }
  double floored = std::floor(quotient);
  if (quotient - floored > 0.5) floored += 1;
  if (quotient == 0) floored = std::copysign(0.0, a / b);
  return {Value(floored), Value(remainder)};
}

absl::StatusOr<Division> DivideWithRemainder(const Value& a, const Value& b) {
  if (AsFloat(b) == 0) return DivisionByZero();
  if (IsInteger(a) && IsInteger(b) && std::get<Integer>(b) == -1) {  // The smallest one overflows.
    ASSIGN_OR_RETURN(const Value negated, Subtract(Value(Integer{0}), a));
    return Division{negated, Value(Integer{0})};
  }
  if (IsInteger(a) && IsInteger(b)) {
    return DivideIntegers(std::get<Integer>(a), std::get<Integer>(b));
  }
  const Division division = DivideFloats(AsFloat(a), AsFloat(b));
  RETURN_IF_ERROR(Float(AsFloat(division.quotient)).status());
  return division;
}

absl::StatusOr<Value> IntegerPower(Integer base, Integer exponent) {
  Value result(Integer{1});
  Value square(base);
  while (true) {
    if (exponent & 1) {
      ASSIGN_OR_RETURN(result, Multiply(result, square));
    }
    exponent >>= 1;
    if (exponent == 0) return result;
    ASSIGN_OR_RETURN(square, Multiply(square, square));
  }
}

absl::StatusOr<Value> Power(const Value& base, const Value& exponent) {
  if (IsInteger(base) && IsInteger(exponent) && std::get<Integer>(exponent) >= 0) {
    return IntegerPower(std::get<Integer>(base), std::get<Integer>(exponent));
  }
  const double b = AsFloat(base);
  const double e = AsFloat(exponent);
  if (b == 0 && e < 0) return DivisionByZero();
  if (b < 0 && e != std::floor(e)) {
    return absl::InvalidArgumentError("a negative number has no such power");
  }
  return Float(std::pow(b, e));
}

std::string IntegerText(Integer value) {
  if (value == 0) return "0";
  std::string digits;
  for (Integer left = value; left != 0; left /= 10) {
    const int digit = static_cast<int>(left % 10);
    digits.insert(digits.begin(), static_cast<char>('0' + std::abs(digit)));
  }
  return value < 0 ? "-" + digits : digits;
}

// Recursive descent over one expression. Every method leaves at_ behind what it read.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<Value> Parse() {
    ASSIGN_OR_RETURN(Value value, Sum());
    if (Next() != '\0') return Unexpected();
    return value;
  }

 private:
  // The next character that is no blank, '\0' at the end.
  char Next() {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool Take(absl::string_view token) {
    Next();
    if (!absl::StartsWith(text_.substr(at_), token)) return false;
    at_ += token.size();
    return true;
  }

  absl::Status Unexpected() {
    if (Next() == '\0') return absl::InvalidArgumentError("a number is missing at the end");
    absl::string_view rest = text_.substr(at_);
    return absl::InvalidArgumentError(absl::StrCat("unexpected '", rest, "'"));
  }

  absl::StatusOr<Value> Sum() {
    ASSIGN_OR_RETURN(Value value, Term());
    while (true) {
      if (Take("+")) {
        ASSIGN_OR_RETURN(const Value right, Term());
        ASSIGN_OR_RETURN(value, Add(value, right));
      } else if (Take("-")) {
        ASSIGN_OR_RETURN(const Value right, Term());
        ASSIGN_OR_RETURN(value, Subtract(value, right));
      } else {
        return value;
      }
    }
  }

  absl::StatusOr<Value> Term() {
    ASSIGN_OR_RETURN(Value value, Unary());
    while (true) {
      if (Take("//")) {
        ASSIGN_OR_RETURN(const Value right, Unary());
        ASSIGN_OR_RETURN(const Division division, DivideWithRemainder(value, right));
        value = division.quotient;
      } else if (Take("/")) {
        ASSIGN_OR_RETURN(const Value right, Unary());
        ASSIGN_OR_RETURN(value, Divide(value, right));
      } else if (Take("%")) {
        ASSIGN_OR_RETURN(const Value right, Unary());
        ASSIGN_OR_RETURN(const Division division, DivideWithRemainder(value, right));
        value = division.remainder;
      } else if (Take("*")) {  // Power() has taken every `**`.
        ASSIGN_OR_RETURN(const Value right, Unary());
        ASSIGN_OR_RETURN(value, Multiply(value, right));
      } else {
        return value;
      }
    }
  }

  absl::StatusOr<Value> Unary() {
    if (++depth_ > kDeepest) return absl::InvalidArgumentError("it is nested too deeply");
    absl::StatusOr<Value> value = SignedOrPower();
    --depth_;
    return value;
  }

  absl::StatusOr<Value> SignedOrPower() {
    if (Take("+")) return Unary();
    if (!Take("-")) return PowerOfAtom();
    ASSIGN_OR_RETURN(const Value value, Unary());
    if (!IsInteger(value)) return Value(-std::get<double>(value));
    return Subtract(Value(Integer{0}), value);
  }

  absl::StatusOr<Value> PowerOfAtom() {
    ASSIGN_OR_RETURN(const Value base, Atom());
    if (!Take("**")) return base;
    ASSIGN_OR_RETURN(const Value exponent, Unary());
    return Power(base, exponent);
  }

  absl::StatusOr<Value> Atom() {
    if (Take("(")) {
      ASSIGN_OR_RETURN(const Value value, Sum());
      if (Next() == '\0') return absl::InvalidArgumentError("a ')' is missing");
      if (!Take(")")) return Unexpected();
      return value;
    }
    return Literal();
  }

  absl::StatusOr<Value> Literal() {
    const char first = Next();
    if (!absl::ascii_isdigit(first) && first != '.') return Unexpected();
    const size_t begin = at_;
    while (at_ < text_.size() && (absl::ascii_isdigit(text_[at_]) || text_[at_] == '.')) ++at_;
    const absl::string_view digits = text_.substr(begin, at_ - begin);
    if (absl::StrContains(digits, '.')) return FloatLiteral(digits);
    return IntegerLiteral(digits);
  }

  static absl::StatusOr<Value> FloatLiteral(absl::string_view digits) {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::result_out_of_range) return TooLarge();
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return absl::InvalidArgumentError(absl::StrCat("'", digits, "' is not a number"));
    }
    return Value(value);
  }

  static absl::StatusOr<Value> IntegerLiteral(absl::string_view digits) {
    Value value(Integer{0});
    for (const char digit : digits) {
      ASSIGN_OR_RETURN(value, Multiply(value, Value(Integer{10})));
      ASSIGN_OR_RETURN(value, Add(value, Value(static_cast<Integer>(digit - '0'))));
    }
    if (digits.size() > 1 && digits[0] == '0' && std::get<Integer>(value) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", digits, "' begins with a zero"));
    }
    return value;
  }

  const absl::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

absl::StatusOr<Number> Evaluate(absl::string_view expression) {
  if (expression.size() > kLongestExpression) {
    return absl::InvalidArgumentError(
        absl::StrCat("the expression is longer than ", kLongestExpression, " characters"));
  }
  ASSIGN_OR_RETURN(const Value value, Parser(expression).Parse());
  return Number{AsFloat(value), IsInteger(value) ? IntegerText(std::get<Integer>(value))
                                                 : PythonFloat(std::get<double>(value))};
}

std::optional<uint64_t> ParseWholeNumber(absl::string_view text) {
  std::string digits;
  bool after_digit = false;
  for (const char c : text) {
    if (c == '_' ? !after_digit : !absl::ascii_isdigit(c)) return std::nullopt;
    after_digit = c != '_';
    if (after_digit) digits.push_back(c);
  }
  int64_t value = 0;
  if (!after_digit || !absl::SimpleAtoi(digits, &value)) return std::nullopt;
  return static_cast<uint64_t>(value);
}

std::string PythonFloat(double value) {
  char buffer[64];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const absl::string_view text(buffer, scientific.ptr - buffer);
  const int exponent = std::atoi(std::string(text.substr(text.find('e') + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(text);
  const auto plain =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string fixed(buffer, plain.ptr);
  return absl::StrContains(fixed, '.') ? fixed : fixed + ".0";
}

}  // namespace bue::lang
