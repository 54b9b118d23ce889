// Facts about the extension types.
#include "common/value/extensions.h"

#include <string>

#include "common/value/reader.h"
#include "common/value/writer.h"
#include "gtest/gtest.h"

namespace bue::value {
namespace {

template <typename T>
T RoundTrip(const T& value) {
  std::string bytes;
  Writer(&bytes).Put(value);
  Reader reader(bytes);
  Token token;
  EXPECT_TRUE(reader.Read(&token));
  EXPECT_EQ(token.type, Type::kExt);
  T decoded;
  EXPECT_TRUE(Decode(token.bytes, &decoded));
  return decoded;
}

TEST(ExtensionsTest, DatesAndTimesComeBack) {
  const Date date{.year = 2024, .month = 2, .day = 29};
  const Time naive{.hour = 23, .minute = 59, .second = 59, .microsecond = 999999, .fold = 1};
  Time aware = naive;
  aware.aware = true;
  aware.offset_us = -19800ll * 1000000;
  Time fraction = aware;
  fraction.offset_us = 1500001;
  EXPECT_EQ(RoundTrip(date), date);
  for (const Time& time : {naive, aware, fraction}) {
    EXPECT_EQ(RoundTrip(time), time);
    const DateTime at{.date = date, .time = time, .zone = time.aware ? "Asia/Kolkata" : ""};
    EXPECT_EQ(RoundTrip(at), at);
  }
  const TimeDelta delta{.days = -999999999, .seconds = 86399, .microseconds = 1};
  EXPECT_EQ(RoundTrip(delta), delta);
}

TEST(ExtensionsTest, ImpossibleFieldsAreRefused) {
  auto packed = [](std::initializer_list<int> fields) {
    std::string payload;
    Writer writer(&payload);
    writer.ArrayHeader(fields.size());
    for (int field : fields) writer.Int(field);
    return payload;
  };
  Date date;
  EXPECT_TRUE(Decode(packed({2024, 2, 29}), &date));
  EXPECT_FALSE(Decode(packed({2023, 2, 29}), &date));
  EXPECT_FALSE(Decode(packed({0, 1, 1}), &date));
  EXPECT_FALSE(Decode(packed({2023, 13, 1}), &date));
  EXPECT_FALSE(Decode(packed({2023, 1}), &date));
  EXPECT_FALSE(Decode(packed({2023, 1, 1}) + "x", &date));
  EXPECT_FALSE(Decode("", &date));
  TimeDelta delta;
  EXPECT_FALSE(Decode(packed({0, 86400, 0}), &delta));
  EXPECT_FALSE(Decode(packed({0, -1, 0}), &delta));
  Time time;
  EXPECT_TRUE(Decode(packed({23, 0, 0, 0, 0, 86399}), &time));
  EXPECT_FALSE(Decode(packed({23, 0, 0, 0, 0, 86400}), &time));
  EXPECT_FALSE(Decode(packed({24, 0, 0, 0, 0, 0}), &time));
}

TEST(ExtensionsTest, TimeDeltasAreNormalisedAsPythonDoes) {
  const TimeDelta expected{.days = -1, .seconds = 86399, .microseconds = 999999};
  EXPECT_EQ(MakeTimeDelta(0, 0, -1), expected);
  EXPECT_EQ(MakeTimeDelta(0, 90000, 1000000),
            (TimeDelta{.days = 1, .seconds = 3601, .microseconds = 0}));
}

TEST(ExtensionsTest, TypesAreNamedAsInPython) {
  std::string bytes;
  Writer(&bytes).Put(Date{});
  Reader reader(bytes);
  Token token;
  ASSERT_TRUE(reader.Read(&token));
  EXPECT_EQ(PythonTypeName(token), "date");
  EXPECT_EQ(PythonTypeName(Token{}), "None");
  EXPECT_EQ(ExtensionName(99), "extension");
}

}  // namespace
}  // namespace bue::value
