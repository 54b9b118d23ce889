// A bucket that goes away and comes back, as its clients see it.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/support/patience.h"
#include "tests/unit/bucket/bucket_fixture.h"

namespace bue {
namespace {

class RestartTest : public BucketFixture {
 protected:
  void Restart() {
    StopBucket();
    StartBucket();
  }
};

TEST_F(RestartTest, PutsAndGetsWaitForTheBucket) {
  const uint64_t before = PutOne({.data = "before"});
  StopBucket();
  Addresses addresses;
  FetchedAll fetched;
  absl::Notification put;
  absl::Notification got;
  client_->Put({{.data = "during"}}, [&](Addresses result) {
    addresses = std::move(result);
    put.Notify();
  });
  client_->Get({{.address = before}}, 100, [&](FetchedAll result) {
    fetched = std::move(result);
    got.Notify();
  });
  EXPECT_FALSE(put.HasBeenNotified());
  StartBucket();
  ASSERT_TRUE(put.WaitForNotificationWithTimeout(Patience(absl::Seconds(60))));
  ASSERT_TRUE(got.WaitForNotificationWithTimeout(Patience(absl::Seconds(60))));
  EXPECT_EQ(fetched[0]->data, "before");
  EXPECT_EQ(GetOne({.address = addresses[0].value()})->data, "during");
}

TEST_F(RestartTest, ThatItIsAwayAndBackIsSaidOnceEach) {
  absl::Mutex mutex;
  std::vector<bool> said;
  Connect({.on_away =
               [&](const std::string& bucket, bool away) {
                 EXPECT_EQ(bucket, options_.binding);
                 absl::MutexLock lock(&mutex);
                 said.push_back(away);
               },
           .say_away_after = absl::Milliseconds(300)});
  const auto said_so_far = [&](size_t count) {
    const auto enough = [&] { return said.size() >= count; };
    absl::MutexLock lock(&mutex);
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&enough), Patience(absl::Seconds(60))));
    return said;
  };
  PutOne({.data = "before"});
  for (size_t time = 0; time < 2; ++time) {
    StopBucket();
    absl::Notification put;
    client_->Put({{.data = "during"}}, [&](Addresses) { put.Notify(); });
    EXPECT_EQ(said_so_far(2 * time + 1).size(), 2 * time + 1);
    StartBucket();
    put.WaitForNotification();
    EXPECT_EQ(said_so_far(2 * time + 2).size(), 2 * time + 2);
  }
  EXPECT_EQ(said_so_far(4), (std::vector<bool>{true, false, true, false}));
  client_.reset();
}

TEST_F(RestartTest, NothingAcknowledgedIsLost) {
  std::atomic<bool> stop{false};
  std::vector<std::vector<uint64_t>> acknowledged(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < acknowledged.size(); ++t) {
    threads.emplace_back([&, t] {
      while (!stop) {
        std::vector<PutItem> items(20,
                                   PutItem{.data = std::string(100, static_cast<char>('a' + t))});
        for (const auto& address : Put(std::move(items))) {
          ASSERT_TRUE(address.ok()) << address.status();
          acknowledged[t].push_back(*address);
        }
      }
    });
  }
  for (int i = 0; i < 3; ++i) {
    const uint64_t mark = PutOne({.data = "mark"});
    ASSERT_NE(mark, kNoObject);
    Restart();
  }
  PutOne({.data = "mark"});
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < acknowledged.size(); ++t) {
    ASSERT_FALSE(acknowledged[t].empty());
    std::vector<GetItem> gets;
    for (const uint64_t address : acknowledged[t]) gets.push_back({.address = address});
    for (const auto& fetched : Get(gets)) {
      ASSERT_TRUE(fetched.ok()) << fetched.status();
      ASSERT_EQ(fetched->data, std::string(100, static_cast<char>('a' + t)));
    }
  }
}

TEST_F(RestartTest, ABucketOnAnotherDirectoryIsTakenForWhatItIs) {
  std::vector<uint16_t> gone_stores;  // Said by the client's own thread, before its answer.
  Connect(
      {.on_store_gone = [&](uint16_t store, const std::string&) { gone_stores.push_back(store); }});
  const uint64_t lost = PutOne({.data = "lost"});
  StopBucket();
  options_.data_dir += "-2";
  StartBucket();
  const uint64_t here = PutOne({.data = "here"});
  ASSERT_NE(StoreOf(here), StoreOf(lost));
  const uint64_t also_here = PutOne({.data = "also here"});
  EXPECT_TRUE(client_->Delete({lost, also_here}).ok());  // Before anybody was asked who he is.
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = also_here}).status()));
  const FetchedAll fetched = Get({{.address = here}, {.address = lost}});
  ASSERT_TRUE(fetched[0].ok()) << fetched[0].status();
  EXPECT_EQ(fetched[0]->data, "here");
  EXPECT_TRUE(absl::IsNotFound(fetched[1].status())) << fetched[1].status();
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = lost + 1}).status()));
  EXPECT_TRUE(client_->StoreIsGone(StoreOf(lost)));
  EXPECT_EQ(gone_stores, std::vector<uint16_t>{StoreOf(lost)});
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = here + 1000}).status()));
  EXPECT_FALSE(client_->StoreIsGone(StoreOf(here)));
  EXPECT_EQ(ReadAll(client_->OpenReader(here)->get()), "here");
  EXPECT_TRUE(client_->Delete({lost, here}).ok());
  EXPECT_TRUE(absl::IsNotFound(Get({{.address = here}})[0].status()));
}

TEST_F(RestartTest, WhatIsReadWhileItsStoreGoesIsGone) {
  Connect({.read_bytes_max = 1 << 20});
  const uint64_t lost = Write(ObjectKind::kBytes, std::string(8 << 20, 'x'), 0);
  auto reader = *client_->OpenReader(lost);
  ASSERT_TRUE(reader->Next().ok());
  StopBucket();
  options_.data_dir += "-2";
  StartBucket();
  absl::Status status;
  while (status.ok()) {
    const auto chunk = reader->Next();
    ASSERT_TRUE(!chunk.ok() || chunk->has_value()) << "read to its end";
    status = chunk.status();
  }
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(absl::IsNotFound(client_->OpenReader(lost).status()));
}

TEST_F(RestartTest, AStoreIsNotGoneWhileABucketIsAway) {
  BucketOptions other_options = options_;
  other_options.binding = "127.0.0.1:0";
  other_options.data_dir += "-other";
  auto other = *Bucket::Start(other_options);
  other_options.binding = other->address();
  client_ = *BucketClient::Connect({.buckets = {bucket_->address(), other->address()}});
  const uint64_t one = PutOne({.origin = {.run = 1}, .data = "one"});
  StopBucket();
  other.reset();
  // The two directories change places: nothing is lost, but one of them is away for now.
  std::swap(options_.data_dir, other_options.data_dir);
  StartBucket();
  const absl::Status asked = GetOne({.address = one}).status();
  EXPECT_TRUE(absl::IsUnavailable(asked)) << asked;
  other = *Bucket::Start(other_options);
  absl::StatusOr<Fetched> fetched = GetOne({.address = one});
  while (absl::IsUnavailable(fetched.status())) fetched = GetOne({.address = one});
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->data, "one");
  EXPECT_FALSE(client_->StoreIsGone(StoreOf(one)));
  client_.reset();
}

TEST_F(RestartTest, AStreamingWriterFailsAndTheNextSucceeds) {
  auto writer = *client_->OpenWriter(ObjectKind::kBytes, {});
  ASSERT_TRUE(writer->Append(std::string(1 << 20, 'x'), 0, false).ok());
  ASSERT_TRUE(writer->Flush().ok());
  Restart();
  absl::Status status = writer->Append(std::string(1 << 20, 'x'), 0, false);
  if (status.ok()) status = writer->Finish().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  const std::string bytes(2 << 20, 'y');
  EXPECT_EQ(ReadAll(client_->OpenReader(Write(ObjectKind::kBytes, bytes, 0))->get()), bytes);
}

TEST_F(RestartTest, AStreamingReadOfBytesGoesOn) {
  std::string bytes;
  for (int i = 0; bytes.size() < 12 << 20; ++i) bytes += std::to_string(i) + " ";
  const uint64_t address = Write(ObjectKind::kBytes, bytes, 0);
  Connect({.read_bytes_max = 1 << 20});
  auto reader = *client_->OpenReader(address);
  std::string read;
  for (int i = 0; i < 10; ++i) read += (*reader->Next())->data;
  Restart();
  for (int i = 0; i < 15; ++i) read += (*reader->Next())->data;
  Restart();
  read += ReadAll(reader.get());
  EXPECT_TRUE(read == bytes);
}

TEST_F(RestartTest, AStreamingReadOfAListGoesOn) {
  std::string bytes;
  std::vector<std::string> elements;
  for (uint64_t i = 0; bytes.size() < 12 << 20; ++i) {
    elements.push_back(ListElement(i, i % 300 == 5 ? 1'500'000 : 3000));
    bytes += elements.back();
  }
  const uint64_t address = Write(ObjectKind::kList, bytes, elements.size());
  std::string range;
  for (size_t i = 3; i + 2 < elements.size(); ++i) range += elements[i];
  Connect({.read_bytes_max = 600'000});
  // After every number of chunks, so that it breaks between and in the middle of elements.
  for (const int chunks : {0, 1, 2, 4, 7, 20}) {
    auto whole = *client_->OpenReader(address);
    auto part = *client_->OpenReader(address, 3, elements.size() - 5);
    std::string whole_read;
    std::string part_read;
    for (int i = 0; i < chunks; ++i) whole_read += (*whole->Next())->data;
    for (int i = 0; i < chunks; ++i) part_read += (*part->Next())->data;
    Restart();
    whole_read += ReadAll(whole.get());
    part_read += ReadAll(part.get());
    EXPECT_TRUE(whole_read == bytes) << chunks;
    EXPECT_TRUE(part_read == range) << chunks;
  }
}

TEST_F(RestartTest, DeletesWaitForTheBucket) {
  const uint64_t address = PutOne({.data = "x"});
  StopBucket();
  absl::Status deleted = absl::UnknownError("");
  std::thread deleter([&] { deleted = client_->Delete({address}); });
  StartBucket();
  deleter.join();
  EXPECT_TRUE(deleted.ok()) << deleted;
  EXPECT_TRUE(absl::IsNotFound(GetOne({.address = address}).status()));
}

TEST_F(RestartTest, PatienceEnds) {
  Connect({.patience = absl::Seconds(2)});
  const uint64_t address = PutOne({.data = "x"});
  StopBucket();
  std::thread put([&] { EXPECT_TRUE(absl::IsUnavailable(Put({{.data = "x"}})[0].status())); });
  std::thread get([&] { EXPECT_TRUE(absl::IsUnavailable(GetOne({.address = address}).status())); });
  std::thread read(
      [&] { EXPECT_TRUE(absl::IsUnavailable(client_->OpenReader(address).status())); });
  EXPECT_TRUE(absl::IsUnavailable(client_->Delete({address})));
  put.join();
  get.join();
  read.join();
  StartBucket();
  absl::StatusOr<Fetched> fetched = GetOne({.address = address});
  while (absl::IsUnavailable(fetched.status())) fetched = GetOne({.address = address});
  EXPECT_EQ(fetched->data, "x");  // The client has not given up for good.
}

}  // namespace
}  // namespace bue
