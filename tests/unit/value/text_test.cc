// Facts about the text of scalars.
#include "common/value/text.h"

#include <cmath>
#include <string>

#include "common/value/writer.h"
#include "gtest/gtest.h"

namespace bue::value {
namespace {

std::string OfDouble(double real) {
  std::string out;
  AppendDouble(real, &out);
  return out;
}

TEST(TextTest, FloatsLookAsInPython) {
  EXPECT_EQ(OfDouble(1), "1.0");
  EXPECT_EQ(OfDouble(-0.0), "-0.0");
  EXPECT_EQ(OfDouble(0.1), "0.1");
  EXPECT_EQ(OfDouble(0.0001), "0.0001");
  EXPECT_EQ(OfDouble(0.00001), "1e-05");
  EXPECT_EQ(OfDouble(1e15), "1000000000000000.0");
  EXPECT_EQ(OfDouble(1e16), "1e+16");
  EXPECT_EQ(OfDouble(1.5e300), "1.5e+300");
  EXPECT_EQ(OfDouble(NAN), "nan");
  EXPECT_EQ(OfDouble(-INFINITY), "-inf");
}

TEST(TextTest, TimesLookAsInPython) {
  DateTime at{.date = {.year = 33, .month = 4, .day = 5}, .time = {.hour = 6, .second = 7}};
  std::string out;
  AppendIso(at, 'T', &out);
  EXPECT_EQ(out, "0033-04-05T06:00:07");
  at.time.microsecond = 10;
  at.time.aware = true;
  at.time.offset_us = -(5 * 3600 + 30 * 60) * 1000000ll;
  out.clear();
  AppendIso(at, ' ', &out);
  EXPECT_EQ(out, "0033-04-05 06:00:07.000010-05:30");
  at.time.offset_us = 1000001;
  out.clear();
  AppendIso(at.time, &out);
  EXPECT_EQ(out, "06:00:07.000010+00:00:01.000001");
}

TEST(TextTest, TimeDeltasAreExactSeconds) {
  auto text = [](int64_t seconds, int64_t microseconds) {
    std::string out;
    AppendSeconds(MakeTimeDelta(0, seconds, microseconds), &out);
    return out;
  };
  EXPECT_EQ(text(5, 0), "5");
  EXPECT_EQ(text(90000, 500000), "90000.5");
  EXPECT_EQ(text(-1, -500000), "-1.5");
  EXPECT_EQ(text(0, -1), "-0.000001");
  EXPECT_EQ(text(-7, 0), "-7");
}

TEST(TextTest, UuidsComeBack) {
  std::string bytes, text;
  ASSERT_TRUE(UuidFromText("12345678-1234-5678-1234-567812345678", &bytes));
  ASSERT_EQ(bytes.size(), 16u);
  AppendUuid(bytes, &text);
  EXPECT_EQ(text, "12345678-1234-5678-1234-567812345678");
  EXPECT_FALSE(UuidFromText("12345678", &bytes));
  EXPECT_FALSE(UuidFromText("x2345678-1234-5678-1234-567812345678", &bytes));
}

TEST(TextTest, BigIntsComeBack) {
  for (const std::string digits :
       {"0", "1", "-1", "127", "128", "-128", "-129", "255", "1180591620717411303424",
        "-1180591620717411303424", "18446744073709551616", "1000000000",
        "-1000000000000000000000"}) {
    std::string payload, text;
    ASSERT_TRUE(BigIntFromText(digits, &payload)) << digits;
    AppendBigInt(payload, &text);
    EXPECT_EQ(text, digits);
  }
}

TEST(TextTest, BigIntPayloadsAreShortestTwosComplement) {
  auto payload = [](absl::string_view digits) {
    std::string out;
    EXPECT_TRUE(BigIntFromText(digits, &out));
    return out;
  };
  EXPECT_EQ(payload("127"), "\x7f");
  EXPECT_EQ(payload("128"), std::string("\x00\x80", 2));
  EXPECT_EQ(payload("-128"), "\x80");
  EXPECT_EQ(payload("-129"), "\xff\x7f");
  EXPECT_EQ(payload("-1"), "\xff");
  EXPECT_EQ(payload("1180591620717411303424"), std::string("\x40\0\0\0\0\0\0\0\0", 9));
}

TEST(TextTest, WhatIsNoIntIsRefused) {
  std::string payload;
  for (absl::string_view text : {"", "-", "1.5", "1e5", "x"}) {
    EXPECT_FALSE(BigIntFromText(text, &payload)) << text;
  }
}

TEST(TextTest, HugeBigIntsAreHexadecimal) {
  const std::string payload = "\x01" + std::string(kBigIntTextBytesMax, '\0');
  std::string text;
  AppendBigInt(payload, &text);
  EXPECT_EQ(text, "0x1" + std::string(2 * kBigIntTextBytesMax, '0'));
}

TEST(TextTest, IntegerTextTakesTheShortestForm) {
  std::string small, natural, big;
  EXPECT_TRUE(Writer(&small).IntegerText("7"));
  EXPECT_EQ(small, "\x07");
  EXPECT_TRUE(Writer(&natural).IntegerText("18446744073709551615"));
  EXPECT_EQ(natural, "\xcf" + std::string(8, '\xff'));
  EXPECT_TRUE(Writer(&big).IntegerText("18446744073709551616"));
  EXPECT_EQ(big, "\xc7\x09\x01\x01" + std::string(8, '\0'));
}

}  // namespace
}  // namespace bue::value
