#include "common/bucket_client/bucket_client.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/unit/bucket/bucket_fixture.h"

namespace bue {
namespace {

class BucketClientTest : public BucketFixture {};

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(BucketClientTest, GetsWhatWasPut) {
  const uint64_t value = PutOne({.kind = ObjectKind::kValue, .data = "\xa1v"});
  const uint64_t list = PutOne({.kind = ObjectKind::kList, .elements = 3, .data = "\x01\x02\x03"});
  const uint64_t bytes =
      PutOne({.kind = ObjectKind::kBytes, .data = std::string(kChunkBytesMax, 'b')});
  const auto fetched = Get({{.address = value}, {.address = list}, {.address = bytes}});
  ASSERT_TRUE(fetched[0].ok() && fetched[1].ok() && fetched[2].ok());
  EXPECT_EQ(fetched[0]->data, "\xa1v");
  EXPECT_EQ(fetched[0]->kind, ObjectKind::kValue);
  EXPECT_EQ(fetched[1]->data, "\x01\x02\x03");
  EXPECT_EQ(fetched[1]->kind, ObjectKind::kList);
  EXPECT_EQ(fetched[1]->elements, 3);
  EXPECT_EQ(fetched[2]->data, std::string(kChunkBytesMax, 'b'));
  EXPECT_EQ(fetched[2]->total_bytes, kChunkBytesMax);
}

TEST_F(BucketClientTest, ManyThreadsPutAndGetAtOnce) {
  constexpr int kThreads = 8;
  constexpr int kBatches = 50;
  constexpr int kItems = 40;
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int b = 0; b < kBatches; ++b) {
        std::vector<PutItem> items;
        for (int i = 0; i < kItems; ++i) {
          items.push_back({.data = absl::StrCat("\xd9", t, "/", b, "/", i)});
        }
        const Addresses addresses = Put(items);
        std::vector<GetItem> gets;
        for (const auto& address : addresses) gets.push_back({.address = address.value()});
        const FetchedAll fetched = Get(gets);
        for (int i = 0; i < kItems; ++i)
          good += fetched[i].ok() && fetched[i]->data == items[i].data;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kThreads * kBatches * kItems);
  EXPECT_EQ(client_->Info(absl::Seconds(60))->at(0).objects, kThreads * kBatches * kItems);
}

TEST_F(BucketClientTest, AddressZeroIsNone) {
  EXPECT_EQ(GetOne({.address = kNoObject})->data, "\xc0");
  EXPECT_TRUE(client_->Delete({kNoObject}).ok());
}

TEST_F(BucketClientTest, ADeletedObjectIsNotFound) {
  const uint64_t address = PutOne({.data = "x"});
  ASSERT_TRUE(client_->Delete({address}).ok());
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = address}).status()));
  EXPECT_TRUE(absl::IsNotFound(client_->OpenReader(address).status()));
}

TEST_F(BucketClientTest, AStoreThatNoBucketIsIsGone) {
  const uint64_t foreign = MakeAddress(static_cast<uint16_t>(bucket_->store_id() ^ 1), 4);
  const absl::Status status = GetOne({.address = foreign}).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_TRUE(absl::StrContains(status.message(), bucket_->address())) << status;
  EXPECT_TRUE(client_->StoreIsGone(StoreOf(foreign)));
}

TEST_F(BucketClientTest, AStoreMayBeThatOfABucketThatThisClientWasNotTold) {
  bool all = false;
  BucketClientOptions options{.buckets = {bucket_->address()}};
  options.knows_all = [&all] { return all; };
  const auto client = BucketClient::Connect(std::move(options)).value();
  const uint64_t foreign = MakeAddress(static_cast<uint16_t>(bucket_->store_id() ^ 1), 4);
  EXPECT_TRUE(absl::IsFailedPrecondition(client->OpenReader(foreign).status()));
  all = true;
  EXPECT_TRUE(absl::IsNotFound(client->OpenReader(foreign).status()));
}

TEST_F(BucketClientTest, LargeValuesAreOnlyAnnounced) {
  const std::string bytes(3 << 20, 'b');
  const uint64_t large = Write(ObjectKind::kBytes, bytes, 0);
  const uint64_t small = PutOne({.data = "x"});
  const auto fetched = Get({{.address = large}, {.address = small}}, 1 << 20);
  EXPECT_TRUE(fetched[0]->too_big);
  EXPECT_EQ(fetched[0]->total_bytes, bytes.size());
  EXPECT_TRUE(fetched[0]->data.empty());
  EXPECT_FALSE(fetched[1]->too_big);
  EXPECT_EQ(GetOne({.address = large}, bytes.size())->data, bytes);
}

TEST_F(BucketClientTest, ZeroBytesDescribe) {
  const uint64_t list = PutOne({.kind = ObjectKind::kList, .elements = 2, .data = "\x01\x02"});
  const auto described = GetOne({.address = list}, 0);
  EXPECT_TRUE(described->too_big);
  EXPECT_EQ(described->kind, ObjectKind::kList);
  EXPECT_EQ(described->elements, 2);
  EXPECT_EQ(described->total_bytes, 2);
}

TEST_F(BucketClientTest, ARangeHoldsExactlyItsElements) {
  std::string bytes;
  std::vector<std::string> elements;
  for (uint64_t i = 0; i < 2000; ++i) {
    // Every hundredth is larger than a chunk.
    elements.push_back(ListElement(i, i % 500 == 7 ? 600'000 : 500 + i % 13));
    bytes += elements.back();
  }
  const uint64_t list = Write(ObjectKind::kList, bytes, elements.size());
  for (const auto& [first, count] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 1}, {0, 7}, {6, 3}, {7, 1}, {8, 1}, {500, 20}, {1507, 1}, {1990, 10}, {1995, 50}}) {
    std::string expected;
    const uint64_t end = std::min<uint64_t>(first + count, elements.size());
    for (uint64_t i = first; i < end; ++i) expected += elements[i];
    const auto range = GetOne({.address = list, .first = first, .count = count}, 4 << 20);
    ASSERT_TRUE(range.ok()) << range.status();
    EXPECT_EQ(range->data, expected) << first << "+" << count;
    EXPECT_EQ(range->elements, end - first);
    EXPECT_EQ(range->total_bytes, bytes.size());
    auto reader = client_->OpenReader(list, first, count);
    EXPECT_EQ(ReadAll(reader->get()), expected) << first << "+" << count;
    const auto whole =
        GetOne({.address = list, .first = first, .count = count, .whole_chunks = true}, 4 << 20);
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_LE(whole->first, first);
    std::string before;
    for (uint64_t i = whole->first; i < first; ++i) before += elements[i];
    EXPECT_TRUE(whole->data.starts_with(before + expected)) << first << "+" << count;
    EXPECT_EQ(whole->elements, elements.size());
  }
  EXPECT_TRUE(GetOne({.address = list, .first = 5000, .count = 1})->data.empty());
  EXPECT_TRUE(GetOne({.address = list, .first = 0, .count = 2000}, 1 << 20)->too_big);
  const auto beginning = GetOne({.address = list, .count = 2000, .whole_chunks = true}, 1 << 20);
  EXPECT_TRUE(beginning->too_big);
  EXPECT_GT(beginning->data.size(), 1u << 20);
  EXPECT_TRUE(bytes.starts_with(beginning->data));
}

TEST_F(BucketClientTest, ARangeOfASmallListIsCut) {
  const uint64_t list =
      PutOne({.kind = ObjectKind::kList, .elements = 4, .data = "\x01\x02\x03\x04"});
  EXPECT_EQ(GetOne({.address = list, .first = 1, .count = 2})->data, "\x02\x03");
  EXPECT_EQ(GetOne({.address = list, .first = 3, .count = 9})->elements, 1);
  EXPECT_TRUE(GetOne({.address = list, .first = 4, .count = 9})->data.empty());
}

TEST_F(BucketClientTest, ALargeValueStreamsInBoundedMemory) {
  constexpr uint64_t kBytes = 256 << 20;
  const std::string piece(1 << 20, 'p');
  Write(ObjectKind::kBytes, std::string(32 << 20, 'w'), 0);  // Warms the allocator up.
  const uint64_t before = ResidentBytes();
  uint64_t peak = before;
  auto writer = *client_->OpenWriter(ObjectKind::kBytes, {});
  for (uint64_t at = 0; at < kBytes; at += piece.size()) {
    ASSERT_TRUE(writer->Append(piece, 0, false).ok());
    peak = std::max(peak, ResidentBytes());
  }
  const auto written = writer->Finish();
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->bytes, kBytes);
  auto reader = *client_->OpenReader(written->address);
  EXPECT_EQ(reader->total_bytes(), kBytes);
  uint64_t read = 0;
  while (true) {
    const auto chunk = reader->Next();
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (!chunk->has_value()) break;
    read += (*chunk)->data.size();
    peak = std::max(peak, ResidentBytes());
  }
  EXPECT_EQ(read, kBytes);
  EXPECT_LT(peak - before, 128u << 20) << "grew by MiB: " << ((peak - before) >> 20);
}

TEST_F(BucketClientTest, AFlushedPrefixCanBeReadWhileItIsWritten) {
  auto writer = *client_->OpenWriter(ObjectKind::kList, {});
  ASSERT_TRUE(writer->Append("\x01\x02", 2, false).ok());
  const auto flushed = writer->Flush();
  ASSERT_TRUE(flushed.ok());
  EXPECT_EQ(flushed->elements, 2);
  EXPECT_EQ(GetOne({.address = flushed->address})->data, "\x01\x02");
  ASSERT_TRUE(writer->Append("\x03", 1, false).ok());
  EXPECT_EQ(writer->Flush()->elements, 3);
  EXPECT_EQ(GetOne({.address = flushed->address, .first = 2, .count = 5})->data, "\x03");
  const auto finished = writer->Finish();
  EXPECT_EQ(finished->address, flushed->address);
  EXPECT_EQ(finished->elements, 3);
  EXPECT_TRUE(absl::IsFailedPrecondition(writer->Append("\x04", 1, false)));
}

TEST_F(BucketClientTest, AnAbortedWriterLeavesNothing) {
  auto writer = *client_->OpenWriter(ObjectKind::kBytes, {});
  ASSERT_TRUE(writer->Append("abc", 0, false).ok());
  const uint64_t address = writer->Flush()->address;
  writer.reset();
  PutOne({.data = "x"});  // Comes after the abort on the same stream.
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = address}).status()));
}

TEST_F(BucketClientTest, ASlowReaderHoldsUpNobody) {
  const uint64_t large = Write(ObjectKind::kBytes, std::string(16 << 20, 'b'), 0);
  const uint64_t small = PutOne({.data = "x"});
  auto slow = *client_->OpenReader(large);
  EXPECT_EQ(GetOne({.address = small})->data, "x");
  auto quick = *client_->OpenReader(large);
  EXPECT_EQ(ReadAll(quick.get()).size(), 16u << 20);
  EXPECT_EQ(ReadAll(slow.get()).size(), 16u << 20);
}

TEST_F(BucketClientTest, WritersShareTheWindow) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      const std::string bytes(5 << 20, static_cast<char>('a' + t));
      const uint64_t address = Write(ObjectKind::kBytes, bytes, 0);
      good += ReadAll(client_->OpenReader(address)->get()) == bytes;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 6);
}

TEST_F(BucketClientTest, AnOversizedPutFailsAlone) {
  const auto addresses = Put({{.data = std::string(kChunkBytesMax + 1, 'x')}, {.data = "x"}});
  EXPECT_TRUE(absl::IsInvalidArgument(addresses[0].status()));
  EXPECT_TRUE(addresses[1].ok());
}

TEST_F(BucketClientTest, SeveralBucketsShareTheLoad) {
  TempDir other_dir;
  auto other = Bucket::Start({.binding = "127.0.0.1:0", .data_dir = other_dir.path()});
  ASSERT_TRUE(other.ok());
  auto client =
      BucketClient::Connect({bucket_->address(), (*other)->address()}, "", absl::Seconds(60));
  ASSERT_TRUE(client.ok()) << client.status();
  client_ = *std::move(client);
  std::vector<PutItem> items;
  for (uint64_t i = 0; i < 100; ++i)
    items.push_back({.origin = {.run = 1, .item = i}, .data = "x"});
  std::vector<GetItem> gets;
  std::set<uint16_t> stores;
  std::vector<uint64_t> all;
  for (const auto& address : Put(items)) {
    all.push_back(address.value());
    gets.push_back({.address = all.back()});
    stores.insert(StoreOf(all.back()));
  }
  EXPECT_EQ(stores.size(), 2);
  for (const auto& fetched : Get(gets)) EXPECT_EQ(fetched->data, "x");
  EXPECT_TRUE(client_->Delete(all).ok());
  EXPECT_EQ(client_->Info(absl::Seconds(60))->at(1).objects, 0);
  client_.reset();
}

TEST_F(BucketClientTest, ListsWhatIsThereWithItsOrigin) {
  std::vector<PutItem> items;
  for (uint64_t i = 0; i < 10; ++i) items.push_back({.origin = {.run = 3, .item = i}, .data = "x"});
  Put(items);
  uint64_t after = MakeAddress(bucket_->store_id(), 0);
  std::vector<uint64_t> seen;
  while (true) {
    const auto listed = client_->List(after, 4);
    ASSERT_TRUE(listed.ok()) << listed.status();
    if (listed->empty()) break;
    for (const ListedObject& object : *listed) {
      EXPECT_EQ(object.origin.run, 3);
      EXPECT_EQ(object.bytes, 1);
      EXPECT_TRUE(object.finished);
      seen.push_back(object.origin.item);
    }
    after = listed->back().address;
  }
  EXPECT_EQ(seen.size(), 10);
}

TEST_F(BucketClientTest, WhatLiesInAStoreThatIsGoneIsDeleted) {
  const uint64_t address = PutOne({.data = "x"});
  const uint64_t foreign = MakeAddress(static_cast<uint16_t>(bucket_->store_id() ^ 1), 4);
  EXPECT_TRUE(client_->Delete({foreign, address}).ok());
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = address}).status()));
}

TEST_F(BucketClientTest, OneBucketNamedTwiceIsRefused) {
  const auto client =
      BucketClient::Connect({bucket_->address(), bucket_->address()}, "", absl::Seconds(60));
  EXPECT_TRUE(absl::IsFailedPrecondition(client.status())) << client.status();
}

TEST_F(BucketClientTest, AnUnreachableBucketIsNamed) {
  const std::string address = bucket_->address();
  StopBucket();
  const auto client = BucketClient::Connect({address}, "", absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsUnavailable(client.status()));
  EXPECT_TRUE(absl::StrContains(client.status().message(), address)) << client.status();
}

TEST_F(BucketClientTest, TheTokenIsRequired) {
  StopBucket();
  options_.token = "secret";
  StartBucket();
  const auto without = BucketClient::Connect({bucket_->address()}, "", absl::Seconds(60));
  EXPECT_TRUE(absl::IsUnauthenticated(without.status())) << without.status();
  const auto with = BucketClient::Connect({bucket_->address()}, "secret", absl::Seconds(60));
  ASSERT_TRUE(with.ok()) << with.status();
  client_ = BucketClient::Connect({bucket_->address()}, "secret", absl::Seconds(60)).value();
  EXPECT_EQ(GetOne({.address = PutOne({.data = "x"})})->data, "x");
}

TEST_F(BucketClientTest, ClosingTheClientCancelsWhatWaits) {
  const uint64_t address = PutOne({.data = "x"});
  StopBucket();
  std::vector<absl::Status> ends;
  client_->Put({{.data = "x"}}, [&](Addresses result) { ends.push_back(result[0].status()); });
  client_->Get({{.address = address}}, 100,
               [&](FetchedAll result) { ends.push_back(result[0].status()); });
  client_.reset();
  ASSERT_EQ(ends.size(), 2);
  EXPECT_TRUE(absl::IsCancelled(ends[0]));
  EXPECT_TRUE(absl::IsCancelled(ends[1]));
}

}  // namespace
}  // namespace bue
