#include "worker/python/wire.h"

#include "gtest/gtest.h"

namespace bue::worker {
namespace {

TEST(WireTest, ASuccessKeepsItsValuePacked) {
  RunnerMessage message;
  ASSERT_TRUE(ParseMessage({"\x93\x05\x07\x92\x01\x02", 6}, &message).ok());
  EXPECT_EQ(message.type, MessageType::kSuccess);
  EXPECT_EQ(message.numbers[0], 5u);
  EXPECT_EQ(message.numbers[1], 7u);
  EXPECT_EQ(message.value, absl::string_view("\x92\x01\x02"));
}

TEST(WireTest, NonsenseIsRefused) {
  RunnerMessage message;
  EXPECT_FALSE(ParseMessage("", &message).ok());
  EXPECT_FALSE(ParseMessage("\x93\x05", &message).ok());
  EXPECT_FALSE(ParseMessage("\x94\x7f\x01\x01\x01", &message).ok());
  EXPECT_FALSE(ParseMessage("\xa3yes", &message).ok());
}

TEST(WireTest, ValuesAreKeptByKind) {
  CallResult list;
  ASSERT_TRUE(SetValue("\x92\x01\x02", &list).ok());
  EXPECT_EQ(list.value_kind, ObjectKind::kList);
  EXPECT_EQ(list.data, "\x01\x02");
  EXPECT_EQ(list.elements, 2u);
  CallResult bytes;
  ASSERT_TRUE(SetValue("\xc4\x02hi", &bytes).ok());
  EXPECT_EQ(bytes.value_kind, ObjectKind::kBytes);
  EXPECT_EQ(bytes.data, "hi");
  CallResult none;
  ASSERT_TRUE(SetValue("\xc0", &none).ok());
  EXPECT_EQ(none.value_kind, ObjectKind::kValue);
  EXPECT_EQ(none.data, "");
}

}  // namespace
}  // namespace bue::worker
