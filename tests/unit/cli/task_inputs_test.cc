// Keys of what tasks were called with: shown, typed, and typed wrongly.
#include "cli/task_inputs.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace bue::cli {
namespace {

constexpr uint64_t kAddress = (uint64_t{1} << 48) | 0xabc;

v1::TaskInput Input(v1::InputColumn::Kind kind, uint64_t address, uint64_t first = 0,
                    uint32_t count = 0) {
  v1::TaskInput input;
  input.set_kind(kind);
  input.set_address(address);
  input.set_first(first);
  input.set_count(count);
  return input;
}

v1::TaskInput FanIn(uint64_t instance, uint32_t node) {
  v1::TaskInput input;
  input.set_kind(v1::InputColumn::FAN_IN);
  input.set_instance(instance);
  input.set_node(node);
  return input;
}

TEST(TaskInputsTest, EveryKindHasAKeyThatLeadsBackToIt) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  constexpr uint32_t kMany = std::numeric_limits<uint32_t>::max();
  const std::vector<std::pair<v1::TaskInput, std::string>> keys = {
      {Input(v1::InputColumn::VALUES, 0), "None"},
      {Input(v1::InputColumn::VALUES, kAddress), "1000000000abc"},
      {Input(v1::InputColumn::VALUES, kMost), "ffffffffffffffff"},
      {Input(v1::InputColumn::ELEMENTS, kAddress, 1000000), "1000000000abc:1000000"},
      {Input(v1::InputColumn::ELEMENTS, kAddress, kMost), "1000000000abc:18446744073709551615"},
      {Input(v1::InputColumn::ELEMENTS, kAddress, 400, 100), "1000000000abc:400-499"},
      {Input(v1::InputColumn::ELEMENTS, kAddress, 7, 1), "1000000000abc:7-7"},
      {Input(v1::InputColumn::RANGE, 0, 4), "number:4"},
      {Input(v1::InputColumn::RANGE, 0, 0, kMany), "number:0-4294967294"},
      {FanIn(kMost, kMany), "loop:18446744073709551615:4294967295"},
  };
  for (const auto& [input, key] : keys) {
    EXPECT_EQ(KeyOf(input), key);
    const absl::StatusOr<v1::TaskInput> parsed = ParseInputKey(key);
    ASSERT_TRUE(parsed.ok()) << key;
    EXPECT_EQ(parsed->SerializeAsString(), input.SerializeAsString()) << key;
  }
}

TEST(TaskInputsTest, AddressesAreTakenAsMessagesOfBucketsHaveThem) {
  EXPECT_EQ(ParseInputKey("0001000000000ABC")->address(), kAddress);
}

TEST(TaskInputsTest, WhatIsNoKeyIsRefusedWithWhatKeysLookLike) {
  for (const std::string& key : std::vector<std::string>{"",
                                                         " ",
                                                         "none",
                                                         "0",
                                                         "0:4",
                                                         "xyz",
                                                         "fetch",
                                                         "0x1000000000abc",
                                                         "1000000000abc:",
                                                         "1000000000abc:x",
                                                         "1000000000abc:-1",
                                                         "1000000000abc:+1",
                                                         "1000000000abc: 1",
                                                         "1000000000abc:1:2",
                                                         "1000000000abc:5-4",
                                                         "1000000000abc:5-",
                                                         "1000000000abc:0-4294967295",
                                                         "1000000000abc:18446744073709551616",
                                                         "10000000000000abc",
                                                         "number",
                                                         "number:",
                                                         "number:x",
                                                         "number:1:2",
                                                         "loop:1",
                                                         "loop:1:",
                                                         "loop:1:4294967296",
                                                         "loop:1:2:3",
                                                         "None:1",
                                                         std::string("1000000000abc\0", 14),
                                                         std::string(100'000, 'a')}) {
    const absl::Status status = ParseInputKey(key).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key.substr(0, 40);
    EXPECT_NE(status.message().find("one looks like 1000000000abc"), absl::string_view::npos);
    EXPECT_LT(status.message().size(), 300u);
  }
}

v1::ErrorRecord Error() {
  v1::ErrorRecord error;
  error.set_run(17);
  return error;
}

TEST(TaskInputsTest, ALineShowsThemInOrderAndHowToPrintOne) {
  v1::ErrorRecord error = Error();
  *error.mutable_inputs()->add_shown() = Input(v1::InputColumn::RANGE, 0, 4);
  *error.mutable_inputs()->add_shown() = Input(v1::InputColumn::VALUES, 0);
  error.mutable_inputs()->mutable_shown(1)->set_from("first");
  *error.mutable_inputs()->add_shown() = FanIn(3, 7);
  error.mutable_inputs()->mutable_shown(2)->set_from("fetch");
  EXPECT_EQ(InputsLine(error),
            "inputs: number:4, None (first), loop:3:7 (all of fetch); bue get r17 --input loop:3:7 "
            "prints that one");
  EXPECT_EQ(InputsJson(error).dump(),
            R"([{"key":"number:4","kind":"number","from":null},)"
            R"({"key":"None","kind":"value","from":"first"},)"
            R"({"key":"loop:3:7","kind":"loop","from":"fetch"}])");
}

TEST(TaskInputsTest, NoneAtAllAndNotKnownAreTwoThings) {
  v1::ErrorRecord error = Error();
  EXPECT_EQ(InputsLine(error), "");
  EXPECT_EQ(InputsJson(error), Json(nullptr));
  error.mutable_inputs();
  EXPECT_EQ(InputsLine(error), "inputs: none");
  EXPECT_EQ(InputsJson(error), Json::array());
}

TEST(TaskInputsTest, OfManyTheLineShowsSome) {
  v1::ErrorRecord error = Error();
  for (int i = 0; i < 64; ++i) {
    *error.mutable_inputs()->add_shown() = Input(v1::InputColumn::RANGE, 0, i);
  }
  error.mutable_inputs()->set_others(36);
  EXPECT_EQ(InputsLine(error),
            "inputs: number:0, number:1, number:2, number:3, number:4, number:5, number:6, "
            "number:7 and 92 more");
  EXPECT_EQ(InputsJson(error).size(), 64u);
}

}  // namespace
}  // namespace bue::cli
