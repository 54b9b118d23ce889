// See postgres_values.h. OIDs of built-in types never change; they are those of PostgreSQL's
// src/include/catalog/pg_type.dat, whose header is not among those installed for clients.
// Stateless.
#include "worker/sql/postgres_values.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/value/extensions.h"
#include "common/value/json.h"
#include "common/value/reader.h"
#include "common/value/text.h"
#include "common/value/writer.h"

namespace bue::worker {
namespace {

using value::Ext;
using value::Writer;

enum Oid : uint32_t {
  kBool = 16,
  kBytea = 17,
  kName = 19,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kText = 25,
  kOid = 26,
  kJson = 114,
  kFloat4 = 700,
  kFloat8 = 701,
  kBpchar = 1042,
  kVarchar = 1043,
  kDate = 1082,
  kTime = 1083,
  kTimestamp = 1114,
  kTimestamptz = 1184,
  kInterval = 1186,
  kTimetz = 1266,
  kNumeric = 1700,
  kUuid = 2950,
  kJsonb = 3802,
};

// Takes text apart from its front. Each function passes what it took, or returns false.
class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  bool Done() const { return text_.empty(); }
  bool Take(absl::string_view prefix) { return absl::ConsumePrefix(&text_, prefix); }
  bool Number(int64_t* number) {
    size_t digits = 0;
    while (digits < text_.size() && absl::ascii_isdigit(text_[digits])) ++digits;
    if (digits == 0 || !absl::SimpleAtoi(text_.substr(0, digits), number)) return false;
    text_.remove_prefix(digits);
    return true;
  }
  bool Number(int* number) {
    int64_t wide = 0;
    if (!Number(&wide) || wide > INT32_MAX) return false;
    *number = static_cast<int>(wide);
    return true;
  }
  // ".5" is 500000; nothing is 0.
  bool Microseconds(int* microseconds) {
    *microseconds = 0;
    if (!Take(".")) return true;
    int unit = 100000;
    size_t digits = 0;
    for (; digits < text_.size() && absl::ascii_isdigit(text_[digits]); ++digits, unit /= 10) {
      *microseconds += (text_[digits] - '0') * unit;
    }
    text_.remove_prefix(digits);
    return digits > 0 && digits <= 6;
  }
  // + or -, and which it was.
  bool Sign(int* sign) {
    if (Take("+")) {
      *sign = 1;
    } else if (Take("-")) {
      *sign = -1;
    } else {
      return false;
    }
    return true;
  }

 private:
  absl::string_view text_;
};

bool TakeDate(Scanner* scanner, value::Date* date) {
  return scanner->Number(&date->year) && scanner->Take("-") && scanner->Number(&date->month) &&
         scanner->Take("-") && scanner->Number(&date->day) && IsValid(*date);
}

// +01, +05:30, -00:25:21; nothing: the time is naive.
bool TakeOffset(Scanner* scanner, value::Time* time) {
  int sign = 1;
  time->aware = scanner->Sign(&sign);
  if (!time->aware) return true;
  int64_t hours = 0, minutes = 0, seconds = 0;
  if (!scanner->Number(&hours)) return false;
  if (scanner->Take(":") && !scanner->Number(&minutes)) return false;
  if (scanner->Take(":") && !scanner->Number(&seconds)) return false;
  if (hours > 23) return false;
  time->offset_us = sign * (hours * 3600 + minutes * 60 + seconds) * 1000000;
  return true;
}

bool TakeTime(Scanner* scanner, value::Time* time) {
  return scanner->Number(&time->hour) && scanner->Take(":") && scanner->Number(&time->minute) &&
         scanner->Take(":") && scanner->Number(&time->second) &&
         scanner->Microseconds(&time->microsecond) && TakeOffset(scanner, time) && IsValid(*time);
}

bool WriteDate(absl::string_view text, Writer* writer) {
  Scanner scanner(text);
  value::Date date;
  if (!TakeDate(&scanner, &date) || !scanner.Done()) return false;
  writer->Put(date);
  return true;
}

bool WriteTime(absl::string_view text, Writer* writer) {
  Scanner scanner(text);
  value::Time time;
  if (!TakeTime(&scanner, &time) || !scanner.Done()) return false;
  writer->Put(time);
  return true;
}

bool WriteDateTime(absl::string_view text, Writer* writer) {
  Scanner scanner(text);
  value::DateTime at;
  if (!TakeDate(&scanner, &at.date) || !scanner.Take(" ")) return false;
  if (!TakeTime(&scanner, &at.time) || !scanner.Done()) return false;
  writer->Put(at);
  return true;
}

// "04:05:06.5" of an interval: its hours may be many.
bool TakeClock(Scanner* scanner, int sign, int64_t hours, value::TimeDelta* sum) {
  int64_t minutes = 0, seconds = 0;
  int microseconds = 0;
  if (!scanner->Number(&minutes) || !scanner->Take(":") || !scanner->Number(&seconds) ||
      !scanner->Microseconds(&microseconds)) {
    return false;
  }
  sum->seconds += sign * (hours * 3600 + minutes * 60 + seconds);
  sum->microseconds += sign * microseconds;
  return true;
}

// "1 year 2 mons -3 days +04:05:06.5"
bool WriteInterval(absl::string_view text, Writer* writer) {
  Scanner scanner(text);
  value::TimeDelta sum;
  while (!scanner.Done()) {
    int sign = 1;
    int64_t number = 0;
    scanner.Sign(&sign);
    if (!scanner.Number(&number)) return false;
    if (scanner.Take(":")) {
      if (!TakeClock(&scanner, sign, number, &sum)) return false;
    } else if (scanner.Take(" years") || scanner.Take(" year")) {
      sum.days += sign * number * 365;
    } else if (scanner.Take(" mons") || scanner.Take(" mon")) {
      sum.days += sign * number * 30;
    } else if (scanner.Take(" days") || scanner.Take(" day")) {
      sum.days += sign * number;
    } else {
      return false;
    }
    scanner.Take(" ");
  }
  const value::TimeDelta delta = value::MakeTimeDelta(sum.days, sum.seconds, sum.microseconds);
  if (!IsValid(delta)) return false;
  writer->Put(delta);
  return true;
}

bool WriteBytes(absl::string_view text, Writer* writer) {
  if (!absl::ConsumePrefix(&text, "\\x")) return false;
  writer->Bytes(absl::HexStringToBytes(text));
  return true;
}

bool WriteUuid(absl::string_view text, Writer* writer) {
  std::string bytes;
  if (!value::UuidFromText(text, &bytes)) return false;
  writer->Extension(Ext::kUuid, bytes);
  return true;
}

bool WriteFloat(absl::string_view text, Writer* writer) {
  double real = 0;
  if (!absl::SimpleAtod(text, &real)) return false;
  writer->Double(real);
  return true;
}

// The type of the elements of an array type; 0 if it is none of those we read.
uint32_t ElementType(uint32_t array) {
  switch (array) {
    case 1000:
      return kBool;
    case 1001:
      return kBytea;
    case 1003:
      return kName;
    case 1005:
      return kInt2;
    case 1007:
      return kInt4;
    case 1009:
      return kText;
    case 1014:
      return kBpchar;
    case 1015:
      return kVarchar;
    case 1016:
      return kInt8;
    case 1021:
      return kFloat4;
    case 1022:
      return kFloat8;
    case 1028:
      return kOid;
    case 1115:
      return kTimestamp;
    case 1182:
      return kDate;
    case 1183:
      return kTime;
    case 1185:
      return kTimestamptz;
    case 1187:
      return kInterval;
    case 1231:
      return kNumeric;
    case 1270:
      return kTimetz;
    case 199:
      return kJson;
    case 2951:
      return kUuid;
    case 3807:
      return kJsonb;
    default:
      return 0;
  }
}

// Reads {1,NULL,"a \"b\""}, nested for more dimensions (which PostgreSQL limits to 6).
class ArrayText {
 public:
  ArrayText(absl::string_view text, uint32_t element) : text_(text), element_(element) {}

  bool Write(std::string* out) {
    // Bounds that do not begin with 1 stand in front: [0:2]={…}.
    if (absl::StartsWith(text_, "[")) {
      const size_t equals = text_.find('=');
      if (equals == absl::string_view::npos) return false;
      text_.remove_prefix(equals + 1);
    }
    return List(0, out) && text_.empty();
  }

 private:
  bool List(int depth, std::string* out) {
    if (depth > 6 || !absl::ConsumePrefix(&text_, "{")) return false;
    std::string elements;
    uint32_t count = 0;
    while (!absl::ConsumePrefix(&text_, "}")) {
      if (count > 0 && !absl::ConsumePrefix(&text_, ",")) return false;
      if (absl::StartsWith(text_, "{") ? !List(depth + 1, &elements) : !Element(&elements)) {
        return false;
      }
      ++count;
    }
    Writer writer(out);
    writer.ArrayHeader(count);
    writer.Raw(elements);
    return true;
  }

  bool Element(std::string* out) {
    std::string text;
    if (!absl::ConsumePrefix(&text_, "\"")) {
      const size_t end = text_.find_first_of(",}");
      if (end == absl::string_view::npos || end == 0) return false;
      text = std::string(text_.substr(0, end));
      text_.remove_prefix(end);
      if (text == "NULL") {
        Writer(out).Nil();
        return true;
      }
    } else if (!Quoted(&text)) {
      return false;
    }
    AppendPostgresValue(element_, text, out);
    return true;
  }

  bool Quoted(std::string* text) {
    for (size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '"') {
        text_.remove_prefix(i + 1);
        return true;
      }
      if (text_[i] == '\\') ++i;
      if (i < text_.size()) text->push_back(text_[i]);
    }
    return false;
  }

  absl::string_view text_;
  const uint32_t element_;
};

bool WriteArray(uint32_t type, absl::string_view text, std::string* out) {
  const uint32_t element = ElementType(type);
  if (element == 0) return false;
  std::string list;
  if (!ArrayText(text, element).Write(&list)) return false;
  out->append(list);
  return true;
}

// False, and nothing is written, if the text is not of the type's usual form.
bool WriteTyped(uint32_t type, absl::string_view text, std::string* out) {
  Writer writer(out);
  switch (type) {
    case kBool:
      writer.Bool(text == "t");
      return true;
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      return writer.IntegerText(text);
    case kFloat4:
    case kFloat8:
      return WriteFloat(text, &writer);
    case kNumeric:
      writer.Extension(Ext::kDecimal, text);
      return true;
    case kBytea:
      return WriteBytes(text, &writer);
    case kDate:
      return WriteDate(text, &writer);
    case kTime:
    case kTimetz:
      return WriteTime(text, &writer);
    case kTimestamp:
    case kTimestamptz:
      return WriteDateTime(text, &writer);
    case kInterval:
      return WriteInterval(text, &writer);
    case kUuid:
      return WriteUuid(text, &writer);
    case kJson:
    case kJsonb:
      return value::AppendValueOfJson(text, out).ok();
    default:
      return WriteArray(type, text, out);
  }
}

}  // namespace

void AppendPostgresValue(uint32_t type, absl::string_view text, std::string* out) {
  if (!WriteTyped(type, text, out)) Writer(out).String(text);
}

}  // namespace bue::worker
