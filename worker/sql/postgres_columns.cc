// See postgres_columns.h. COPY's text format: fields are separated by tabs, \N is NULL, and
// backslash, tab, newline and carriage return are escaped
// (https://www.postgresql.org/docs/15/sql-copy.html).
// Stateless.
#include "worker/sql/postgres_columns.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/civil_time.h"
#include "common/value/extensions.h"
#include "common/value/text.h"

namespace bue::worker {
namespace {

using value::Ext;
using value::Token;
using value::Type;

constexpr uint32_t kWholeCells = kBoolCell | kIntCell | kWideIntCell;
constexpr uint32_t kNumberCells = kWholeCells | kBigIntCell | kFloatCell | kDecimalCell;
constexpr uint32_t kNaiveMomentCells = kNaiveDateTimeCell | kDateCell;

void AppendEscaped(absl::string_view text, std::string* out) {
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '\\' && c != '\n' && c != '\r' && c != '\t') continue;
    out->append(text.data() + plain, i - plain);
    out->push_back('\\');
    out->push_back(c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : '\\');
    plain = i + 1;
  }
  out->append(text.data() + plain, text.size() - plain);
}

void AppendFloat(double real, std::string* out) {
  if (std::isnan(real)) {
    out->append("NaN");
  } else if (std::isinf(real)) {
    out->append(real < 0 ? "-Infinity" : "Infinity");
  } else {
    value::AppendDouble(real, out);
  }
}

// Python writes NaN, sNaN, -NaN and the like; PostgreSQL has one NaN.
void AppendDecimal(absl::string_view text, std::string* out) {
  if (absl::StrContains(text, "NaN")) {
    out->append("NaN");
  } else {
    AppendEscaped(text, out);
  }
}

void AppendInterval(const value::TimeDelta& delta, std::string* out) {
  absl::StrAppendFormat(out, "%d days %d.%06d seconds", delta.days, delta.seconds,
                        delta.microseconds);
}

// In UTC, since offsets with seconds or beyond 16 hours are not taken everywhere.
void AppendInstant(const value::DateTime& at, std::string* out) {
  const int64_t us = int64_t{at.time.microsecond} - at.time.offset_us;
  int64_t seconds = us / 1000000;
  if (us % 1000000 < 0) --seconds;
  absl::CivilSecond civil(at.date.year, at.date.month, at.date.day, at.time.hour, at.time.minute,
                          at.time.second);
  civil += seconds;
  const bool before_christ = civil.year() <= 0;
  absl::StrAppendFormat(out, "%04d-%02d-%02d %02d:%02d:%02d.%06d+00%s",
                        before_christ ? 1 - civil.year() : civil.year(), civil.month(), civil.day(),
                        civil.hour(), civil.minute(), civil.second(), us - seconds * 1000000,
                        before_christ ? " BC" : "");
}

bool IsExt(const Token& token, Ext ext) {
  return token.type == Type::kExt && static_cast<Ext>(token.ext) == ext;
}

// Numbers have bools among them, numeric and double columns ints.
void AppendNumber(const Cell& cell, std::string* out) {
  const Token& token = cell.token;
  if (token.type == Type::kBool) {
    out->push_back(token.boolean ? '1' : '0');
  } else if (token.type == Type::kDouble) {
    AppendFloat(token.real, out);
  } else if (IsExt(token, Ext::kDecimal)) {
    AppendDecimal(token.bytes, out);
  } else {
    static_cast<void>(AppendCellText(cell, out));  // An int of any size: never refused.
  }
}

absl::Status AppendEscapedText(const Cell& cell, std::string* out) {
  std::string text;
  const absl::Status status = AppendCellText(cell, &text);
  AppendEscaped(text, out);
  return status;
}

}  // namespace

PostgresType PostgresTypeFor(uint32_t kinds) {
  kinds &= ~uint32_t{kNullCell};
  auto only = [kinds](uint32_t allowed) { return (kinds & ~allowed) == 0; };
  auto any = [kinds](uint32_t wanted) { return (kinds & wanted) != 0; };
  if (kinds == 0) return PostgresType::kText;
  if (only(kBoolCell)) return PostgresType::kBoolean;
  if (only(kWholeCells)) return PostgresType::kBigInt;
  if (only(kBoolCell | kIntCell | kFloatCell)) return PostgresType::kDouble;
  if (only(kNumberCells)) return PostgresType::kNumeric;
  if (only(kDateCell)) return PostgresType::kDate;
  if (only(kNaiveMomentCells) && any(kNaiveDateTimeCell)) return PostgresType::kTimestamp;
  switch (kinds) {
    case kBytesCell:
      return PostgresType::kBytea;
    case kAwareDateTimeCell:
      return PostgresType::kTimestamptz;
    case kNaiveTimeCell:
      return PostgresType::kTime;
    case kAwareTimeCell:
      return PostgresType::kTimetz;
    case kTimeDeltaCell:
      return PostgresType::kInterval;
    case kUuidCell:
      return PostgresType::kUuid;
    case kJsonCell:
      return PostgresType::kJsonb;
    default:
      return PostgresType::kText;
  }
}

absl::string_view PostgresTypeName(PostgresType type) {
  switch (type) {
    case PostgresType::kBoolean:
      return "boolean";
    case PostgresType::kBigInt:
      return "bigint";
    case PostgresType::kDouble:
      return "double precision";
    case PostgresType::kNumeric:
      return "numeric";
    case PostgresType::kText:
      return "text";
    case PostgresType::kBytea:
      return "bytea";
    case PostgresType::kTimestamp:
      return "timestamp";
    case PostgresType::kTimestamptz:
      return "timestamptz";
    case PostgresType::kDate:
      return "date";
    case PostgresType::kTime:
      return "time";
    case PostgresType::kTimetz:
      return "timetz";
    case PostgresType::kInterval:
      return "interval";
    case PostgresType::kUuid:
      return "uuid";
    case PostgresType::kJsonb:
      return "jsonb";
  }
  return "text";
}

absl::Status AppendCopyField(const Cell& cell, PostgresType type, std::string* out) {
  if (cell.token.type == Type::kNil) {
    out->append("\\N");
    return absl::OkStatus();
  }
  switch (type) {
    case PostgresType::kBoolean:
      out->push_back(cell.token.boolean ? 't' : 'f');
      return absl::OkStatus();
    case PostgresType::kBigInt:
    case PostgresType::kDouble:
    case PostgresType::kNumeric:
      AppendNumber(cell, out);
      return absl::OkStatus();
    case PostgresType::kBytea:
      absl::StrAppend(out, "\\\\x", absl::BytesToHexString(cell.token.bytes));
      return absl::OkStatus();
    case PostgresType::kTimestamptz: {
      value::DateTime at;
      value::Decode(cell.token.bytes, &at);
      AppendInstant(at, out);
      return absl::OkStatus();
    }
    case PostgresType::kInterval: {
      value::TimeDelta delta;
      value::Decode(cell.token.bytes, &delta);
      AppendInterval(delta, out);
      return absl::OkStatus();
    }
    case PostgresType::kText:
      if (cell.token.type == Type::kString) {
        AppendEscaped(cell.token.bytes, out);
        return absl::OkStatus();
      }
      return AppendEscapedText(cell, out);
    case PostgresType::kTimestamp:
    case PostgresType::kDate:
    case PostgresType::kTime:
    case PostgresType::kTimetz:
    case PostgresType::kUuid:
      return AppendCellText(cell, out);  // Has nothing to escape.
    case PostgresType::kJsonb:
      return AppendEscapedText(cell, out);
  }
  return absl::OkStatus();
}

}  // namespace bue::worker
