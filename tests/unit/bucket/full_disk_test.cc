// A bucket whose disk is nearly full, as its clients see it: values wait, everything else goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <climits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bucket/bucket_service.h"
#include "bucket/rocksdb_object_store.h"
#include "common/rpc.h"
#include "tests/support/patience.h"
#include "tests/unit/bucket/bucket_fixture.h"

namespace bue {
namespace {

// The store behind it, on a disk that is full when the test says so.
class FullStore final : public bucket::ObjectStore {
 public:
  explicit FullStore(std::unique_ptr<bucket::ObjectStore> store) : store_(std::move(store)) {}

  std::atomic<bool> full{false};
  std::atomic<int> reclaims{0};
  std::atomic<int> syncs{0};
  std::atomic<int> first_held{INT_MAX};  // That sync, and those after it, wait.

  absl::Status CheckRoom() override {
    return full ? absl::ResourceExhaustedError("the test's disk is nearly full") : absl::OkStatus();
  }
  void Reclaim() override { ++reclaims; }

  uint16_t store_id() const override { return store_->store_id(); }
  absl::StatusOr<std::vector<uint64_t>> Put(absl::Span<const bucket::NewObject> objects) override {
    return store_->Put(objects);
  }
  absl::StatusOr<std::unique_ptr<bucket::ObjectWriter>> OpenWriter(ObjectKind kind,
                                                                   const Origin& origin) override {
    return store_->OpenWriter(kind, origin);
  }
  absl::Status Delete(absl::Span<const uint64_t> addresses) override {
    return store_->Delete(addresses);
  }
  absl::Status Sync() override {
    const int number = ++syncs;
    while (number >= first_held) absl::SleepFor(absl::Milliseconds(1));
    return store_->Sync();
  }
  absl::StatusOr<bucket::ObjectInfo> Describe(uint64_t address) override {
    return store_->Describe(address);
  }
  std::unique_ptr<bucket::ObjectScan> NewScan() override { return store_->NewScan(); }
  absl::Status ClaimFor(const std::string& hub) override { return store_->ClaimFor(hub); }
  absl::StatusOr<std::vector<bucket::ListedObject>> List(uint64_t after, size_t limit) override {
    return store_->List(after, limit);
  }
  bucket::StoreStats Stats() override { return store_->Stats(); }

 private:
  const std::unique_ptr<bucket::ObjectStore> store_;
};

class FullDiskTest : public BucketFixture {
 protected:
  void SetUp() override {
    store_ = std::make_unique<FullStore>(
        *bucket::RocksDbObjectStore::Open({.data_dir = dir_.path() + "/data"}));
    service_ =
        std::make_unique<bucket::BucketService>(store_.get(), bucket::BucketServiceOptions{});
    server_ = *RpcServer::Start({.binding = "127.0.0.1:0"}, {service_->service()});
    ConnectToFull();
  }
  void TearDown() override {
    client_.reset();
    server_->Shutdown(absl::Seconds(1));
    server_.reset();
    service_.reset();
  }

  void ConnectToFull() {
    client_ =
        *BucketClient::Connect({.buckets = {server_->address()},
                                .on_waiting = [this](const std::string&, const std::string& why) {
                                  absl::MutexLock lock(&mutex_);
                                  notices_.push_back(why);
                                }});
  }

  std::vector<std::string> AwaitNotices(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&] {
      mutex_.AssertHeld();
      return notices_.size() >= count;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), Patience(absl::Seconds(60))));
    return notices_;
  }

  void AwaitObjects(size_t count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (store_->List(0, 1000)->size() != count) ASSERT_LT(absl::Now(), deadline);
  }

  std::unique_ptr<FullStore> store_;
  std::unique_ptr<bucket::BucketService> service_;
  std::unique_ptr<RpcServer> server_;
  absl::Mutex mutex_;
  std::vector<std::string> notices_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(FullDiskTest, ValuesWaitAreToldOnceAndGoOnByThemselves) {
  const uint64_t before = PutOne({.data = "before"});
  auto begun = *client_->OpenWriter(ObjectKind::kBytes, {});
  ASSERT_TRUE(begun->Append(std::string(1 << 20, 'b'), 0, false).ok());
  ASSERT_TRUE(begun->Flush().ok());
  store_->full = true;

  absl::Notification put;
  Addresses addresses;
  client_->Put({{.data = "a"}, {.data = "b"}}, [&](Addresses result) {
    addresses = std::move(result);
    put.Notify();
  });
  // More than the bucket and the stream hold: it blocks, and goes on in the middle.
  const std::string large(24 << 20, 'l');
  uint64_t written = 0;
  std::thread writer([&] { written = Write(ObjectKind::kBytes, large, 0); });
  EXPECT_TRUE(absl::StrContains(AwaitNotices(1)[0], "nearly full"));
  // Whatever is not a put goes on.
  EXPECT_EQ(GetOne({.address = before})->data, "before");
  EXPECT_TRUE(client_->Delete({before}).ok());
  EXPECT_FALSE(put.HasBeenNotified());

  store_->full = false;
  writer.join();
  put.WaitForNotification();
  EXPECT_EQ(GetOne({.address = *addresses[0]})->data, "a");
  EXPECT_EQ(GetOne({.address = *addresses[1]})->data, "b");
  EXPECT_TRUE(ReadAll(client_->OpenReader(written)->get()) == large);
  ASSERT_TRUE(begun->Append(std::string(1 << 20, 'c'), 0, false).ok());
  EXPECT_EQ(begun->Finish()->bytes, 2u << 20);
  const std::vector<std::string> notices = AwaitNotices(2);
  EXPECT_EQ(notices.size(), 2u);
  EXPECT_EQ(notices[1], "");
}

TEST_F(FullDiskTest, AClientThatLeavesTakesItsValuesWithIt) {
  store_->full = true;
  absl::Status status;
  client_->Put({{.data = std::string(100'000, 'x')}},
               [&](Addresses result) { status = result[0].status(); });
  AwaitNotices(1);
  client_.reset();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  store_->full = false;
  ConnectToFull();
  EXPECT_EQ(GetOne({.address = PutOne({.data = "next"})})->data, "next");
  EXPECT_EQ(store_->List(0, 10)->size(), 1u);
}

// What was written before is acknowledged while other values wait.
TEST_F(FullDiskTest, AnAcknowledgementDoesNotSayThatThereIsRoom) {
  const auto put = [this](uint64_t run, Addresses* addresses, absl::Notification* done) {
    std::vector<PutItem> items;
    for (int i = 0; i < 2; ++i) {  // Too much for the thread that reads, which goes on reading.
      items.push_back({.origin = {.run = run}, .data = std::string(200'000, 'x')});
    }
    client_->Put(std::move(items), [addresses, done](Addresses result) {
      *addresses = std::move(result);
      done->Notify();
    });
  };
  const auto await_sync = [this](int number) {
    while (store_->syncs < number) absl::SleepFor(absl::Milliseconds(1));
  };
  Addresses first_addresses;
  absl::Notification first;
  Addresses early_addresses;
  absl::Notification early;
  Addresses late_addresses;
  absl::Notification late;
  store_->first_held = 1;
  put(2, &first_addresses, &first);
  await_sync(1);
  put(2, &early_addresses, &early);
  absl::SleepFor(absl::Milliseconds(5));  // So that it does not come alone: then it is read on,
  store_->first_held = 2;
  await_sync(2);
  store_->full = true;
  put(1, &late_addresses, &late);
  absl::SleepFor(absl::Milliseconds(100));  // and what waits is told of. Mostly.
  store_->first_held = INT_MAX;
  early.WaitForNotification();
  AwaitNotices(1);
  EXPECT_TRUE(early_addresses[0].ok()) << early_addresses[0].status();
  client_->Forget(1);
  ASSERT_TRUE(late.WaitForNotificationWithTimeout(Patience(absl::Seconds(30))));
  EXPECT_TRUE(absl::IsCancelled(late_addresses[0].status())) << late_addresses[0].status();
  EXPECT_EQ(AwaitNotices(1).size(), 1u);
  store_->full = false;
  PutOne({.origin = {.run = 2}, .data = "last"});
  EXPECT_EQ(store_->List(0, 1000)->size(), 5u);
}

TEST_F(FullDiskTest, WhatIsForgottenIsNotStoredWhenThereIsRoom) {
  auto source = *client_->OpenWriter(ObjectKind::kList, {.run = 1});
  ASSERT_TRUE(source->Append(ListElement(0, 100), 1, false).ok());
  const uint64_t flushed = source->Flush()->address;
  auto early = *client_->OpenWriter(ObjectKind::kBytes, {.run = 1});
  ASSERT_TRUE(early->Append(std::string(1 << 20, 'e'), 0, false).ok());
  AwaitObjects(2);
  store_->full = true;
  absl::Notification put;
  Addresses addresses;
  std::vector<PutItem> items;
  for (uint64_t i = 0; i < 100; ++i) {
    items.push_back({.origin = {.run = 1 + i % 2}, .data = std::string(10'000, 'x')});
  }
  client_->Put(std::move(items), [&](Addresses result) {
    addresses = std::move(result);
    put.Notify();
  });
  // More than what may be under way, so that it waits in the middle; and one that fits.
  absl::Status large;
  std::thread large_writer([&] {
    auto writer = *client_->OpenWriter(ObjectKind::kBytes, {.run = 1});
    large = writer->Append(std::string(24 << 20, 'l'), 0, false);
  });
  absl::Status small;
  std::thread small_writer([&] {
    auto writer = *client_->OpenWriter(ObjectKind::kBytes, {.run = 1});
    small = writer->Append("small", 0, false);
    if (small.ok()) small = writer->Finish().status();
  });
  AwaitNotices(1);

  // Their threads may only be about to put: they are forgotten as soon as they do.
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  std::atomic<int> left{2};
  std::thread forget([&] {
    while (left > 0 && absl::Now() < deadline) client_->Forget(1);
  });
  large_writer.join();
  --left;
  small_writer.join();
  --left;
  forget.join();
  EXPECT_TRUE(absl::IsCancelled(large)) << large;
  EXPECT_TRUE(absl::IsCancelled(small)) << small;
  EXPECT_FALSE(put.HasBeenNotified());
  EXPECT_TRUE(absl::IsCancelled(early->Append("e", 0, false)));
  early.reset();
  AwaitObjects(1);  // So the bucket, which has no room yet, knows of everything that is not wanted.

  store_->full = false;
  put.WaitForNotification();
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(absl::IsCancelled(addresses[i].status()), i % 2 == 0) << addresses[i].status();
  }
  // What was flushed is somebody's, and can go on.
  ASSERT_TRUE(source->Append(ListElement(1, 100), 1, false).ok());
  EXPECT_EQ(source->Finish()->address, flushed);
  // Nothing else of the run is there: 50 of the other, and the source's list.
  const uint64_t last = PutOne({.origin = {.run = 3}, .data = "last"});
  EXPECT_EQ(GetOne({.address = last})->data, "last");
  EXPECT_EQ(store_->List(0, 1000)->size(), 52u);
}

}  // namespace
}  // namespace bue
