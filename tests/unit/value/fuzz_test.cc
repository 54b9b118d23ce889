// Nothing that bytes can say makes the codec read outside them, crash or hang. Seeds are fixed:
// a failure comes again.
#include <random>
#include <string>
#include <vector>

#include "common/value/extensions.h"
#include "common/value/json.h"
#include "common/value/reader.h"
#include "common/value/writer.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace bue::value {
namespace {

// One of everything.
std::string Sample() {
  std::string bytes, set;
  Writer(&set).ArrayHeader(2);
  Writer(&set).Int(1);
  Writer(&set).String("two");
  Writer writer(&bytes);
  writer.MapHeader(14);
  int key = 0;
  auto next = [&] { writer.Int(1000 * key++); };
  next(), writer.Nil();
  next(), writer.Bool(true);
  next(), writer.IntegerText("-123456789012345678901234567890");
  next(), writer.Double(0.1);
  next(), writer.String(std::string(40, 's'));
  next(), writer.Bytes(std::string(300, 'b'));
  next(), writer.Put(DateTime{.date = {2024, 2, 29}, .time = {.aware = true}, .zone = "UTC"});
  next(), writer.Put(Date{2024, 2, 29});
  next(), writer.Put(Time{.hour = 1});
  next(), writer.Put(TimeDelta{.days = 3});
  next(), writer.Extension(Ext::kUuid, std::string(16, 'u'));
  next(), writer.Extension(Ext::kSet, set);
  next(), writer.Extension(Ext::kDecimal, "1.5");
  next();
  writer.ArrayHeader(20);
  for (int i = 0; i < 20; ++i) writer.Int(-i * 1000);
  return bytes;
}

void Read(const std::string& bytes) {
  // A copy of exactly this size, so that a sanitizer sees a byte too far.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  const absl::string_view view(exact.data(), exact.size());
  Reader reader(view);
  Token token;
  while (reader.Read(&token)) {
    Date date;
    Time time;
    DateTime at;
    TimeDelta delta;
    if (token.type != Type::kExt) continue;
    Decode(token.bytes, &date);
    Decode(token.bytes, &time);
    Decode(token.bytes, &at);
    Decode(token.bytes, &delta);
  }
  const bool valid = Validate(view).ok();
  std::string json;
  const bool printed = AppendJson(view, {.bytes_max = 10000}, &json).ok();
  EXPECT_TRUE(!printed || nlohmann::json::accept(json)) << json;
  Reader skipper(view);
  const bool skipped = skipper.Skip() && skipper.AtEnd();
  EXPECT_TRUE(!valid || skipped);
}

TEST(FuzzTest, MutatedValues) {
  const std::string sample = Sample();
  ASSERT_TRUE(Validate(sample).ok());
  std::mt19937_64 random(20240229);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = sample;
    for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      const size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, random() % 8);
          break;
        case 2:
          bytes.insert(at, 1 + random() % 3, static_cast<char>(random()));
          break;
        default:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      }
      if (bytes.empty()) bytes = sample;
    }
    Read(bytes);
  }
}

TEST(FuzzTest, RandomBytes) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    Read(bytes);
  }
}

TEST(FuzzTest, EveryPrefix) {
  const std::string sample = Sample();
  for (size_t size = 0; size < sample.size(); ++size) Read(sample.substr(0, size));
}

}  // namespace
}  // namespace bue::value
