// See extensions.h.
// Stateless.
#include "common/value/extensions.h"

#include <cmath>

#include "common/value/reader.h"

namespace bue::value {
namespace {

constexpr int64_t kDayMicroseconds = 86400ll * 1000000;

bool OpenArray(Reader* reader, uint32_t count) {
  Token token;
  return reader->Read(&token) && token.type == Type::kArray && token.count == count;
}

template <typename T>
bool ReadInt(Reader* reader, T* out) {
  Token token;
  if (!reader->Read(&token) || token.type != Type::kInt) return false;
  *out = static_cast<T>(token.integer);
  return *out == token.integer;
}

bool ReadOffset(Reader* reader, Time* time) {
  Token token;
  if (!reader->Read(&token)) return false;
  time->aware = token.type != Type::kNil;
  if (!time->aware) return true;
  if (token.type != Type::kInt && token.type != Type::kDouble) return false;
  const double seconds = token.type == Type::kInt ? static_cast<double>(token.integer) : token.real;
  if (!(std::abs(seconds) < 86400)) return false;
  time->offset_us = std::llround(seconds * 1e6);
  return true;
}

bool ReadDate(Reader* reader, Date* date) {
  return ReadInt(reader, &date->year) && ReadInt(reader, &date->month) &&
         ReadInt(reader, &date->day) && IsValid(*date);
}

bool ReadTime(Reader* reader, Time* time) {
  return ReadInt(reader, &time->hour) && ReadInt(reader, &time->minute) &&
         ReadInt(reader, &time->second) && ReadInt(reader, &time->microsecond) &&
         ReadInt(reader, &time->fold) && ReadOffset(reader, time) && IsValid(*time);
}

bool ReadZone(Reader* reader, std::string* zone) {
  Token token;
  if (!reader->Read(&token)) return false;
  if (token.type == Type::kNil) {
    zone->clear();
    return true;
  }
  if (token.type != Type::kString) return false;
  zone->assign(token.bytes.data(), token.bytes.size());
  return true;
}

bool InRange(int64_t number, int64_t first, int64_t last) {
  return first <= number && number <= last;
}

}  // namespace

bool IsValid(const Date& date) {
  if (!InRange(date.year, 1, 9999) || !InRange(date.month, 1, 12)) return false;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
  return InRange(date.day, 1, kDays[date.month - 1] + (leap && date.month == 2 ? 1 : 0));
}

bool IsValid(const Time& time) {
  return InRange(time.hour, 0, 23) && InRange(time.minute, 0, 59) && InRange(time.second, 0, 59) &&
         InRange(time.microsecond, 0, 999999) && InRange(time.fold, 0, 1) &&
         InRange(time.offset_us, 1 - kDayMicroseconds, kDayMicroseconds - 1);
}

bool IsValid(const TimeDelta& delta) {
  return InRange(delta.days, -999999999, 999999999) && InRange(delta.seconds, 0, 86399) &&
         InRange(delta.microseconds, 0, 999999);
}

TimeDelta MakeTimeDelta(int64_t days, int64_t seconds, int64_t microseconds) {
  auto carry = [](int64_t* low, int64_t unit, int64_t* high) {
    int64_t whole = *low / unit;
    if (*low % unit < 0) --whole;
    *low -= whole * unit;
    *high += whole;
  };
  carry(&microseconds, 1000000, &seconds);
  carry(&seconds, 86400, &days);
  return {.days = days, .seconds = seconds, .microseconds = microseconds};
}

bool Decode(absl::string_view payload, Date* out) {
  Reader reader(payload);
  return OpenArray(&reader, 3) && ReadDate(&reader, out) && reader.AtEnd();
}

bool Decode(absl::string_view payload, Time* out) {
  Reader reader(payload);
  return OpenArray(&reader, 6) && ReadTime(&reader, out) && reader.AtEnd();
}

bool Decode(absl::string_view payload, DateTime* out) {
  Reader reader(payload);
  return OpenArray(&reader, 10) && ReadDate(&reader, &out->date) && ReadTime(&reader, &out->time) &&
         ReadZone(&reader, &out->zone) && reader.AtEnd();
}

bool Decode(absl::string_view payload, TimeDelta* out) {
  Reader reader(payload);
  return OpenArray(&reader, 3) && ReadInt(&reader, &out->days) && ReadInt(&reader, &out->seconds) &&
         ReadInt(&reader, &out->microseconds) && IsValid(*out) && reader.AtEnd();
}

bool HoldsElements(int8_t code) {
  return code == static_cast<int8_t>(Ext::kSet) || code == static_cast<int8_t>(Ext::kFrozenSet) ||
         code == static_cast<int8_t>(Ext::kTuple);
}

absl::string_view ExtensionName(int8_t code) {
  switch (static_cast<Ext>(code)) {
    case Ext::kBigInt:
      return "int";
    case Ext::kDateTime:
      return "datetime";
    case Ext::kDate:
      return "date";
    case Ext::kTime:
      return "time";
    case Ext::kTimeDelta:
      return "timedelta";
    case Ext::kDecimal:
      return "Decimal";
    case Ext::kUuid:
      return "UUID";
    case Ext::kSet:
      return "set";
    case Ext::kFrozenSet:
      return "frozenset";
    case Ext::kTuple:
      return "tuple";
    case Ext::kPickle:
      return "pickled object";
  }
  return "extension";  // A code of somebody else.
}

}  // namespace bue::value
