#include "common/bucket_client/element_cut.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace bue {
namespace {

using namespace std::string_literals;

TEST(SkipElements, KnowsTheLengthOfEveryType) {
  const std::vector<std::pair<std::string, size_t>> elements = {
      {"\x05"s, 1},  // fixint
      {"\xe0"s, 1},  // negative fixint
      {"\xc0"s, 1},  // nil
      {"\xc2"s, 1},  // false
      {"\xc3"s, 1},  // true
      {"\xa3"
       "abc"s,
       4},  // fixstr
      {"\xd9\x02"
       "ab"s,
       4},  // str 8
      {"\xda\x00\x02"
       "ab"s,
       5},  // str 16
      {"\xdb\x00\x00\x00\x02"
       "ab"s,
       7},  // str 32
      {"\xc4\x01"
       "a"s,
       3},  // bin 8
      {"\xc5\x00\x01"
       "a"s,
       4},  // bin 16
      {"\xc6\x00\x00\x00\x01"
       "a"s,
       6},  // bin 32
      {"\xc7\x02\x05"
       "ab"s,
       5},  // ext 8
      {"\xc8\x00\x02\x05"
       "ab"s,
       6},  // ext 16
      {"\xc9\x00\x00\x00\x02\x05"
       "ab"s,
       8},  // ext 32
      {"\xca"
       "1234"s,
       5},  // float 32
      {"\xcb"
       "12345678"s,
       9},  // float 64
      {"\xcc"
       "1"s,
       2},  // uint 8
      {"\xcd"
       "12"s,
       3},  // uint 16
      {"\xce"
       "1234"s,
       5},  // uint 32
      {"\xcf"
       "12345678"s,
       9},  // uint 64
      {"\xd0"
       "1"s,
       2},  // int 8
      {"\xd1"
       "12"s,
       3},  // int 16
      {"\xd2"
       "1234"s,
       5},  // int 32
      {"\xd3"
       "12345678"s,
       9},  // int 64
      {"\xd4"
       "t1"s,
       3},  // fixext 1
      {"\xd5"
       "t12"s,
       4},  // fixext 2
      {"\xd6"
       "t1234"s,
       6},  // fixext 4
      {"\xd7"
       "t12345678"s,
       10},  // fixext 8
      {"\xd8"
       "t1234567812345678"s,
       18},  // fixext 16
      {"\x92\x01\xa1"
       "a"s,
       4},                               // fixarray
      {"\xdc\x00\x02\x01\x02"s, 5},      // array 16
      {"\xdd\x00\x00\x00\x01\x01"s, 6},  // array 32
      {"\x81\xa1"
       "a\x92\x01\x02"s,
       6},                                   // fixmap with an array in it
      {"\xde\x00\x01\x01\x02"s, 5},          // map 16
      {"\xdf\x00\x00\x00\x01\x01\x02"s, 7},  // map 32
      {"\x90"s, 1},                          // empty array
      {"\x80"s, 1},                          // empty map
      {"\xa0"s, 1},                          // empty str
  };
  std::string all;
  for (const auto& [bytes, size] : elements) {
    const auto skipped = SkipElements(bytes + "\x01", 1);
    ASSERT_TRUE(skipped.ok()) << skipped.status();
    EXPECT_EQ(*skipped, size) << "type " << static_cast<int>(static_cast<uint8_t>(bytes[0]));
    for (size_t cut = 0; cut < size; ++cut) {
      EXPECT_TRUE(absl::IsOutOfRange(SkipElements(bytes.substr(0, cut), 1).status()));
    }
    all += bytes;
  }
  EXPECT_EQ(*SkipElements(all, elements.size()), all.size());
}

TEST(SkipElements, TakesNoStackForDeepNesting) {
  const std::string deep = std::string(10'000'000, '\x91') + "\x01";
  EXPECT_EQ(*SkipElements(deep, 1), deep.size());
}

TEST(SkipElements, RefusesWhatIsNoMessagePack) {
  EXPECT_TRUE(absl::IsInvalidArgument(SkipElements("\xc1", 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(SkipElements("\x92\x01\xc1"s, 1).status()));
}

TEST(SkipElements, ADishonestLengthIsTruncated) {
  EXPECT_TRUE(absl::IsOutOfRange(SkipElements("\xdd\xff\xff\xff\xff\x01"s, 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(SkipElements("\xdb\xff\xff\xff\xff\x01"s, 1).status()));
}

TEST(CutChunk, GivesExactlyTheElementsAskedFor) {
  const std::string data = "\x01\x02\x03\x04"s;
  const ListChunk chunk{.data = data, .first_element = 10, .elements = 4};
  const auto middle = CutChunk(chunk, 11, 13);
  ASSERT_TRUE(middle.ok());
  EXPECT_EQ(std::string(middle->data), "\x02\x03");
  EXPECT_EQ(middle->first_element, 11);
  EXPECT_EQ(middle->elements, 2);
  EXPECT_EQ(std::string(CutChunk(chunk, 0, 100)->data), data);
  EXPECT_TRUE(CutChunk(chunk, 0, 10)->data.empty());
  EXPECT_TRUE(CutChunk(chunk, 14, 20)->data.empty());
}

TEST(CutChunk, KeepsTheUnfinishedLastElement) {
  const std::string data =
      "\x01\xa9"
      "abc"s;  // The string goes on in the next chunk.
  const ListChunk chunk{.data = data, .first_element = 0, .elements = 2};
  EXPECT_EQ(std::string(CutChunk(chunk, 1, 2)->data),
            "\xa9"
            "abc");
  EXPECT_EQ(std::string(CutChunk(chunk, 0, 1)->data), "\x01");
}

TEST(CutChunk, AContinuedChunkBelongsToTheElementBefore) {
  const ListChunk chunk{.data = "rest", .first_element = 5, .elements = 0, .continued = true};
  EXPECT_EQ(std::string(CutChunk(chunk, 4, 5)->data), "rest");
  EXPECT_EQ(std::string(CutChunk(chunk, 0, 9)->data), "rest");
  EXPECT_TRUE(CutChunk(chunk, 5, 9)->data.empty());
  EXPECT_TRUE(CutChunk(chunk, 0, 4)->data.empty());
}

}  // namespace
}  // namespace bue
