#include "common/bucket_client/bucket_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "common/bucket_client/get_pipe.h"
#include "common/bucket_client/object_wire.h"
#include "common/bucket_client/put_pipe.h"
#include "common/rpc.h"
#include "common/status_macros.h"

namespace bue {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);
constexpr absl::Duration kRetryEvery = absl::Milliseconds(100);
constexpr absl::Duration kAskFor = absl::Seconds(2);  // Which store a bucket is.
constexpr size_t kDeletesPerCall = 65536;
constexpr char kNil = '\xc0';

// Spreads runs and items over the buckets.
size_t PickBucket(const Origin& origin, size_t buckets) {
  uint64_t hash = origin.run * 0x9e3779b97f4a7c15u + origin.item;
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
  return (hash ^ (hash >> 32)) % buckets;
}

// Everything about one bucket.
struct Connection {
  Connection(const BucketClientOptions& options, std::string target, GetPipe::OnForeign on_foreign)
      : bucket(std::move(target)),
        channel(MakeChannel(bucket, options.token, Traffic::kValues)),
        stub(v1::Bucket::NewStub(channel)),
        puts(channel, PipeOptionsOf(options, bucket)),
        gets(channel, PipeOptionsOf(options, bucket), std::move(on_foreign)) {}

  static PipeOptions PipeOptionsOf(const BucketClientOptions& options, const std::string& bucket) {
    return {.bucket = bucket,
            .patience = options.patience,
            .append_bytes_max = options.append_bytes_max,
            .read_bytes_max = options.read_bytes_max,
            .on_waiting = options.on_waiting};
  }

  absl::Status Named(const absl::Status& status) const {
    return absl::Status(status.code(), absl::StrCat("bucket ", bucket, ": ", status.message()));
  }

  absl::StatusOr<BucketInfo> Info(absl::Time deadline) const {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    context.set_wait_for_ready(true);
    const v1::InfoRequest request;
    v1::InfoReply reply;
    absl::Status status;
    absl::Notification answered;
    stub->async()->GetInfo(&context, &request, &reply, [&](const grpc::Status& result) {
      status = FromGrpc(result);
      answered.Notify();
    });
    answered.WaitForNotification();
    if (absl::IsDeadlineExceeded(status)) {
      return absl::UnavailableError(absl::StrCat("bucket ", bucket, " did not answer in time"));
    }
    if (!status.ok()) return Named(status);
    return BucketInfo{.bucket = bucket,
                      .store = static_cast<uint16_t>(reply.store()),
                      .objects = reply.objects(),
                      .bytes = reply.bytes(),
                      .disk_free_bytes = reply.disk_free_bytes(),
                      .version = reply.version()};
  }

  absl::Status Delete(const v1::DeleteRequest& request, absl::Time deadline) const {
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(deadline));
      context.set_wait_for_ready(true);
      v1::DeleteReply reply;
      absl::Status status;
      absl::Notification answered;
      stub->async()->Delete(&context, &request, &reply, [&](const grpc::Status& result) {
        status = FromGrpc(result);
        answered.Notify();
      });
      answered.WaitForNotification();
      // Deleting twice is fine.
      const bool again = absl::IsUnavailable(status) || absl::IsCancelled(status);
      if (absl::IsDeadlineExceeded(status) || (again && absl::Now() >= deadline)) {
        return absl::UnavailableError(absl::StrCat("bucket ", bucket, " was not reachable"));
      }
      if (!again) return status.ok() ? status : Named(status);
      absl::SleepFor(kRetryEvery);
    }
  }

  absl::StatusOr<std::vector<ListedObject>> List(uint64_t after, size_t limit,
                                                 const std::string& hub,
                                                 absl::Time deadline) const {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    context.set_wait_for_ready(true);
    v1::ListObjectsRequest request;
    request.set_after(after);
    request.set_limit(static_cast<uint32_t>(std::min<size_t>(limit, UINT32_MAX)));
    request.set_hub(hub);
    v1::ListObjectsReply reply;
    absl::Status status;
    absl::Notification answered;
    stub->async()->ListObjects(&context, &request, &reply, [&](const grpc::Status& result) {
      status = FromGrpc(result);
      answered.Notify();
    });
    answered.WaitForNotification();
    if (!status.ok()) return Named(status);
    std::vector<ListedObject> objects;
    for (const v1::ListObjectsReply::Listed& listed : reply.object()) {
      objects.push_back({.address = listed.address(),
                         .origin = FromProto(listed.origin()),
                         .bytes = listed.bytes(),
                         .finished = listed.finished(),
                         .age = absl::Seconds(static_cast<int64_t>(reply.now_s()) -
                                              static_cast<int64_t>(listed.created_s()))});
    }
    return objects;
  }

  // Says, once each, that what is to be put or got waits in vain, and that it does not any more.
  void SayIfAway(const BucketClientOptions& options, absl::Time now) {
    const PipeState put = puts.state();
    const PipeState get = gets.state();
    const absl::Time waits_since = std::min(put.waits_since, get.waits_since);
    const bool back = (put.connected || get.connected) && waits_since == absl::InfiniteFuture();
    const bool turned = away ? back : now - waits_since > options.say_away_after;
    if (!turned) return;
    away = !away;
    if (options.on_away) options.on_away(bucket, away);
  }

  const std::string bucket;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::Bucket::Stub> stub;
  PutPipe puts;
  GetPipe gets;
  bool away = false;  // As was said last. Used by the ticker only.
};

class Client final : public BucketClient {
 public:
  explicit Client(BucketClientOptions options) : options_(std::move(options)) {
    for (const std::string& bucket : options_.buckets) {
      connections_.push_back(std::make_unique<Connection>(
          options_, bucket, [this](GetPipe::Fetch fetch) { AddHomeless(std::move(fetch)); }));
    }
  }

  ~Client() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    if (ticker_.joinable()) ticker_.join();
    Shutdown();
  }

  void Shutdown() override {
    {
      absl::MutexLock lock(&mutex_);
      closed_ = true;
    }
    for (const auto& connection : connections_) {
      connection->puts.Shutdown();
      connection->gets.Shutdown();
    }
    FailHomeless();
  }

  absl::Status Connect() {
    const absl::Time deadline = absl::Now() + options_.connect_timeout;
    for (const auto& connection : connections_) {
      const absl::Duration left = std::max(deadline - absl::Now(), absl::Milliseconds(1));
      RETURN_IF_ERROR(
          WaitForChannel(connection->channel.get(), "bucket", connection->bucket, left));
    }
    RETURN_IF_ERROR(FindStores(deadline));
    ticker_ = std::thread([this] { Tick(); });
    return absl::OkStatus();
  }

  void Put(std::vector<PutItem> items, PutDone done) override {
    if (items.empty()) {
      done({});
      return;
    }
    const auto batch = std::make_shared<PutBatch>(items.size(), std::move(done));
    std::vector<std::vector<PutPipe::Whole>> groups(connections_.size());
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].data.size() > kChunkBytesMax) {
        batch->Answer(i, absl::InvalidArgumentError(absl::StrCat(
                             "a value of ", items[i].data.size(), " bytes put whole; at most ",
                             kChunkBytesMax, " are allowed: use a ValueWriter")));
        continue;
      }
      groups[PickBucket(items[i].origin, groups.size())].push_back(
          {.item = std::move(items[i]), .batch = batch, .index = i});
    }
    for (size_t i = 0; i < groups.size(); ++i) {
      if (!groups[i].empty()) connections_[i]->puts.Put(std::move(groups[i]));
    }
  }

  void Forget(uint64_t run) override {
    for (const auto& connection : connections_) connection->puts.Forget(run);
  }

  void Get(std::vector<GetItem> items, uint64_t bytes_max, GetDone done) override {
    if (items.empty()) {
      done({});
      return;
    }
    const auto batch = std::make_shared<GetBatch>(items.size(), bytes_max, std::move(done));
    absl::flat_hash_map<Connection*, std::vector<GetPipe::Fetch>> groups;
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].address == kNoObject) {
        batch->Answer(i, Fetched{.data = std::string(1, kNil), .total_bytes = 1});
        continue;
      }
      GetPipe::Fetch fetch{.item = items[i], .batch = batch, .index = i};
      if (Connection* const connection = KnownOwner(items[i].address)) {
        groups[connection].push_back(std::move(fetch));
      } else {
        AddHomeless(std::move(fetch));
      }
    }
    for (auto& [connection, fetches] : groups) connection->gets.Get(std::move(fetches));
  }

  absl::StatusOr<std::unique_ptr<ValueWriter>> OpenWriter(ObjectKind kind,
                                                          const Origin& origin) override {
    return connections_[PickBucket(origin, connections_.size())]->puts.OpenWriter(kind, origin);
  }

  absl::StatusOr<std::unique_ptr<ValueReader>> OpenReader(uint64_t address, uint64_t first,
                                                          uint64_t count) override {
    const GetItem item{.address = address, .first = first, .count = count};
    Connection* connection = KnownOwner(address);
    if (connection == nullptr) {
      ASSIGN_OR_RETURN(connection, AskForOwner(address));
    }
    absl::StatusOr<std::unique_ptr<ValueReader>> reader = connection->gets.OpenReader(item);
    if (IsOfAnotherStore(reader.status())) {
      ASSIGN_OR_RETURN(connection, AskForOwner(address));
      reader = connection->gets.OpenReader(item);
    }
    RETURN_IF_ERROR(reader.status());
    return std::unique_ptr<ValueReader>(
        std::make_unique<Reader>(this, address, *std::move(reader)));
  }

  absl::Status Delete(std::vector<uint64_t> addresses) override {
    std::erase(addresses, kNoObject);
    std::vector<uint64_t> homeless;
    absl::Status failed = DeleteThere(std::move(addresses), &homeless);
    if (homeless.empty()) return failed;
    if (const absl::Status asked = FindStores(absl::Now() + kAskFor); !asked.ok()) return asked;
    std::vector<uint64_t> moved;
    for (const uint64_t address : homeless) {
      if (KnownOwner(address) != nullptr) {
        moved.push_back(address);
      } else {
        (void)StoreGone(address);  // And so is what was to be deleted.
      }
    }
    const absl::Status status = DeleteThere(std::move(moved), &homeless);
    return absl::IsUnavailable(failed) || status.ok() ? failed : status;
  }

  absl::StatusOr<std::vector<ListedObject>> List(uint64_t after, size_t limit,
                                                 const std::string& hub) override {
    Connection* connection = KnownOwner(after);
    if (connection == nullptr) {
      ASSIGN_OR_RETURN(connection, AskForOwner(after));
    }
    return connection->List(after, limit, hub, absl::Now() + options_.patience);
  }

  bool StoreIsGone(uint16_t store) const override {
    absl::MutexLock lock(&mutex_);
    return gone_stores_.contains(store);
  }

  absl::StatusOr<std::vector<BucketInfo>> Info(absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    std::vector<BucketInfo> infos;
    for (const auto& connection : connections_) {
      ASSIGN_OR_RETURN(infos.emplace_back(), connection->Info(deadline));
    }
    return infos;
  }

 private:
  // A reader whose bucket may come back as another store while it is read.
  class Reader final : public ValueReader {
   public:
    Reader(Client* client, uint64_t address, std::unique_ptr<ValueReader> reader)
        : client_(client), address_(address), reader_(std::move(reader)) {}

    absl::StatusOr<std::optional<Chunk>> Next() override {
      absl::StatusOr<std::optional<Chunk>> chunk = reader_->Next();
      if (IsOfAnotherStore(chunk.status())) {
        RETURN_IF_ERROR(client_->AskForOwner(address_).status());
      }
      return chunk;
    }
    ObjectKind kind() const override { return reader_->kind(); }
    uint64_t total_bytes() const override { return reader_->total_bytes(); }
    uint64_t total_elements() const override { return reader_->total_elements(); }

   private:
    Client* const client_;
    const uint64_t address_;
    const std::unique_ptr<ValueReader> reader_;
  };

  // Null: no bucket had this store when they were last asked.
  Connection* KnownOwner(uint64_t address) const {
    absl::MutexLock lock(&mutex_);
    const auto found = by_store_.find(StoreOf(address));
    return found == by_store_.end() ? nullptr : found->second;
  }

  // Deletes what lies where it was last known to. Appends to `homeless` what may lie in another
  // store than that, or in none.
  absl::Status DeleteThere(std::vector<uint64_t> addresses, std::vector<uint64_t>* homeless) {
    absl::flat_hash_map<Connection*, std::vector<uint64_t>> groups;
    for (const uint64_t address : addresses) {
      Connection* const connection = KnownOwner(address);
      (connection == nullptr ? *homeless : groups[connection]).push_back(address);
    }
    absl::Status failed;  // Does not keep the others from being deleted.
    const absl::Time deadline = absl::Now() + options_.patience;
    for (const auto& [connection, group] : groups) {
      for (size_t begin = 0; begin < group.size(); begin += kDeletesPerCall) {
        const size_t end = std::min(group.size(), begin + kDeletesPerCall);
        v1::DeleteRequest request;
        request.mutable_addresses()->Add(group.begin() + begin, group.begin() + end);
        const absl::Status deleted = connection->Delete(request, deadline);
        if (IsOfAnotherStore(deleted)) {
          homeless->insert(homeless->end(), group.begin() + begin, group.begin() + end);
        } else if (!deleted.ok() && !absl::IsUnavailable(failed)) {
          failed = deleted;  // Unavailable wins: it is worth another try.
        }
        if (absl::IsUnavailable(deleted)) break;
      }
    }
    return failed;
  }

  // Asks the buckets: one may have been started on another directory since. Waits for those that
  // are away, since what is asked for may be theirs.
  absl::StatusOr<Connection*> AskForOwner(uint64_t address) {
    const absl::Time deadline = absl::Now() + options_.patience;
    absl::Status asked;
    do {
      asked = FindStores(std::min(deadline, absl::Now() + kAskFor));
      if (absl::IsUnavailable(asked)) absl::SleepFor(kRetryEvery);
    } while (absl::IsUnavailable(asked) && absl::Now() < deadline && !closed());
    RETURN_IF_ERROR(asked);
    if (Connection* const known = KnownOwner(address)) return known;
    return StoreGone(address);
  }

  bool closed() const {
    absl::MutexLock lock(&mutex_);
    return closed_;
  }

  // Asks every bucket which store it is. One at a time: what was learnt later is what stays.
  absl::Status FindStores(absl::Time deadline) {
    absl::MutexLock finding(&finding_);
    absl::flat_hash_map<uint16_t, Connection*> by_store;
    for (const auto& connection : connections_) {
      ASSIGN_OR_RETURN(const BucketInfo info, connection->Info(deadline));
      const auto [other, added] = by_store.emplace(info.store, connection.get());
      if (!added) {
        return absl::FailedPreconditionError(absl::StrCat(
            "buckets ", other->second->bucket, " and ", connection->bucket, " both have store id ",
            info.store,
            ": name each bucket once, and do not start one on a copied data directory"));
      }
    }
    absl::MutexLock lock(&mutex_);
    by_store_ = std::move(by_store);
    for (const auto& [store, connection] : by_store_) gone_stores_.erase(store);
    return absl::OkStatus();
  }

  // The answer for an address of a store that none of the buckets is, now that all have answered.
  absl::Status StoreGone(uint64_t address) {
    if (options_.knows_all && !options_.knows_all()) {
      return absl::FailedPreconditionError(absl::StrCat(
          NoOwner(address), "; the hub names other buckets: restart what was started before them"));
    }
    const absl::Status status = absl::NotFoundError(NoOwner(address));
    bool first;
    {
      absl::MutexLock lock(&mutex_);
      first = gone_stores_.insert(StoreOf(address)).second;
    }
    if (first && options_.on_store_gone) {
      options_.on_store_gone(StoreOf(address), std::string(status.message()));
    }
    return status;
  }

  std::string NoOwner(uint64_t address) const {
    absl::MutexLock lock(&mutex_);
    std::string known;
    for (const auto& [store, connection] : by_store_) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", connection->bucket, " is store ", store);
    }
    return absl::StrFormat("object %016x lies in store %d, which none of the buckets is (%s)",
                           address, StoreOf(address), known);
  }

  // For the next tick.
  void AddHomeless(GetPipe::Fetch fetch) {
    {
      absl::MutexLock lock(&mutex_);
      if (!closed_) {
        homeless_.push_back(std::move(fetch));
        return;
      }
    }
    FailClosed(fetch);
  }

  static void FailClosed(const GetPipe::Fetch& fetch) {
    fetch.batch->Answer(fetch.index, absl::CancelledError("the bucket client was closed"));
  }

  void FailHomeless() {
    std::vector<GetPipe::Fetch> homeless;
    {
      absl::MutexLock lock(&mutex_);
      homeless.swap(homeless_);
    }
    for (const GetPipe::Fetch& fetch : homeless) FailClosed(fetch);
  }

  // Gets of stores that were not known: once the buckets have said which they are, they go there,
  // or fail.
  void Rehome() {
    std::vector<GetPipe::Fetch> homeless;
    {
      absl::MutexLock lock(&mutex_);
      homeless.swap(homeless_);
    }
    if (homeless.empty()) return;
    const absl::Status asked = FindStores(absl::Now() + kAskFor);
    for (GetPipe::Fetch& fetch : homeless) {
      const uint64_t address = fetch.item.address;
      const std::shared_ptr<GetBatch> batch = fetch.batch;
      const size_t index = fetch.index;
      if (!asked.ok()) {
        batch->Answer(index, asked);
      } else if (Connection* const connection = KnownOwner(address)) {
        fetch.moved = true;
        std::vector<GetPipe::Fetch> one;
        one.push_back(std::move(fetch));
        connection->gets.Get(std::move(one));
      } else {
        batch->Answer(index, StoreGone(address));
      }
    }
  }

  void Tick() {
    absl::MutexLock lock(&mutex_);
    while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kTick)) {
      mutex_.Unlock();
      const absl::Time now = absl::Now();
      for (const auto& connection : connections_) {
        connection->puts.Tick(now);
        connection->gets.Tick(now);
        connection->SayIfAway(options_, now);
      }
      Rehome();
      mutex_.Lock();
    }
  }

  const BucketClientOptions options_;
  std::vector<std::unique_ptr<Connection>> connections_;  // Constant after construction.

  absl::Mutex finding_;  // Held while the buckets are asked. Before mutex_.
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint16_t, Connection*> by_store_ ABSL_GUARDED_BY(mutex_);
  std::vector<GetPipe::Fetch> homeless_ ABSL_GUARDED_BY(mutex_);  // For the next tick.
  absl::flat_hash_set<uint16_t> gone_stores_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread ticker_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BucketClient>> BucketClient::Connect(BucketClientOptions options) {
  if (options.buckets.empty()) {
    return absl::InvalidArgumentError("no bucket was named; at least one HOST:PORT is needed");
  }
  auto client = std::make_unique<Client>(std::move(options));
  RETURN_IF_ERROR(client->Connect());
  return std::unique_ptr<BucketClient>(std::move(client));
}

absl::StatusOr<std::unique_ptr<BucketClient>> BucketClient::Connect(
    std::vector<std::string> buckets, std::string token, absl::Duration timeout) {
  return Connect(
      {.buckets = std::move(buckets), .token = std::move(token), .connect_timeout = timeout});
}

}  // namespace bue
