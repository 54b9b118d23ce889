// Facts about Reader and Writer.
#include "common/value/reader.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "common/value/writer.h"
#include "gtest/gtest.h"

namespace bue::value {
namespace {

std::string Hex(std::initializer_list<int> bytes) {
  std::string out;
  for (int byte : bytes) out.push_back(static_cast<char>(byte));
  return out;
}

Token ReadOnly(const std::string& bytes) {
  Reader reader(bytes);
  Token token;
  EXPECT_TRUE(reader.Read(&token)) << reader.status();
  EXPECT_TRUE(reader.AtEnd());
  return token;
}

TEST(ReaderTest, IntsOfEverySizeComeBack) {
  const std::vector<int64_t> ints = {
      0,   1,   127,  128,  255,    256,    65535,       65536,       4294967295, 4294967296, -1,
      -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, INT64_MAX,  INT64_MIN};
  for (int64_t expected : ints) {
    std::string bytes;
    Writer(&bytes).Int(expected);
    const Token token = ReadOnly(bytes);
    EXPECT_EQ(token.type, Type::kInt);
    EXPECT_EQ(token.integer, expected);
  }
}

TEST(ReaderTest, NaturalsAboveInt64AreOfTheirOwnType) {
  std::string bytes;
  Writer(&bytes).Uint(UINT64_MAX);
  const Token token = ReadOnly(bytes);
  EXPECT_EQ(token.type, Type::kUint);
  EXPECT_EQ(token.natural, UINT64_MAX);
}

TEST(ReaderTest, UnsignedEncodingOfASmallIntIsAnInt) {
  const Token token = ReadOnly(Hex({0xcf, 0, 0, 0, 0, 0, 0, 0, 7}));
  EXPECT_EQ(token.type, Type::kInt);
  EXPECT_EQ(token.integer, 7);
}

TEST(ReaderTest, IntsAreWrittenInTheirShortestForm) {
  std::string bytes;
  Writer writer(&bytes);
  for (int64_t integer : {127, 128, -32, -33}) writer.Int(integer);
  EXPECT_EQ(bytes, Hex({0x7f, 0xcc, 0x80, 0xe0, 0xd0, 0xdf}));
}

TEST(ReaderTest, FloatsComeBackBitByBit) {
  for (double expected : {0.0, -0.0, 0.1, 1e308, std::numeric_limits<double>::infinity()}) {
    std::string bytes;
    Writer(&bytes).Double(expected);
    EXPECT_EQ(ReadOnly(bytes).real, expected);
  }
  std::string bytes;
  Writer(&bytes).Double(std::nan(""));
  EXPECT_TRUE(std::isnan(ReadOnly(bytes).real));
  EXPECT_EQ(ReadOnly(Hex({0xca, 0x3f, 0xc0, 0, 0})).real, 1.5);
}

TEST(ReaderTest, StringsAndBytesOfEveryHeaderSizeAreViewsIntoTheData) {
  for (size_t size : {0, 1, 31, 32, 255, 256, 65535, 65536}) {
    const std::string text(size, 'x');
    std::string bytes;
    Writer(&bytes).String(text);
    Token token = ReadOnly(bytes);
    EXPECT_EQ(token.type, Type::kString);
    EXPECT_EQ(token.bytes, text);
    EXPECT_GT(token.bytes.data(), bytes.data());
    bytes.clear();
    Writer(&bytes).Bytes(text);
    token = ReadOnly(bytes);
    EXPECT_EQ(token.type, Type::kBytes);
    EXPECT_EQ(token.bytes, text);
  }
}

TEST(ReaderTest, ExtensionsOfEveryHeaderSizeComeBack) {
  for (size_t size : {0, 1, 2, 3, 4, 8, 15, 16, 17, 255, 256, 65536}) {
    const std::string payload(size, 'x');
    std::string bytes;
    Writer(&bytes).Extension(Ext::kPickle, payload);
    const Token token = ReadOnly(bytes);
    EXPECT_EQ(token.type, Type::kExt);
    EXPECT_EQ(token.ext, 12);
    EXPECT_EQ(token.bytes, payload);
  }
}

TEST(ReaderTest, SkipPassesOneWholeValue) {
  std::string bytes;
  Writer writer(&bytes);
  writer.MapHeader(2);
  writer.String("a");
  writer.ArrayHeader(3);
  for (int i = 0; i < 3; ++i) writer.Int(i);
  writer.Nil();
  writer.Bool(true);
  writer.Int(42);
  Reader reader(bytes);
  ASSERT_TRUE(reader.Skip());
  Token token;
  ASSERT_TRUE(reader.Read(&token));
  EXPECT_EQ(token.integer, 42);
  EXPECT_FALSE(reader.Skip());
  EXPECT_TRUE(reader.status().ok());
}

TEST(ReaderTest, CutValuesAreFaults) {
  std::string bytes;
  Writer writer(&bytes);
  writer.ArrayHeader(2);
  writer.String("hello");
  writer.Double(1.5);
  for (size_t size = 1; size < bytes.size(); ++size) {
    Reader reader(absl::string_view(bytes).substr(0, size));
    EXPECT_FALSE(reader.Skip()) << size;
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument) << size;
    EXPECT_FALSE(Validate(absl::string_view(bytes).substr(0, size)).ok()) << size;
  }
  EXPECT_TRUE(Validate(bytes).ok());
}

TEST(ReaderTest, AHeaderThatPromisesMoreThanThereIsIsAFault) {
  for (const std::string& bytes :
       {Hex({0xdd, 0xff, 0xff, 0xff, 0xff}), Hex({0xdf, 0xff, 0xff, 0xff, 0xff}),
        Hex({0xdb, 0xff, 0xff, 0xff, 0xff}), Hex({0xc1})}) {
    Reader reader(bytes);
    Token token;
    EXPECT_FALSE(reader.Read(&token));
    EXPECT_FALSE(reader.status().ok());
    EXPECT_FALSE(reader.Read(&token)) << "nothing is read after a fault";
  }
}

TEST(ReaderTest, SkipDoesNotRecurse) {
  const std::string bytes = std::string(1000000, '\x91') + '\xc0';
  Reader reader(bytes);
  EXPECT_TRUE(reader.Skip());
  EXPECT_TRUE(reader.AtEnd());
}

TEST(ReaderTest, ValidateRefusesDepthAndBytesBehindTheValue) {
  EXPECT_TRUE(Validate(std::string(kDepthMax, '\x91') + '\xc0').ok());
  EXPECT_FALSE(Validate(std::string(kDepthMax + 1, '\x91') + '\xc0').ok());
  EXPECT_FALSE(Validate("\x01\x02").ok());
  EXPECT_TRUE(Validate("\x01\x02", /*elements=*/true).ok());
  EXPECT_TRUE(Validate("", /*elements=*/true).ok());
  EXPECT_FALSE(Validate("").ok());
}

TEST(ReaderTest, ValidateLooksIntoSets) {
  std::string good, bad;
  Writer(&good).Extension(Ext::kSet, "\x91\x01");
  Writer(&bad).Extension(Ext::kSet, "\x92\x01");
  EXPECT_TRUE(Validate(good).ok());
  EXPECT_FALSE(Validate(bad).ok());
}

}  // namespace
}  // namespace bue::value
