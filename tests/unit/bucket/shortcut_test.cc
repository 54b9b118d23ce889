// Small puts and gets of who has the bucket to himself: they are served around the pool.
#include "bucket/shortcut.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bucket/bucket_service.h"
#include "bucket/group_sync.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "common/bucket_client/object_wire.h"
#include "common/rpc.h"
#include "common/thread_pool.h"
#include "tests/support/patience.h"

namespace bue::bucket {
namespace {

// What passes waits while it is shut.
class Gate {
 public:
  void Set(bool open) {
    absl::MutexLock lock(&mutex_);
    open_ = open;
  }
  void Pass() {
    absl::MutexLock lock(&mutex_);
    ++passers_;
    mutex_.Await(absl::Condition(&open_));
  }
  void AwaitPassers(int count) {
    absl::MutexLock lock(&mutex_);
    const auto are_there = [this, count]()
                               ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return passers_ >= count; };
    mutex_.Await(absl::Condition(&are_there));
  }

 private:
  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  int passers_ ABSL_GUARDED_BY(mutex_) = 0;
};

class OneChunk final : public ObjectReader {
 public:
  explicit OneChunk(std::string data) : data_(std::move(data)) {}
  const ObjectInfo& info() const override { return info_; }
  bool AtEnd() const override { return at_end_; }
  absl::StatusOr<std::optional<StoredChunk>> Next() override {
    at_end_ = true;
    return std::optional<StoredChunk>(StoredChunk{.data = data_});
  }

 private:
  const ObjectInfo info_{.kind = ObjectKind::kBytes};
  const std::string data_;
  bool at_end_ = false;
};

class OneChunks final : public ObjectScan {
 public:
  absl::StatusOr<std::unique_ptr<ObjectReader>> OpenReader(uint64_t, uint64_t, uint64_t) override {
    return std::unique_ptr<ObjectReader>(std::make_unique<OneChunk>("data"));
  }
};

// Keeps nothing; puts and syncs pass gates.
class GatedStore final : public ObjectStore {
 public:
  uint16_t store_id() const override { return 1; }
  absl::Status CheckRoom() override { return absl::OkStatus(); }
  void Reclaim() override {}
  absl::StatusOr<std::vector<uint64_t>> Put(absl::Span<const NewObject> objects) override {
    puts.Pass();
    return std::vector<uint64_t>(objects.size(), 7);
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(ObjectKind, const Origin&) override {
    return absl::UnimplementedError("no writers");
  }
  absl::Status Delete(absl::Span<const uint64_t>) override { return absl::OkStatus(); }
  absl::Status Sync() override {
    synced_by = std::this_thread::get_id();
    syncs.Pass();
    return absl::OkStatus();
  }
  absl::StatusOr<ObjectInfo> Describe(uint64_t) override { return ObjectInfo{}; }
  std::unique_ptr<ObjectScan> NewScan() override {
    read_by = std::this_thread::get_id();
    return std::make_unique<OneChunks>();
  }
  absl::Status ClaimFor(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<ListedObject>> List(uint64_t, size_t) override {
    listed_by = std::this_thread::get_id();
    return std::vector<ListedObject>();
  }
  StoreStats Stats() override { return {}; }

  Gate puts;
  Gate syncs;
  std::atomic<std::thread::id> synced_by;
  std::atomic<std::thread::id> listed_by;
  std::atomic<std::thread::id> read_by;
};

// Of a bucket with one thread in its pool.
class ShortcutTest : public testing::Test {
 protected:
  // A stream, once the bucket has awaited its first message for longer than those that come in a
  // row.
  template <typename Request, typename Reply>
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<Request, Reply>> stream;

    Reply Read() {
      Reply reply;
      EXPECT_TRUE(stream->Read(&reply));
      return reply;
    }
    ~Stream() {
      stream->WritesDone();
      (void)stream->Finish();
    }
  };
  using PutStream = Stream<v1::PutRequest, v1::PutReply>;
  using GetStream = Stream<v1::GetRequest, v1::GetReply>;

  void SetUp() override {
    auto server = RpcServer::Start({.binding = "127.0.0.1:0"}, {service_.service()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::Bucket::NewStub(MakeChannel(server_->address(), ""));
  }

  std::unique_ptr<PutStream> OpenPut() {
    auto opened = std::make_unique<PutStream>();
    opened->stream = stub_->Put(&opened->context);
    opened->stream->WaitForInitialMetadata();
    absl::SleepFor(2 * Shortcut::kThere);
    return opened;
  }
  std::unique_ptr<GetStream> OpenGet() {
    auto opened = std::make_unique<GetStream>();
    opened->stream = stub_->Get(&opened->context);
    opened->stream->WaitForInitialMetadata();
    absl::SleepFor(2 * Shortcut::kThere);
    return opened;
  }
  static void Put(PutStream* stream) {
    v1::PutRequest request;
    request.add_whole()->set_tag(1);
    request.mutable_whole(0)->set_kind(v1::BYTES);
    request.mutable_whole(0)->set_data("data");
    ASSERT_TRUE(stream->stream->Write(request));
  }
  static void Get(GetStream* stream) {
    v1::GetRequest request;
    request.add_one()->set_tag(1);
    request.mutable_one(0)->set_address(7);
    ASSERT_TRUE(stream->stream->Write(request));
  }

  // The pool's only thread.
  std::thread::id PoolThread() {
    grpc::ClientContext context;
    v1::ListObjectsReply reply;
    EXPECT_TRUE(stub_->ListObjects(&context, {}, &reply).ok());
    return store_.listed_by.load();
  }

  GatedStore store_;
  BucketService service_{&store_, {.threads = 1}};
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<v1::Bucket::Stub> stub_;
};

TEST_F(ShortcutTest, WhatComesAloneWaitsForNoPool) {
  const std::thread::id pool = PoolThread();
  const auto put = OpenPut();
  const auto get = OpenGet();
  int around_pool = 0;
  for (int i = 0; i < 50 && around_pool < 3; ++i) {
    Put(put.get());
    EXPECT_EQ(put->Read().done(0).address(), 7u);
    Get(get.get());
    EXPECT_EQ(get->Read().part(0).chunk().data(), "data");
    if (store_.synced_by.load() != pool && store_.read_by.load() != pool) {
      ++around_pool;
      absl::SleepFor(10 * Shortcut::kAlone);
    } else {  // The machine held it up.
      absl::SleepFor(2 * Shortcut::kDiskStaysSlow);
    }
  }
  EXPECT_EQ(around_pool, 3);
}

// Meanwhile nothing is read: what comes is to share a sync.
TEST_F(ShortcutTest, PutsBesideOthersTakeThePool) {
  const std::thread::id pool = PoolThread();
  const auto first = OpenPut();
  const auto second = OpenPut();
  int beside = 0;
  for (int i = 0; i < 1000 && beside < 5; ++i) {
    const absl::Time before = absl::Now();
    for (PutStream* const put : {first.get(), second.get(), first.get()}) {
      Put(put);
      put->Read();
      absl::SleepFor(2 * Shortcut::kAlone);
    }
    if (absl::Now() - before > Shortcut::kThere) continue;  // The machine held them up.
    EXPECT_EQ(store_.synced_by.load(), pool);
    ++beside;
  }
  EXPECT_EQ(beside, 5);
}

// A disk that stands still.
TEST_F(ShortcutTest, WhoWaitsForTheDiskHoldsUpNobodyForLong) {
  std::vector<std::unique_ptr<PutStream>> puts;
  for (int i = 0; i < 8; ++i) puts.push_back(OpenPut());
  const auto get = OpenGet();
  store_.syncs.Set(false);
  for (const auto& put : puts) {
    Put(put.get());
    store_.syncs.AwaitPassers(1);
  }
  for (int i = 0; i < 3; ++i) {
    Get(get.get());
    EXPECT_EQ(get->Read().part(0).chunk().data(), "data");
    absl::SleepFor(10 * Shortcut::kAlone);
  }
  store_.syncs.Set(true);
  for (const auto& put : puts) EXPECT_EQ(put->Read().done(0).code(), 0u);
}

// One of two threads that read is held up, not both: what needs neither store nor pool goes on.
TEST_F(ShortcutTest, WhoWaitsToWriteHoldsUpOneThread) {
  const auto first = OpenPut();
  const auto second = OpenPut();
  const auto get = OpenGet();
  store_.puts.Set(false);
  Put(first.get());
  store_.puts.AwaitPassers(1);
  Put(second.get());
  store_.puts.AwaitPassers(2);
  Get(get.get());
  PutStream third;
  third.context.set_deadline(absl::ToChronoTime(absl::Now() + Patience(absl::Seconds(20))));
  third.stream = stub_->Put(&third.context);
  third.stream->WaitForInitialMetadata();
  Put(&third);
  store_.puts.Set(true);
  for (PutStream* const put : {first.get(), second.get(), &third}) {
    EXPECT_EQ(put->Read().done(0).code(), 0u);
  }
  EXPECT_EQ(get->Read().part(0).chunk().data(), "data");
}

// Else everybody's puts, which come meanwhile, would have a sync each.
TEST_F(ShortcutTest, WhereSyncsAreSlowPutsTakeThePool) {
  const std::thread::id pool = PoolThread();
  const auto put = OpenPut();
  store_.syncs.Set(false);
  Put(put.get());
  store_.syncs.AwaitPassers(1);
  absl::SleepFor(2 * Shortcut::kLong);
  store_.syncs.Set(true);
  put->Read();
  absl::SleepFor(2 * Shortcut::kThere);
  Put(put.get());
  put->Read();
  EXPECT_EQ(store_.synced_by.load(), pool);
}

TEST_F(ShortcutTest, SyncsForOthersAreLeftToThePool) {
  ThreadPool pool(1);
  GroupSync sync(&store_);
  store_.syncs.Set(false);
  absl::Notification first;
  absl::Notification second;
  std::thread::id first_thread;
  std::thread::id second_thread;
  std::thread around_pool([&] {
    sync.Wait(
        [&](const absl::Status&) {
          first_thread = std::this_thread::get_id();
          first.Notify();
        },
        &pool);
  });
  const std::thread::id thread = around_pool.get_id();
  store_.syncs.AwaitPassers(1);
  sync.Wait([&](const absl::Status&) {
    second_thread = std::this_thread::get_id();
    second.Notify();
  });
  store_.syncs.Set(true);
  first.WaitForNotification();
  second.WaitForNotification();
  around_pool.join();
  EXPECT_EQ(first_thread, thread);
  EXPECT_NE(second_thread, thread);
  absl::Notification third;  // None is under way any more, or the pool ends it.
  sync.Wait([&](const absl::Status&) { third.Notify(); });
  third.WaitForNotification();
}

}  // namespace
}  // namespace bue::bucket
