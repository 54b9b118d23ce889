// See text.h.
// Stateless.
#include "common/value/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace bue::value {
namespace {

void AppendPadded(int64_t number, int width, std::string* out) {
  char digits[20];
  for (int i = width - 1; i >= 0; --i, number /= 10) {
    digits[i] = static_cast<char>('0' + number % 10);
  }
  out->append(digits, width);
}

void AppendFraction(int64_t microseconds, std::string* out) {
  out->push_back('.');
  AppendPadded(microseconds, 6, out);
}

void AppendOffset(int64_t offset_us, std::string* out) {
  out->push_back(offset_us < 0 ? '-' : '+');
  const int64_t us = std::abs(offset_us);
  const int64_t seconds = us / 1000000;
  AppendPadded(seconds / 3600, 2, out);
  out->push_back(':');
  AppendPadded(seconds / 60 % 60, 2, out);
  if (us % 60000000 == 0) return;
  out->push_back(':');
  AppendPadded(seconds % 60, 2, out);
  if (us % 1000000 != 0) AppendFraction(us % 1000000, out);
}

// Little-endian 32-bit limbs of the payload's absolute value.
std::vector<uint32_t> Magnitude(absl::string_view payload, bool negative) {
  std::vector<uint32_t> limbs((payload.size() + 3) / 4);
  uint32_t carry = negative ? 1 : 0;
  for (size_t i = 0; i < limbs.size() * 4; ++i) {
    uint32_t byte = negative ? 0xff : 0;
    if (i < payload.size()) byte = static_cast<uint8_t>(payload[payload.size() - 1 - i]);
    if (negative) {
      byte = (byte ^ 0xff) + carry;
      carry = byte >> 8;
      byte &= 0xff;
    }
    limbs[i / 4] |= byte << (8 * (i % 4));
  }
  return limbs;
}

uint32_t DivideByBillion(std::vector<uint32_t>* limbs) {
  uint64_t rest = 0;
  for (size_t i = limbs->size(); i-- > 0;) {
    rest = rest << 32 | (*limbs)[i];
    (*limbs)[i] = static_cast<uint32_t>(rest / 1000000000);
    rest %= 1000000000;
  }
  while (!limbs->empty() && limbs->back() == 0) limbs->pop_back();
  return static_cast<uint32_t>(rest);
}

std::string DecimalDigits(std::vector<uint32_t> limbs) {
  std::string reversed;
  do {
    uint32_t part = DivideByBillion(&limbs);
    for (int i = 0; i < 9; ++i, part /= 10) reversed.push_back(static_cast<char>('0' + part % 10));
  } while (!limbs.empty());
  while (reversed.size() > 1 && reversed.back() == '0') reversed.pop_back();
  std::reverse(reversed.begin(), reversed.end());
  return reversed;
}

std::string HexDigits(const std::vector<uint32_t>& limbs) {
  std::string digits;
  for (size_t i = limbs.size(); i-- > 0;) absl::StrAppendFormat(&digits, "%08x", limbs[i]);
  const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  return "0x" + digits.substr(first);
}

}  // namespace

void AppendDouble(double real, std::string* out) {
  if (std::isnan(real)) {
    out->append("nan");
    return;
  }
  if (std::isinf(real)) {
    out->append(real < 0 ? "-inf" : "inf");
    return;
  }
  // Python changes to exponents at 1e16 and below 1e-4.
  const double size = std::abs(real);
  const auto format = size != 0 && (size >= 1e16 || size < 1e-4) ? std::chars_format::scientific
                                                                 : std::chars_format::fixed;
  char buffer[64];
  const char* end = std::to_chars(buffer, buffer + sizeof(buffer), real, format).ptr;
  out->append(buffer, end - buffer);
  if (format == std::chars_format::fixed && std::find(buffer, const_cast<char*>(end), '.') == end) {
    out->append(".0");
  }
}

void AppendIso(const Date& date, std::string* out) {
  AppendPadded(date.year, 4, out);
  out->push_back('-');
  AppendPadded(date.month, 2, out);
  out->push_back('-');
  AppendPadded(date.day, 2, out);
}

void AppendIso(const Time& time, std::string* out) {
  AppendPadded(time.hour, 2, out);
  out->push_back(':');
  AppendPadded(time.minute, 2, out);
  out->push_back(':');
  AppendPadded(time.second, 2, out);
  if (time.microsecond != 0) AppendFraction(time.microsecond, out);
  if (time.aware) AppendOffset(time.offset_us, out);
}

void AppendIso(const DateTime& date_time, char separator, std::string* out) {
  AppendIso(date_time.date, out);
  out->push_back(separator);
  AppendIso(date_time.time, out);
}

void AppendSeconds(const TimeDelta& delta, std::string* out) {
  int64_t seconds = delta.days * 86400 + delta.seconds;
  int64_t microseconds = delta.microseconds;
  const bool negative = seconds < 0;
  if (negative) {
    seconds = -seconds - (microseconds > 0 ? 1 : 0);
    microseconds = microseconds > 0 ? 1000000 - microseconds : 0;
    out->push_back('-');
  }
  absl::StrAppend(out, seconds);
  if (microseconds == 0) return;
  AppendFraction(microseconds, out);
  while (out->back() == '0') out->pop_back();
}

void AppendUuid(absl::string_view bytes, std::string* out) {
  const std::string hex = absl::BytesToHexString(bytes);
  const absl::string_view digits = hex;
  absl::StrAppend(out, digits.substr(0, 8), "-", digits.substr(8, 4), "-", digits.substr(12, 4),
                  "-");
  absl::StrAppend(out, digits.substr(16, 4), "-", digits.substr(20));
}

bool UuidFromText(absl::string_view text, std::string* bytes) {
  std::string hex;
  for (char c : text) {
    if (c == '-') continue;
    if (!absl::ascii_isxdigit(c)) return false;
    hex.push_back(c);
  }
  if (hex.size() != 32) return false;
  *bytes = absl::HexStringToBytes(hex);
  return true;
}

void AppendBigInt(absl::string_view payload, std::string* out) {
  const bool negative = !payload.empty() && (static_cast<uint8_t>(payload[0]) & 0x80) != 0;
  std::vector<uint32_t> limbs = Magnitude(payload, negative);
  if (limbs.empty()) limbs.push_back(0);
  if (negative) out->push_back('-');
  const bool decimal = payload.size() <= kBigIntTextBytesMax;
  out->append(decimal ? DecimalDigits(std::move(limbs)) : HexDigits(limbs));
}

bool BigIntFromText(absl::string_view digits, std::string* payload) {
  const bool negative = !digits.empty() && digits[0] == '-';
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  if (digits.empty() || digits.size() > kBigIntTextBytesMax * 24 / 10) return false;
  std::vector<uint8_t> bytes;  // Little endian.
  for (char c : digits) {
    if (!absl::ascii_isdigit(c)) return false;
    uint32_t carry = c - '0';
    for (uint8_t& byte : bytes) {
      carry += byte * 10u;
      byte = static_cast<uint8_t>(carry);
      carry >>= 8;
    }
    if (carry != 0) bytes.push_back(static_cast<uint8_t>(carry));
  }
  bytes.push_back(0);  // Room for the sign.
  if (negative) {
    uint32_t carry = 1;
    for (uint8_t& byte : bytes) {
      carry += static_cast<uint8_t>(~byte);
      byte = static_cast<uint8_t>(carry);
      carry >>= 8;
    }
  }
  auto redundant = [&bytes] {
    const size_t n = bytes.size();
    if (n < 2) return false;
    const bool sign = (bytes[n - 2] & 0x80) != 0;
    return (bytes[n - 1] == 0 && !sign) || (bytes[n - 1] == 0xff && sign);
  };
  while (redundant()) bytes.pop_back();
  payload->assign(bytes.rbegin(), bytes.rend());
  return true;
}

}  // namespace bue::value
