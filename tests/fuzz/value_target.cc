// Values as runners and clients write them, and JSON as PostgreSQL does.
#include <limits>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/value/extensions.h"
#include "common/value/json.h"
#include "common/value/reader.h"
#include "common/value/text.h"
#include "common/value/writer.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/feed.h"
#include "tests/fuzz/target.h"

namespace bue::fuzz {
namespace {

using namespace value;  // NOLINT: the target is about nothing else.

void ReadExtension(absl::string_view payload, std::string* text) {
  Date date;
  Time time;
  DateTime at;
  TimeDelta delta;
  if (Decode(payload, &date)) AppendIso(date, text);
  if (Decode(payload, &time)) AppendIso(time, text);
  if (Decode(payload, &at)) AppendIso(at, ' ', text);
  if (Decode(payload, &delta)) AppendSeconds(delta, text);
  AppendBigInt(payload, text);
}

// nlohmann's parser takes no number beyond a double, and big ints have all their digits.
bool IsJson(const std::string& json) {
  size_t digits = 0;
  for (const char c : json) {
    digits = c >= '0' && c <= '9' ? digits + 1 : 0;
    if (digits > 300) return true;
  }
  return nlohmann::json::accept(json);
}

void ReadValue(absl::string_view bytes) {
  Reader reader(bytes);
  Token token;
  std::string text;
  while (reader.Read(&token)) {
    PythonTypeName(token);
    if (token.type == Type::kExt) ReadExtension(token.bytes, &text);
    if (token.type == Type::kDouble) AppendDouble(token.real, &text);
    text.clear();
  }
  const bool valid = Validate(bytes).ok();
  Validate(bytes, /*elements=*/true).IgnoreError();
  for (const uint64_t most : {uint64_t{100}, std::numeric_limits<uint64_t>::max()}) {
    std::string json;
    JsonResult result;
    const bool printed = AppendJson(bytes, {.bytes_max = most}, &json, &result).ok();
    CHECK(!printed || IsJson(json));
    CHECK(!printed || !result.truncated || most < json.size() + 100);
    json.clear();
    AppendJsonOfElements(bytes, {.bytes_max = most, .refuse_pickles = true}, &json).IgnoreError();
  }
  Reader skipper(bytes);
  CHECK(!valid || (skipper.Skip() && skipper.AtEnd()));
}

void ReadJson(absl::string_view bytes) {
  std::string packed;
  if (!AppendValueOfJson(bytes, &packed).ok()) return;
  CHECK(Validate(packed).ok());
  std::string json;
  CHECK(AppendJson(packed, {}, &json).ok());
}

void ReadText(absl::string_view bytes) {
  std::string out;
  if (UuidFromText(bytes, &out)) {
    CHECK(out.size() == 16);
    AppendUuid(out, &out);
  }
  out.clear();
  if (!BigIntFromText(bytes, &out)) return;
  std::string digits, again;
  AppendBigInt(out, &digits);
  CHECK(BigIntFromText(digits, &again) && again == out);
}

void Run(absl::string_view bytes) {
  Feed feed(bytes);
  const uint32_t kind = feed.Choice(3);
  const absl::string_view rest = feed.Rest();
  if (kind == 0) ReadValue(rest);
  if (kind == 1) ReadJson(rest);
  if (kind == 2) ReadText(rest);
}

std::string Everything() {
  std::string bytes, set;
  Writer(&set).ArrayHeader(2);
  Writer(&set).Int(1);
  Writer(&set).String("two");
  Writer writer(&bytes);
  writer.ArrayHeader(14);
  writer.Nil();
  writer.Bool(true);
  writer.IntegerText("-123456789012345678901234567890");
  writer.Uint(std::numeric_limits<uint64_t>::max());
  writer.Double(0.1);
  writer.Bytes(std::string(300, 'b'));
  writer.Put(DateTime{.date = {2024, 2, 29}, .time = {.aware = true}, .zone = "UTC"});
  writer.Put(Date{2024, 2, 29});
  writer.Put(Time{.hour = 1});
  writer.Put(TimeDelta{.days = 3});
  writer.Extension(Ext::kUuid, std::string(16, 'u'));
  writer.Extension(Ext::kSet, set);
  writer.Extension(Ext::kDecimal, "1.5");
  writer.MapHeader(2);
  writer.String("k");
  writer.Int(-1);
  writer.Int(70000);
  writer.ArrayHeader(0);
  return bytes;
}

std::vector<std::string> Seeds() {
  const auto seed = [](uint8_t kind, absl::string_view bytes) {
    return FeedWriter().Byte(kind).Rest(bytes).out();
  };
  return {seed(0, Everything()),
          seed(0, std::string(600, '\x91')),
          seed(1, R"({"a": [1, -2.5e3, "x\u00e9\ud83d\ude00", null, true], "b": {"c": 1e400}})"),
          seed(1, std::string(600, '[')),
          seed(2, "12345678-1234-5678-1234-567812345678"),
          seed(2, "-123456789012345678901234567890")};
}

}  // namespace

const Target kValue = {.name = "value", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
