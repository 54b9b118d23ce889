// Text of scalars, as Python writes them: what pages, SQL cells and keys of JSON objects show.
// Everything appends to *out.
//
// Stateless.
#ifndef BUE_COMMON_VALUE_TEXT_H_
#define BUE_COMMON_VALUE_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/value/extensions.h"

namespace bue::value {

// As repr(): the shortest digits that read back the same, with ".0" where it looks like an int;
// "nan", "inf", "-inf".
void AppendDouble(double real, std::string* out);

// 2024-01-02
void AppendIso(const Date& date, std::string* out);
// 03:04:05, 03:04:05.000006, 03:04:05+01:00
void AppendIso(const Time& time, std::string* out);
// 2024-01-02T03:04:05+01:00; str() of Python has a blank as separator.
void AppendIso(const DateTime& date_time, char separator, std::string* out);

// Seconds, exact to the microsecond: 5, -1.5, 0.000001
void AppendSeconds(const TimeDelta& delta, std::string* out);

// 12345678-1234-5678-1234-567812345678, of 16 bytes.
void AppendUuid(absl::string_view bytes, std::string* out);
// The 16 bytes of such text. False if it is none.
bool UuidFromText(absl::string_view text, std::string* bytes);

// Payloads of big ints longer than this have no decimal text: making it takes quadratic time.
inline constexpr size_t kBigIntTextBytesMax = 4096;

// Decimal digits of a big int's payload; hexadecimal ("0x1f", "-0x1f") above kBigIntTextBytesMax.
void AppendBigInt(absl::string_view payload, std::string* out);
// The shortest payload of decimal digits with an optional sign. False if it is none or has over
// 2.4 * kBigIntTextBytesMax digits.
bool BigIntFromText(absl::string_view digits, std::string* payload);

}  // namespace bue::value

#endif  // BUE_COMMON_VALUE_TEXT_H_
