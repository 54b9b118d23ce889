// Facts about JSON for values and values for JSON.
#include "common/value/json.h"

#include <cmath>
#include <string>

#include "common/value/reader.h"
#include "common/value/text.h"
#include "common/value/writer.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace bue::value {
namespace {

std::string Json(const std::string& value, const JsonOptions& options = {}) {
  std::string out;
  const absl::Status status = AppendJson(value, options, &out);
  return status.ok() ? out : status.ToString();
}

template <typename Write>
std::string Packed(Write write) {
  std::string bytes;
  Writer writer(&bytes);
  write(&writer);
  return bytes;
}

TEST(JsonTest, PlainValues) {
  EXPECT_EQ(Json(Packed([](Writer* writer) {
              writer->ArrayHeader(8);
              writer->Nil();
              writer->Bool(true);
              writer->Int(-5);
              writer->Uint(UINT64_MAX);
              writer->Double(1);
              writer->Double(NAN);
              writer->Double(INFINITY);
              writer->String("a\"b\\\n\x01 ö");
            })),
            "[null, true, -5, 18446744073709551615, 1.0, null, null, \"a\\\"b\\\\\\n\\u0001 ö\"]");
}

TEST(JsonTest, WhatJsonLacksIsReadable) {
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Bytes("abc"); })), R"({"$bytes": "YWJj"})");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->IntegerText("1180591620717411303424"); })),
            "1180591620717411303424");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Put(Date{2024, 1, 2}); })), "\"2024-01-02\"");
  EXPECT_EQ(Json(Packed([](Writer* writer) {
              writer->Put(DateTime{.date = {2024, 1, 2}, .time = {.hour = 3, .aware = true}});
            })),
            "\"2024-01-02T03:00:00+00:00\"");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Put(Time{.hour = 3}); })), "\"03:00:00\"");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Put(TimeDelta{.seconds = 5}); })), "5");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Extension(Ext::kDecimal, "1.10"); })),
            "\"1.10\"");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Extension(Ext::kSet, "\x92\x01\x02"); })),
            "[1, 2]");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->Extension(Ext::kPickle, "xyz"); })),
            R"({"$pickle": 3})");
  EXPECT_EQ(Json(std::string("\xd4\x63x")), R"({"$ext": 99, "bytes": 1})");
}

TEST(JsonTest, KeysBecomeText) {
  EXPECT_EQ(Json(Packed([](Writer* writer) {
              writer->MapHeader(6);
              writer->Int(1);
              writer->String("one");
              writer->Nil();
              writer->Int(2);
              writer->Bool(true);
              writer->Int(3);
              writer->Put(Date{2024, 1, 2});
              writer->Int(4);
              writer->Extension(Ext::kTuple, "\x92\x01\xa1x");
              writer->Int(5);
              writer->String("s");
              writer->Int(6);
            })),
            R"({"1": "one", "null": 2, "true": 3, "2024-01-02": 4, "[1, \"x\"]": 5, "s": 6})");
}

TEST(JsonTest, LoneSurrogatesAndForeignBytesStayValidJson) {
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->String("\xed\xa0\x80x"); })), "\"\\ud800x\"");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->String("a\xff\xc3"); })),
            "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(Json(Packed([](Writer* writer) { writer->String("\xf0\x9f\x98\x80"); })),
            "\"\xf0\x9f\x98\x80\"");
}

TEST(JsonTest, BoundedTextIsCompleteJson) {
  const std::string value = Packed([](Writer* writer) {
    writer->MapHeader(2);
    writer->String("rows");
    writer->ArrayHeader(1000);
    for (int i = 0; i < 1000; ++i) {
      writer->MapHeader(2);
      writer->String("name");
      writer->String(std::string(30, 'x') + "öööö");
      writer->String("data");
      writer->Bytes(std::string(30, 'y'));
    }
    writer->String("rest");
    writer->Nil();
  });
  for (uint64_t bytes_max = 0; bytes_max < 500; ++bytes_max) {
    std::string out;
    JsonResult result;
    ASSERT_TRUE(AppendJson(value, {.bytes_max = bytes_max}, &out, &result).ok());
    EXPECT_TRUE(result.truncated);
    EXPECT_TRUE(nlohmann::json::accept(out)) << out;
    EXPECT_LT(out.size(), bytes_max + 100) << out;
  }
}

TEST(JsonTest, ShortTextIsNotTruncated) {
  std::string out;
  JsonResult result;
  ASSERT_TRUE(AppendJson("\x91\x01", {.bytes_max = 100}, &out, &result).ok());
  EXPECT_FALSE(result.truncated);
  EXPECT_EQ(out, "[1]");
}

TEST(JsonTest, ElementsBecomeOneList) {
  std::string out;
  ASSERT_TRUE(AppendJsonOfElements("\x01\x02\x03", {}, &out).ok());
  EXPECT_EQ(out, "[1, 2, 3]");
  out.clear();
  ASSERT_TRUE(AppendJsonOfElements("", {}, &out).ok());
  EXPECT_EQ(out, "[]");
}

TEST(JsonTest, BrokenAndBottomlessValuesAreErrors) {
  std::string out;
  EXPECT_FALSE(AppendJson("", {}, &out).ok());
  EXPECT_FALSE(AppendJson("\x92\x01", {}, &out).ok());
  EXPECT_FALSE(AppendJson("\x01\x02", {}, &out).ok());
  EXPECT_FALSE(AppendJson(std::string(100000, '\x91') + '\xc0', {}, &out).ok());
  EXPECT_TRUE(AppendJson(std::string(kDepthMax, '\x91') + '\xc0', {}, &out).ok());
}

TEST(JsonTest, PicklesCanBeRefused) {
  std::string out;
  const std::string pickle = Packed([](Writer* w) { w->Extension(Ext::kPickle, "x"); });
  EXPECT_FALSE(AppendJson(pickle, {.refuse_pickles = true}, &out).ok());
}

TEST(JsonTest, JsonTextBecomesAValueAndBack) {
  const std::string text =
      R"({"a": [1, -2, 1.5, true, null, "x\u00e9"], "b": {}, "c": [], "d": 1180591620717411303424})";
  std::string value;
  ASSERT_TRUE(AppendValueOfJson(text, &value).ok());
  EXPECT_TRUE(Validate(value).ok());
  EXPECT_EQ(
      Json(value),
      R"({"a": [1, -2, 1.5, true, null, "xé"], "b": {}, "c": [], "d": 1180591620717411303424})");
}

TEST(JsonTest, WhatIsNoJsonLeavesNothing) {
  std::string value = "before";
  for (const std::string& text : {std::string("[1, 2"), std::string("{1: 2}"), std::string(),
                                  std::string("nan"), std::string(100000, '[')}) {
    EXPECT_FALSE(AppendValueOfJson(text, &value).ok()) << text.substr(0, 10);
    EXPECT_EQ(value, "before");
  }
}

TEST(JsonTest, LongArraysGetTheirHeaders) {
  std::string text = "[0";
  for (int i = 1; i < 70000; ++i) text += ",[0]";
  text += "]";
  std::string value;
  ASSERT_TRUE(AppendValueOfJson(text, &value).ok());
  Reader reader(value);
  Token token;
  ASSERT_TRUE(reader.Read(&token));
  EXPECT_EQ(token.count, 70000u);
}

}  // namespace
}  // namespace bue::value
