#include "worker/core/hash_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/support/patience.h"
#include "tests/unit/worker/fake_bucket.h"

namespace bue::worker {
namespace {

// Nothing here is gathered from a loop.
class NoQuestions final : public HubQuestions {
 public:
  absl::StatusOr<ValuePage> ListValues(uint64_t, uint64_t, uint64_t, uint32_t, uint64_t) override {
    return absl::UnimplementedError("not asked here");
  }
  absl::StatusOr<std::string> GetFile(absl::string_view) override {
    return absl::UnimplementedError("not asked here");
  }
};

class HashReaderTest : public testing::Test, public InputsListener {
 protected:
  void OnReady(std::vector<Call>) override { ADD_FAILURE() << "no task's input"; }
  void OnInputGone(uint64_t, uint64_t, const absl::Status&) override { ADD_FAILURE(); }
  void OnInputFailed(uint64_t, const absl::Status&) override { ADD_FAILURE(); }

  std::vector<HashReply> Wait(size_t replies) {
    std::vector<HashReply> all;
    const absl::Time deadline = absl::Now() + Patience(absl::Seconds(60));
    while (absl::Now() < deadline) {
      for (HashReply& reply : reader_.TakeReplies()) all.push_back(std::move(reply));
      if (all.size() >= replies) break;
      for (Inbox::Task& one : inbox_->Take(absl::Milliseconds(100))) one();
    }
    EXPECT_EQ(all.size(), replies);
    return all;
  }

  std::vector<uint64_t> Hashes(InputColumn values, uint32_t count) {
    reader_.Read({.id = 9, .values = std::move(values), .count = count});
    const std::vector<HashReply> replies = Wait(1);
    EXPECT_EQ(replies[0].id, 9u);
    return replies[0].hashes;
  }

  FakeBucket bucket_;
  NoQuestions hub_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  Inputs inputs_{{}, &bucket_, &hub_, inbox_, this};
  HashReader reader_{&inputs_};
};

TEST_F(HashReaderTest, EqualValuesHaveEqualHashesWhereverTheyLie) {
  const uint64_t one = bucket_.Store(ObjectKind::kValue, "\x01");
  const uint64_t again = bucket_.Store(ObjectKind::kValue, "\x01");
  const uint64_t two = bucket_.Store(ObjectKind::kValue, "\x02");
  const uint64_t list = bucket_.Store(ObjectKind::kList, "\x02\x01", 2);
  const std::vector<uint64_t> values = Hashes({.address = {one, again, two}}, 3);
  const std::vector<uint64_t> elements =
      Hashes({.kind = InputColumn::Kind::kElements, .address = {list}, .first = {0, 1}}, 2);
  EXPECT_EQ(values[0], values[1]);
  EXPECT_NE(values[0], values[2]);
  EXPECT_EQ(elements, (std::vector<uint64_t>{values[2], values[0]}));
}

TEST_F(HashReaderTest, NoHashIsZeroButThatOfWhatCannotBeRead) {
  const uint64_t gone = bucket_.Store(ObjectKind::kValue, "\x01");
  bucket_.Remove(gone);
  const uint64_t there = bucket_.Store(ObjectKind::kValue, "\x01");
  const std::vector<uint64_t> hashes = Hashes({.address = {gone, kNoObject, there}}, 3);
  EXPECT_EQ(hashes[0], 0u);
  EXPECT_NE(hashes[1], 0u);  // None.
  EXPECT_NE(hashes[2], 0u);
}

TEST_F(HashReaderTest, AListIsNotItsOnlyElement) {
  const uint64_t value = bucket_.Store(ObjectKind::kValue, "\x01");
  const uint64_t list = bucket_.Store(ObjectKind::kList, "\x01", 1);
  const std::vector<uint64_t> hashes = Hashes({.address = {value, list}}, 2);
  EXPECT_NE(hashes[0], hashes[1]);
}

TEST_F(HashReaderTest, ALargeValueHasTheHashOfItsName) {
  const std::string large = std::string("\xc6\x00\x08\x00\x00", 5) + std::string(1 << 19, 'x');
  const uint64_t one = bucket_.Store(ObjectKind::kValue, large);
  const uint64_t other = bucket_.Store(ObjectKind::kValue, large);
  const std::vector<uint64_t> hashes = Hashes({.address = {one, other, one}}, 3);
  EXPECT_EQ(hashes[0], hashes[2]);
  EXPECT_EQ(std::set<uint64_t>(hashes.begin(), hashes.end()).count(0), 0u);
}

TEST_F(HashReaderTest, EachRequestHasAReply) {
  const uint64_t value = bucket_.Store(ObjectKind::kValue, "\x01");
  for (uint64_t id = 1; id <= 5; ++id) {
    reader_.Read({.id = id, .values = {.address = {value}}, .count = static_cast<uint32_t>(id)});
  }
  reader_.Read({.id = 6});
  std::set<uint64_t> ids;
  for (const HashReply& reply : Wait(6)) {
    EXPECT_EQ(reply.hashes.size(), reply.id == 6 ? 0 : reply.id);
    ids.insert(reply.id);
  }
  EXPECT_EQ(ids.size(), 6u);
}

TEST_F(HashReaderTest, WhatIsForgottenIsNotAnswered) {
  reader_.Read(
      {.id = 1, .values = {.address = {bucket_.Store(ObjectKind::kValue, "\x01")}}, .count = 1});
  reader_.Forget();
  EXPECT_EQ(Hashes({.address = {bucket_.Store(ObjectKind::kValue, "\x02")}}, 1).size(), 1u);
}

}  // namespace
}  // namespace bue::worker
