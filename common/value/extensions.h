// The extension types of values: what MessagePack lacks and Python has. This is the one table of
// codes; worker/python/buelon/_values.py follows it.
//
//   code  type       payload
//   1     int        beyond int64 and uint64: two's complement, big endian, shortest
//   2     datetime   array [year, month, day, hour, minute, second, microsecond, fold, offset,
//   zone] 3     date       array [year, month, day] 4     time       array [hour, minute, second,
//   microsecond, fold, offset] 5     timedelta  array [days, seconds, microseconds], normalised as
//   Python does 6     Decimal    its str(), as text 7     UUID       16 bytes 8     set array of
//   the elements 9     frozenset  array of the elements 10    tuple      array of the elements;
//   only inside sets, frozensets and keys of dicts 12    pickle     pickle of one object of a
//   foreign class, read by Python steps only
//
// `offset` is seconds east of UTC (an int, or a float with microseconds), nil for naive times;
// `zone` the IANA key if the time zone was a ZoneInfo, else nil. Everything else is plain
// MessagePack: None, bool, int, float (NaN and infinities too), str, bytes, list, dict with any
// scalar keys. Payloads that are arrays are themselves MessagePack. A str with lone surrogates has
// them encoded like other characters ('surrogatepass'), so strings are bytes to us.
//
// The structs are what Python's classes hold, and valid when decoded.
#ifndef BUE_COMMON_VALUE_EXTENSIONS_H_
#define BUE_COMMON_VALUE_EXTENSIONS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace bue::value {

enum class Ext : int8_t {
  kBigInt = 1,
  kDateTime = 2,
  kDate = 3,
  kTime = 4,
  kTimeDelta = 5,
  kDecimal = 6,
  kUuid = 7,
  kSet = 8,
  kFrozenSet = 9,
  kTuple = 10,
  kPickle = 12,
};

struct Date {
  int year = 1;  // 1 to 9999
  int month = 1;
  int day = 1;

  friend bool operator==(const Date&, const Date&) = default;
};

struct Time {
  int hour = 0;
  int minute = 0;
  int second = 0;
  int microsecond = 0;
  int fold = 0;
  bool aware = false;     // Has an offset.
  int64_t offset_us = 0;  // Microseconds east of UTC, less than a day either way.

  friend bool operator==(const Time&, const Time&) = default;
};

struct DateTime {
  Date date;
  Time time;
  std::string zone;  // IANA key, or empty.

  friend bool operator==(const DateTime&, const DateTime&) = default;
};

struct TimeDelta {
  int64_t days = 0;  // At most 999,999,999 either way; the others are never negative.
  int64_t seconds = 0;
  int64_t microseconds = 0;

  friend bool operator==(const TimeDelta&, const TimeDelta&) = default;
};

// A TimeDelta of any seconds and microseconds, normalised.
TimeDelta MakeTimeDelta(int64_t days, int64_t seconds, int64_t microseconds);

// False, and then *out is unspecified, if the payload is no such value.
bool Decode(absl::string_view payload, Date* out);
bool Decode(absl::string_view payload, Time* out);
bool Decode(absl::string_view payload, DateTime* out);
bool Decode(absl::string_view payload, TimeDelta* out);

bool IsValid(const Date& date);
bool IsValid(const Time& time);
bool IsValid(const TimeDelta& delta);

// The payload is an array of values: set, frozenset, tuple.
bool HoldsElements(int8_t code);

// "datetime", "Decimal", …; "pickled object"; "extension" for codes that are not ours.
absl::string_view ExtensionName(int8_t code);

}  // namespace bue::value

#endif  // BUE_COMMON_VALUE_EXTENSIONS_H_
