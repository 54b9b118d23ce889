#include "worker/core/inputs.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/support/patience.h"
#include "tests/unit/worker/fake_bucket.h"
#include "worker/core/elements.h"

namespace bue::worker {
namespace {

using namespace std::string_literals;

// Answers from a table, in pages of two.
class FakeQuestions final : public HubQuestions {
 public:
  absl::StatusOr<ValuePage> ListValues(uint64_t, uint64_t, uint64_t instance, uint32_t,
                                       uint64_t start) override {
    const ValuePage& all = table[instance];
    const size_t size = all.addresses.size() + all.instances.size();
    ValuePage page{.next = std::min<uint64_t>(start + 2, size)};
    for (uint64_t i = start; i < page.next; ++i) {
      if (all.instances.empty()) {
        page.addresses.push_back(all.addresses[i]);
      } else {
        page.instances.push_back(all.instances[i]);
      }
    }
    page.end = page.next == size;
    return page;
  }
  absl::StatusOr<std::string> GetFile(absl::string_view) override {
    return absl::UnimplementedError("not asked here");
  }

  std::map<uint64_t, ValuePage> table;
};

class InputsTest : public testing::Test, public InputsListener {
 protected:
  void OnReady(std::vector<Call> calls) override {
    for (Call& call : calls) ready_.push_back(std::move(call));
  }
  void OnInputGone(uint64_t lease, uint64_t address, const absl::Status&) override {
    gone_[lease] = address;
  }
  void OnInputFailed(uint64_t lease, const absl::Status& status) override {
    failed_[lease] = status;
  }

  // A group of `tasks` with one input.
  static GrantGroup Group(size_t tasks, InputColumn column) {
    GrantGroup group;
    group.run = 3;
    group.instance = 5;
    group.item_prefix = "4.";
    for (size_t i = 0; i < tasks; ++i) {
      group.lease.push_back(100 + i);
      group.item.push_back(i);
    }
    group.inputs.push_back(std::move(column));
    return group;
  }

  // Resolves all tasks of the group and waits for the answers.
  void Resolve(GrantGroup group) {
    ready_.clear();
    const size_t tasks = group.lease.size();
    StartBatch batch{.group = std::make_shared<const GrantGroup>(std::move(group))};
    for (uint32_t row = 0; row < tasks; ++row) batch.rows.push_back(row);
    inputs_.Resolve(batch, step_);
    const absl::Time deadline = absl::Now() + Patience(absl::Seconds(60));
    while (ready_.size() + gone_.size() + failed_.size() < tasks && absl::Now() < deadline) {
      for (Inbox::Task& one : inbox_->Take(absl::Milliseconds(100))) one();
    }
    ASSERT_EQ(ready_.size() + gone_.size() + failed_.size(), tasks);
  }

  static std::string ReadAll(const CallInput& input) {
    if (input.data != nullptr) return *input.data;
    absl::StatusOr<std::unique_ptr<InputStream>> stream = input.open();
    EXPECT_TRUE(stream.ok()) << stream.status();
    std::string all;
    while (true) {
      absl::StatusOr<std::optional<std::string>> piece = (*stream)->Next();
      EXPECT_TRUE(piece.ok()) << piece.status();
      if (!piece.ok() || !piece->has_value()) return all;
      all += **piece;
    }
  }
  std::string Data(size_t call, size_t input = 0) { return ReadAll(ready_[call].inputs[input]); }

  FakeBucket bucket_;
  FakeQuestions hub_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::shared_ptr<const LoadedStep> step_ = std::make_shared<LoadedStep>();
  std::vector<Call> ready_;
  std::map<uint64_t, uint64_t> gone_;
  std::map<uint64_t, absl::Status> failed_;
  Inputs inputs_{{}, &bucket_, &hub_, inbox_, this};
};

TEST_F(InputsTest, NoneNeedsNoBucket) {
  Resolve(Group(2, {.address = {0}}));
  EXPECT_EQ(Data(0), "");
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kValue);
  EXPECT_EQ(bucket_.gets(), 0);
}

TEST_F(InputsTest, CallsAreNamedAsPeopleSeeThem) {
  GrantGroup group = Group(2, {.address = {0}});
  group.attempt = {1, 3};
  Resolve(group);
  EXPECT_EQ(ready_[1].lease, 101u);
  EXPECT_EQ(ready_[1].task.item, "4.1");
  EXPECT_EQ(ready_[1].task.attempt, 3u);
  EXPECT_EQ(ready_[1].task.run, 3u);
  group.instance = 0;
  Resolve(group);
  EXPECT_EQ(ready_[1].task.item, "");
}

TEST_F(InputsTest, ABatchAsksTheBucketOnce) {
  InputColumn column;
  for (int i = 0; i < 50; ++i) {
    column.address.push_back(bucket_.Store(ObjectKind::kValue, std::string(1, '\x01' + i)));
  }
  Resolve(Group(50, column));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Data(i), std::string(1, '\x01' + i));
  EXPECT_EQ(bucket_.gets(), 1);
}

TEST_F(InputsTest, OneValueForAllIsReadOnceAndShared) {
  const uint64_t address = bucket_.Store(ObjectKind::kBytes, "outer");
  Resolve(Group(10, {.address = {address}}));
  EXPECT_EQ(Data(9), "outer");
  EXPECT_EQ(ready_[0].inputs[0].data, ready_[9].inputs[0].data);
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kBytes);
  EXPECT_EQ(bucket_.asked().size(), 1u);
}

TEST_F(InputsTest, WhatWasReadOrProducedHereIsNotReadAgain) {
  const uint64_t address = bucket_.Store(ObjectKind::kValue, "\x01");
  inputs_.Remember(77, {.kind = ObjectKind::kList,
                        .data = std::make_shared<const std::string>("\x01\x02"),
                        .elements = 2});
  Resolve(Group(1, {.address = {address}}));
  Resolve(Group(2, {.address = {address, 77}}));
  EXPECT_EQ(Data(0), "\x01");
  EXPECT_EQ(Data(1), "\x01\x02");
  EXPECT_EQ(ready_[1].inputs[0].elements, 2u);
  EXPECT_EQ(bucket_.gets(), 1);
}

TEST_F(InputsTest, LargeValuesBecomeStreams) {
  const std::string large(200000, 'x');
  const uint64_t address = bucket_.Store(ObjectKind::kBytes, large);
  Resolve(Group(1, {.address = {address}}));
  EXPECT_EQ(ready_[0].inputs[0].data, nullptr);
  EXPECT_EQ(ready_[0].inputs[0].total_bytes, large.size());
  EXPECT_TRUE(Data(0) == large);
  EXPECT_TRUE(Data(0) == large) << "may be opened again";
}

TEST_F(InputsTest, AMissingValueFailsOnlyTheCallsThatReadIt) {
  const uint64_t there = bucket_.Store(ObjectKind::kValue, "\x01");
  Resolve(Group(3, {.address = {there, 999, there}}));
  EXPECT_EQ(gone_, (std::map<uint64_t, uint64_t>{{101, 999}}));
  ASSERT_EQ(ready_.size(), 2u);
  EXPECT_EQ(ready_[1].lease, 102u);
}

TEST_F(InputsTest, AMissingValueForAllFailsAll) {
  Resolve(Group(3, {.address = {999}}));
  EXPECT_EQ(gone_.size(), 3u);
}

TEST_F(InputsTest, ALargeValueThatVanishesIsNamed) {
  const uint64_t address = bucket_.Store(ObjectKind::kBytes, std::string(200000, 'x'));
  Resolve(Group(1, {.address = {address}}));
  bucket_.Remove(address);
  EXPECT_TRUE(absl::IsNotFound(ready_[0].inputs[0].open().status()));
  EXPECT_EQ(inputs_.TakeGone(100), address);
  EXPECT_EQ(inputs_.TakeGone(100), 0u);
}

// Of `count` integers, each in a byte.
std::string SmallIntegers(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) AppendInteger(i, &list);
  return list;
}

TEST_F(InputsTest, ConsecutiveElementsAreReadAsOneRange) {
  InputColumn column{.kind = InputColumn::Kind::kElements,
                     .address = {bucket_.Store(ObjectKind::kList, SmallIntegers(100), 100)}};
  for (int i = 0; i < 20; ++i) column.first.push_back(30 + i);
  column.first.push_back(80);
  Resolve(Group(21, column));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Data(i), std::string(1, 30 + i));
  EXPECT_EQ(Data(20), std::string(1, 80));
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kValue);
  EXPECT_EQ(bucket_.asked().size(), 2u);
  EXPECT_EQ(bucket_.gets(), 2);
}

TEST_F(InputsTest, AChunkIsReadOnce) {
  const uint64_t list = bucket_.Store(ObjectKind::kList, SmallIntegers(100), 100);
  for (uint64_t i = 0; i < 100; ++i) {
    Resolve(Group(1, {.kind = InputColumn::Kind::kElements, .address = {list}, .first = {i}}));
    EXPECT_EQ(Data(0), std::string(1, i));
  }
  EXPECT_EQ(bucket_.gets(), 100 / FakeBucket::kChunkElements);
}

TEST_F(InputsTest, TasksThatComeWhileTheirChunkIsReadDoNotReadItAgain) {
  const uint64_t list = bucket_.Store(ObjectKind::kList, SmallIntegers(20), 20);
  const auto start = [&](uint64_t first) {
    GrantGroup group =
        Group(1, {.kind = InputColumn::Kind::kElements, .address = {list}, .first = {first}});
    group.lease[0] = first;
    inputs_.Resolve({.group = std::make_shared<const GrantGroup>(std::move(group)), .rows = {0}},
                    step_);
  };
  for (const uint64_t first : {0, 9, 3, 14, 13}) start(first);
  EXPECT_EQ(bucket_.gets(), 1);
  const absl::Time deadline = absl::Now() + Patience(absl::Seconds(60));
  while (ready_.size() < 5 && absl::Now() < deadline) {
    for (Inbox::Task& one : inbox_->Take(absl::Milliseconds(100))) one();
  }
  ASSERT_EQ(ready_.size(), 5u);
  for (const Call& call : ready_) EXPECT_EQ(*call.inputs[0].data, std::string(1, call.lease));
  EXPECT_EQ(bucket_.gets(), 2);
}

TEST_F(InputsTest, ScatteredElementsAreReadAChunkAtATime) {
  InputColumn column{.kind = InputColumn::Kind::kElements,
                     .address = {bucket_.Store(ObjectKind::kList, SmallIntegers(100), 100)}};
  for (uint64_t i = 0; i < 100; i += 2) column.first.push_back(i);
  Resolve(Group(50, column));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Data(i), std::string(1, 2 * i));
  EXPECT_EQ(bucket_.asked().size(), 100 / FakeBucket::kChunkElements);
}

TEST_F(InputsTest, AListOfSomethingElseIsNotLost) {
  Resolve(Group(1, {.kind = InputColumn::Kind::kElements,
                    .address = {bucket_.Store(ObjectKind::kList, "\xc1", 1)},
                    .first = {0}}));
  EXPECT_EQ(failed_.size(), 1u);
  EXPECT_TRUE(gone_.empty());
}

TEST_F(InputsTest, ElementsByCountMayLieInTwoChunks) {
  const uint64_t list = bucket_.Store(ObjectKind::kList, SmallIntegers(30), 30);
  for (uint64_t i = 0; i < 24; i += 7) {
    Resolve(Group(
        1, {.kind = InputColumn::Kind::kElements, .address = {list}, .first = {i}, .count = {6}}));
    EXPECT_EQ(Data(0), SmallIntegers(30).substr(i, 6));
  }
}

TEST_F(InputsTest, MoreThanIsReadAtOnceComesInParts) {
  std::string all;
  InputColumn column{.kind = InputColumn::Kind::kElements};
  for (int i = 0; i < 100; ++i) {
    all += BinHeader(50000) + std::string(50000, static_cast<char>(i));
    column.first.push_back(i);
  }
  column.address = {bucket_.Store(ObjectKind::kList, all, 100)};
  Resolve(Group(100, column));
  ASSERT_EQ(ready_.size(), 100u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(Data(i) == BinHeader(50000) + std::string(50000, static_cast<char>(i))) << i;
  }
  EXPECT_LE(bucket_.gets(), 6);
}

TEST_F(InputsTest, ElementsByCountAreLists) {
  Resolve(Group(2, {.kind = InputColumn::Kind::kElements,
                    .address = {bucket_.Store(ObjectKind::kList, "\x00\x01\x02\x03\x04"s, 5)},
                    .first = {0, 3},
                    .count = {3, 2}}));
  EXPECT_EQ(Data(0), "\x00\x01\x02"s);
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kList);
  EXPECT_EQ(ready_[0].inputs[0].elements, 3u);
  EXPECT_EQ(Data(1), "\x03\x04");
  EXPECT_EQ(bucket_.asked().size(), 1u);
}

TEST_F(InputsTest, LargeElementsBecomeStreams) {
  const std::string small = BinHeader(10) + std::string(10, 's');
  const std::string medium = BinHeader(200000) + std::string(200000, 'm');
  const std::string large = BinHeader(2000000) + std::string(2000000, 'l');
  const uint64_t address = bucket_.Store(ObjectKind::kList, small + medium + large + small, 4);
  Resolve(Group(
      4, {.kind = InputColumn::Kind::kElements, .address = {address}, .first = {0, 1, 2, 3}}));
  EXPECT_NE(ready_[0].inputs[0].data, nullptr);
  EXPECT_EQ(ready_[1].inputs[0].data, nullptr);
  EXPECT_TRUE(Data(0) == small);
  EXPECT_TRUE(Data(1) == medium);
  EXPECT_TRUE(Data(2) == large);
  EXPECT_TRUE(Data(3) == small);
}

TEST_F(InputsTest, AListThatIsGoneIsNamedForEveryElement) {
  Resolve(Group(2, {.kind = InputColumn::Kind::kElements, .address = {999}, .first = {0, 1}}));
  EXPECT_EQ(gone_, (std::map<uint64_t, uint64_t>{{100, 999}, {101, 999}}));
}

TEST_F(InputsTest, AnElementBeyondTheListIsAnError) {
  Resolve(Group(1, {.kind = InputColumn::Kind::kElements,
                    .address = {bucket_.Store(ObjectKind::kList, "\x01", 1)},
                    .first = {1}}));
  EXPECT_EQ(failed_.size(), 1u);
}

TEST_F(InputsTest, RangesAreIntegers) {
  Resolve(Group(2, {.kind = InputColumn::Kind::kRange, .first = {7, 300}}));
  EXPECT_EQ(Data(0), "\x07");
  EXPECT_EQ(Data(1), "\xcd\x01\x2c");
  Resolve(Group(1, {.kind = InputColumn::Kind::kRange, .first = {4}, .count = {3}}));
  EXPECT_EQ(Data(0), "\x04\x05\x06");
  EXPECT_EQ(ready_[0].inputs[0].elements, 3u);
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kList);
}

TEST_F(InputsTest, AFanInIsTheListOfValuesInOrder) {
  hub_.table[8].addresses = {
      bucket_.Store(ObjectKind::kValue, "\x01"), 0, bucket_.Store(ObjectKind::kList, "\x05\x06", 2),
      bucket_.Store(ObjectKind::kBytes, "raw"), bucket_.Store(ObjectKind::kList, "", 0)};
  Resolve(Group(1, {.kind = InputColumn::Kind::kFanIn, .instance = {8}}));
  EXPECT_EQ(Data(0), "\x01\xc0\x92\x05\x06\xc4\x03raw\x90"s);
  EXPECT_TRUE(ready_[0].inputs[0].fan_in);
  EXPECT_EQ(ready_[0].inputs[0].elements, 5u);
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kList);
}

TEST_F(InputsTest, AFanInOfNothingIsAnEmptyList) {
  Resolve(Group(1, {.kind = InputColumn::Kind::kFanIn, .instance = {8}}));
  EXPECT_EQ(Data(0), "");
  EXPECT_EQ(ready_[0].inputs[0].kind, ObjectKind::kList);
  EXPECT_NE(ready_[0].inputs[0].data, nullptr);
}

TEST_F(InputsTest, ALoopWithinALoopGivesListsOfLists) {
  const uint64_t one = bucket_.Store(ObjectKind::kValue, "\x01");
  hub_.table[8].instances = {11, 12, 13};
  hub_.table[11].addresses = {one, one, one};
  hub_.table[13].instances = {21};
  hub_.table[21].addresses = {one};
  Resolve(Group(1, {.kind = InputColumn::Kind::kFanIn, .instance = {8}}));
  EXPECT_EQ(Data(0), "\x93\x01\x01\x01\x90\x91\x91\x01");
  EXPECT_EQ(ready_[0].inputs[0].elements, 3u);
}

TEST_F(InputsTest, ALargeFanInIsAStream) {
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    const std::string value(1000 + i, 'x');
    hub_.table[8].addresses.push_back(bucket_.Store(ObjectKind::kBytes, value));
    expected += BinHeader(value.size()) + value;
  }
  const std::string large(500000, 'l');
  hub_.table[8].addresses.push_back(bucket_.Store(ObjectKind::kBytes, large));
  expected += BinHeader(large.size()) + large;
  hub_.table[8].addresses.push_back(bucket_.Store(ObjectKind::kValue, "\x01"));
  expected += "\x01";
  Resolve(Group(1, {.kind = InputColumn::Kind::kFanIn, .instance = {8}}));
  EXPECT_EQ(ready_[0].inputs[0].data, nullptr);
  EXPECT_TRUE(Data(0) == expected);
  EXPECT_TRUE(Data(0) == expected) << "may be opened again";
}

TEST_F(InputsTest, AMissingValueOfAFanInIsNamed) {
  hub_.table[8].addresses = {bucket_.Store(ObjectKind::kValue, "\x01"), 999};
  Resolve(Group(1, {.kind = InputColumn::Kind::kFanIn, .instance = {8}}));
  EXPECT_EQ(gone_, (std::map<uint64_t, uint64_t>{{100, 999}}));
}

TEST(ListCacheTest, KeepsToItsBytesAndDropsTheOldest) {
  ListCache cache(100000);
  for (uint64_t first = 0; first < 10000; first += 10) {
    cache.Insert(7, *ListBlock::Parse(first, SmallIntegers(10)));
    ASSERT_LE(cache.bytes(), 100000u);
    ASSERT_NE(cache.Find(7, first + 3, 7), nullptr);
    ASSERT_EQ(cache.Find(7, first + 3, 8), nullptr);
  }
  EXPECT_EQ(cache.Find(7, 0, 1), nullptr);
  EXPECT_EQ(cache.Find(8, 9990, 1), nullptr);
}

TEST(ListCacheTest, ALongerBlockTakesTheShortersPlace) {
  ListCache cache(100000);
  const auto insert = [&](uint64_t count) {
    cache.Insert(7, *ListBlock::Parse(20, SmallIntegers(count)));
  };
  insert(5);
  insert(15);
  const size_t bytes = cache.bytes();
  insert(10);
  EXPECT_EQ(cache.bytes(), bytes);
  ASSERT_NE(cache.Find(7, 20, 15), nullptr);
  EXPECT_EQ(cache.Find(7, 34, 1)->Elements(34, 1), std::string(1, 14));
}

TEST(ListBlockTest, HoldsWholeElementsOnly) {
  const std::string two = BinHeader(5) + "12345" + BinHeader(5) + "67890";
  const auto block = *ListBlock::Parse(3, two.substr(0, two.size() - 1));
  EXPECT_EQ(block->end(), 4u);
  EXPECT_EQ(block->Elements(3, 1), two.substr(0, two.size() / 2));
  EXPECT_FALSE(block->Holds(2, 1));
  EXPECT_FALSE(block->Holds(4, 1));
  EXPECT_FALSE(block->Holds(3, UINT64_MAX));
  EXPECT_FALSE(ListBlock::Parse(0, "\xc1").ok());
}

TEST(ValueCacheTest, KeepsToItsBytesAndPrefersWhatIsAskedFor) {
  ValueCache cache(100000);
  const auto value = [] {
    return CachedValue{.data = std::make_shared<const std::string>(1000, 'x')};
  };
  cache.Insert(1, value());
  for (uint64_t address = 2; address < 1000; ++address) {
    ASSERT_NE(cache.Find(1), nullptr);
    cache.Insert(address, value());
    ASSERT_LE(cache.bytes(), 100000u);
  }
  EXPECT_EQ(cache.Find(2), nullptr);
  EXPECT_NE(cache.Find(999), nullptr);
}

}  // namespace
}  // namespace bue::worker
