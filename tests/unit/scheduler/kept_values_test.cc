#include "hub/scheduler/kept_values.h"

#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bue::hub {
namespace {

using testing::ElementsAre;

std::vector<std::pair<uint64_t, uint64_t>> All(const KeptValues& kept, uint64_t start = 0) {
  std::vector<std::pair<uint64_t, uint64_t>> all;
  kept.Visit(start, [&](uint64_t index, absl::Span<const uint64_t> values) {
    all.emplace_back(index, values.empty() ? 0 : values[0]);
    return true;
  });
  return all;
}

TEST(KeptValuesTest, VisitsSucceededItemsInOrderWhateverTheyEndedIn) {
  KeptValues kept(1);
  kept.Set(2, true, {30});
  kept.Set(0, true, {10});
  kept.Set(1, false, {});
  EXPECT_THAT(All(kept), ElementsAre(std::pair(0, 10), std::pair(2, 30)));
  EXPECT_THAT(All(kept, 1), ElementsAre(std::pair(2, 30)));
  EXPECT_TRUE(kept.Has(1));
  EXPECT_FALSE(kept.Has(3));
}

TEST(KeptValuesTest, FullBlocksArePackedAndReadTheSame) {
  KeptValues kept(1);
  for (uint64_t i = 0; i < 3000; ++i)
    kept.Set(i, i % 7 != 0, std::vector<uint64_t>(i % 7 != 0, i * 5));
  EXPECT_EQ(kept.TakeNewBlocks().size(), 2u);
  const auto all = All(kept);
  EXPECT_EQ(all.size(), 3000u - 429u);
  for (const auto& [index, value] : all) EXPECT_EQ(value, index * 5);
  kept.Close();
  EXPECT_EQ(kept.TakeNewBlocks().size(), 1u);
  EXPECT_EQ(All(kept), all);
}

TEST(KeptValuesTest, AMillionItemsWithoutValuesCostLittle) {
  KeptValues kept(1);
  for (uint64_t i = 0; i < 1000000; ++i) kept.Set(i, true, {0});
  size_t bytes = 0;
  for (const KeptValues::PackedBlock& block : kept.TakeNewBlocks()) bytes += block.bytes->size();
  EXPECT_LT(bytes, 10000u);
}

TEST(KeptValuesTest, SurvivesASnapshot) {
  KeptValues kept(2);
  for (uint64_t i = 0; i < 1500; ++i)
    kept.Set(i, i % 3 != 0, std::vector<uint64_t>(i % 3 ? 2 : 0, i));
  KeptValues restored(2);
  std::string open;
  kept.EncodeOpen(&open);
  VarintReader in(open);
  ASSERT_TRUE(restored.DecodeOpen(&in));
  for (const KeptValues::PackedBlock& block : kept.TakeNewBlocks()) {
    ASSERT_TRUE(restored.RestoreBlock(block.number, *block.bytes));
  }
  EXPECT_EQ(All(restored), All(kept));
}

TEST(KeptValuesTest, ItemsRunAgainAfterAClose) {
  KeptValues kept(1);
  for (uint64_t i = 0; i < 1500; ++i) kept.Set(i, true, {i});
  kept.Close();
  std::vector<std::string> rows;
  for (const auto& block : kept.TakeNewBlocks()) rows.push_back(*block.bytes);
  kept.Reopen(1500);
  EXPECT_FALSE(kept.Has(1500));
  kept.Unset(3);
  kept.Unset(1499);
  EXPECT_FALSE(kept.Has(3));
  EXPECT_FALSE(kept.Succeeded(1499));
  EXPECT_EQ(All(kept).size(), 1498u);
  // What a checkpoint wrote of the blocks before does not hide what is open now.
  std::string open;
  kept.EncodeOpen(&open);
  KeptValues restored(1);
  VarintReader in(open);
  ASSERT_TRUE(restored.DecodeOpen(&in));
  for (uint64_t number = 0; number < rows.size(); ++number) {
    ASSERT_TRUE(restored.RestoreBlock(number, rows[number]));
  }
  EXPECT_EQ(All(restored), All(kept));
  restored.Set(3, false, {});
  restored.Set(1499, true, {7});
  restored.Set(1500, true, {8});
  restored.Close();
  EXPECT_EQ(All(restored).size(), 1500u);
  EXPECT_EQ(All(restored, 1499),
            (std::vector<std::pair<uint64_t, uint64_t>>{{1499, 7}, {1500, 8}}));
}

TEST(KeptValuesTest, MalformedBlocksAreRefused) {
  KeptValues kept(1);
  for (uint64_t i = 0; i < 1024; ++i) kept.Set(i, i % 2 == 0, std::vector<uint64_t>(i % 2 == 0, i));
  const std::string good = *kept.TakeNewBlocks()[0].bytes;
  KeptValues other(1);
  EXPECT_FALSE(other.RestoreBlock(0, good.substr(0, good.size() - 1)));
  EXPECT_FALSE(other.RestoreBlock(0, good + "x"));
  EXPECT_FALSE(other.RestoreBlock(0, ""));
  EXPECT_TRUE(other.RestoreBlock(0, good));
}

}  // namespace
}  // namespace bue::hub
