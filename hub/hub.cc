#include "hub/hub.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/bucket_client/bucket_client.h"
#include "common/bucket_client/bucket_probe.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "common/status_macros.h"
#include "hub/outbox.h"
#include "hub/scheduler/scheduler.h"
#include "hub/service/bucket_watch.h"
#include "hub/service/client_service.h"
#include "hub/service/object_deleter.h"
#include "hub/service/requests.h"
#include "hub/service/statistics_log.h"
#include "hub/service/sweeper.h"
#include "hub/service/worker_service.h"
#include "hub/storage/rocksdb_hub_store.h"
#include "hub/turn_loop.h"

namespace bue::hub {
namespace {

// Of a message received: a worker that comes back lists every lease it holds in one.
constexpr int kMessageBytesMax = 16 << 20;
constexpr int kPoolThreads = 4;
constexpr size_t kPoolJobsMax = 10000;
constexpr absl::Duration kBucketTimeout = absl::Seconds(2);
constexpr absl::Duration kLookForSpaceEvery = absl::Milliseconds(200);
constexpr absl::Duration kSayThatItWaitsEvery = absl::Minutes(1);

// Once for each store: there is nothing in it to delete.
void SayThatStoreIsGone(uint16_t store, const std::string& why) {
  log::warn("values lost store={} error={} action=forget", store, why);
}

// Opens the store; a disk that is too full is waited for.
absl::StatusOr<std::unique_ptr<RocksdbHubStore>> OpenStore(const HubOptions& options) {
  const HubStoreOptions store_options{.free_bytes_min = options.free_bytes_min,
                                      .history_bytes = options.history_bytes};
  const absl::Time end = absl::Now() + options.wait_for_space;
  absl::Time say_at = absl::InfinitePast();
  while (true) {
    auto store = RocksdbHubStore::Open(options.data_dir, store_options);
    if (!absl::IsResourceExhausted(store.status()) || absl::Now() >= end) return store;
    if (options.give_up && options.give_up()) {
      return absl::CancelledError("stopped while it waited for disk space");
    }
    if (absl::Now() >= say_at) {
      log::warn("hub cannot start yet error={} action=wait", store.status());
      say_at = absl::Now() + kSayThatItWaitsEvery;
    }
    absl::SleepFor(kLookForSpaceEvery);
  }
}

// A client of the buckets that is connected when it is first needed: they may start later. For one
// thread.
class LazyBuckets {
 public:
  LazyBuckets(std::vector<std::string> buckets, std::string token)
      : buckets_(std::move(buckets)), token_(std::move(token)) {}

  absl::Status Delete(std::vector<uint64_t> addresses) {
    RETURN_IF_ERROR(Connect());
    return Checked(client_->Delete(std::move(addresses)));
  }
  absl::StatusOr<std::vector<BucketInfo>> Info() {
    RETURN_IF_ERROR(Connect());
    return client_->Info(kBucketTimeout);
  }
  absl::StatusOr<std::vector<ListedObject>> List(uint64_t after, size_t limit,
                                                 const std::string& hub) {
    RETURN_IF_ERROR(Connect());
    absl::StatusOr<std::vector<ListedObject>> listed = client_->List(after, limit, hub);
    RETURN_IF_ERROR(Checked(listed.status()));
    return listed;
  }

 private:
  absl::Status Connect() {
    if (buckets_.empty()) return absl::FailedPreconditionError("the hub knows no bucket");
    if (client_ == nullptr) {
      // Patience would hold a shutdown up; the deleter tries again by itself.
      ASSIGN_OR_RETURN(client_, BucketClient::Connect({.buckets = buckets_,
                                                       .token = token_,
                                                       .connect_timeout = kBucketTimeout,
                                                       .patience = kBucketTimeout,
                                                       .on_store_gone = SayThatStoreIsGone}));
    }
    return absl::OkStatus();
  }

  // A bucket may have come back with another directory, and so with another store id.
  absl::Status Checked(const absl::Status& status) {
    if (absl::IsFailedPrecondition(status)) client_.reset();
    return status;
  }

  const std::vector<std::string> buckets_;
  const std::string token_;
  std::unique_ptr<BucketClient> client_;
};

// Hands each part of what a turn decided to whom it concerns.
class HubOutbox final : public Outbox {
 public:
  // All outlive the outbox.
  HubOutbox(Requests* requests, WorkerService* workers, ClientService* clients,
            ObjectDeleter* deleter)
      : requests_(requests), workers_(workers), clients_(clients), deleter_(deleter) {}

  void Publish(Outgoing* outgoing) override {
    workers_->Publish(outgoing);
    requests_->Deliver(&outgoing->answers);
  }

  void PublishPromises(Promises promises) override {
    workers_->Acknowledge(promises.acks);
    clients_->RunsEnded(promises.ended);  // Before the reply to who made them go on.
    requests_->Deliver(&promises.replies);
    deleter_->Add(std::move(promises.deletions));
    for (const RunStatus& run : promises.ended) log::info("{}", StatisticsLine(run));
  }

 private:
  Requests* const requests_;
  WorkerService* const workers_;
  ClientService* const clients_;
  ObjectDeleter* const deleter_;
};

}  // namespace

class Hub::Impl {
 public:
  explicit Impl(const HubOptions& options) : options_(options) {}
  ~Impl() { Shutdown(); }

  absl::Status Start();
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_);
  const std::string& address() const { return server_->address(); }

 private:
  absl::Status LoadScheduler();
  void MakeSweeper();
  // The scheduler's answer to a query; waits for it.
  template <typename Body>
  absl::StatusOr<Body> Ask(Command query);
  void MakeServices();

  absl::Status Post(Command command) { return loop_->Post(std::move(command)); }

  const HubOptions options_;
  Clock* const clock_ = Clock::Real();

  // In the order they are made; each uses those before it, and `Post` the loop.
  std::unique_ptr<RocksdbHubStore> store_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<WorkerService> workers_;
  std::vector<std::unique_ptr<BucketProbe>> probes_;
  std::unique_ptr<BucketWatch> bucket_watch_;
  std::unique_ptr<ClientService> clients_;
  std::unique_ptr<LazyBuckets> buckets_;
  std::unique_ptr<ObjectDeleter> deleter_;
  std::unique_ptr<HubOutbox> outbox_;
  std::unique_ptr<TurnLoop> loop_;
  std::unique_ptr<LazyBuckets> swept_buckets_;
  std::unique_ptr<Sweeper> sweeper_;
  std::unique_ptr<StatisticsLog> statistics_;
  std::unique_ptr<RpcServer> server_;

  absl::Mutex mutex_;  // Lets one caller shut down.
  bool down_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::Status Hub::Impl::Start() {
  log::info("hub starting version={} binding={} data={} buckets={} sync={}", BUE_VERSION,
            options_.binding, options_.data_dir, absl::StrJoin(options_.buckets, ","),
            options_.sync_os ? "os" : "disk");
  ASSIGN_OR_RETURN(store_, OpenStore(options_));
  RETURN_IF_ERROR(LoadScheduler());
  MakeServices();
  loop_->Start();
  MakeSweeper();
  statistics_ = std::make_unique<StatisticsLog>(
      options_.statistics_interval,
      [this](QueryStatistics query) { return Ask<RunStatistics>(std::move(query)); });
  statistics_->Start();
  ASSIGN_OR_RETURN(server_, RpcServer::Start({.binding = options_.binding,
                                              .token = options_.token,
                                              .insecure = options_.insecure,
                                              .message_bytes_max = kMessageBytesMax},
                                             {workers_->service(), clients_->service()}));
  bucket_watch_->Start();
  log::info("hub started address={} epoch={}", server_->address(), store_->epoch());
  return absl::OkStatus();
}

absl::Status Hub::Impl::LoadScheduler() {
  const absl::Time begin = clock_->Now();
  scheduler_ = std::make_unique<Scheduler>(SchedulerOptions{
      .epoch = store_->epoch(),
      .seed = store_->epoch(),
      .reattach_grace = options_.reattach_grace,
      .silence = options_.silence,
      .keep_results = options_.keep_results,
  });
  ASSIGN_OR_RETURN(HubSnapshot snapshot, store_->Load());
  const size_t runs = snapshot.runs.size();
  const size_t changes = snapshot.changes.size();
  const size_t workers = snapshot.workers.size();
  RETURN_IF_ERROR(scheduler_->Load(std::move(snapshot), clock_->Now()));
  log::info("hub loaded runs={} changes={} workers={} took={}", runs, changes, workers,
            clock_->Now() - begin);
  return absl::OkStatus();
}

void Hub::Impl::MakeServices() {
  const auto post = [this](Command command) { return Post(std::move(command)); };
  pool_ = std::make_unique<ThreadPool>(kPoolThreads, kPoolJobsMax);
  requests_ = std::make_unique<Requests>(post);
  workers_ = std::make_unique<WorkerService>(WorkerServiceOptions{.token = options_.token,
                                                                  .epoch = store_->epoch(),
                                                                  .buckets = options_.buckets,
                                                                  .heartbeat = options_.heartbeat,
                                                                  .silence = options_.silence},
                                             post, clock_);
  for (const std::string& bucket : options_.buckets) {
    probes_.push_back(std::make_unique<BucketProbe>(bucket, options_.token));
  }
  bucket_watch_ = std::make_unique<BucketWatch>(
      BucketWatchOptions(), options_.buckets,
      [this](size_t bucket) { return probes_[bucket]->Ask(kBucketTimeout); });
  clients_ =
      std::make_unique<ClientService>(ClientServiceOptions{.token = options_.token,
                                                           .epoch = store_->epoch(),
                                                           .buckets = options_.buckets,
                                                           .watches_max = options_.watches_max},
                                      ClientParts{.requests = requests_.get(),
                                                  .store = store_.get(),
                                                  .pool = pool_.get(),
                                                  .workers = workers_.get(),
                                                  .buckets = bucket_watch_.get()});
  buckets_ = std::make_unique<LazyBuckets>(options_.buckets, options_.token);
  deleter_ = std::make_unique<ObjectDeleter>(
      ObjectDeleterOptions{},
      [this](std::vector<uint64_t> addresses) { return buckets_->Delete(std::move(addresses)); });
  outbox_ =
      std::make_unique<HubOutbox>(requests_.get(), workers_.get(), clients_.get(), deleter_.get());
  loop_ = std::make_unique<TurnLoop>(TurnLoopOptions{.first_turn = store_->first_turn(),
                                                     .sync_os = options_.sync_os,
                                                     .checkpoint_bytes = options_.checkpoint_bytes},
                                     scheduler_.get(), store_.get(), outbox_.get(), clock_);
}

void Hub::Impl::MakeSweeper() {
  swept_buckets_ = std::make_unique<LazyBuckets>(options_.buckets, options_.token);
  LazyBuckets* const buckets = swept_buckets_.get();
  sweeper_ = std::make_unique<Sweeper>(
      SweeperOptions{.interval = options_.sweep_interval, .grace = options_.sweep_grace},
      SweeperParts{
          .buckets = [buckets] { return buckets->Info(); },
          .list = [this, buckets](
                      uint64_t after,
                      size_t limit) { return buckets->List(after, limit, store_->id()); },
          .remove =
              [buckets](std::vector<uint64_t> addresses) {
                return buckets->Delete(std::move(addresses));
              },
          .ask = [this](QueryOwnership query) { return Ask<OwnershipList>(std::move(query)); },
          .outputs =
              [this](uint64_t run, const std::function<void(uint64_t)>& visit) {
                std::string cursor;
                return store_->ReadLogs(run, &cursor, [&](const LogAdded& log) {
                  visit(log.address);
                  return true;
                });
              },
      });
  sweeper_->Start();
}

template <typename Body>
absl::StatusOr<Body> Hub::Impl::Ask(Command query) {
  absl::Notification answered;
  Reply answer;
  requests_->Ask(std::move(query), [&](Reply reply) {
    answer = std::move(reply);
    answered.Notify();
  });
  answered.WaitForNotification();
  RETURN_IF_ERROR(answer.status);
  return std::get<Body>(std::move(answer.body));
}

// The last turn comes before the streams end: the store must go on naming the workers that were
// connected, so that the next hub waits for them.
void Hub::Impl::Shutdown() {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(down_, true)) return;
  if (loop_ != nullptr) {
    loop_->Stop();
    requests_->FailAll(absl::UnavailableError("the hub is stopping"));
    clients_->Stop();
    workers_->Stop();
  }
  if (server_ != nullptr) server_->Shutdown(absl::Seconds(1));
  sweeper_.reset();
  statistics_.reset();
  if (pool_ != nullptr) pool_->Finish();
  deleter_.reset();
  if (server_ != nullptr) log::info("hub stopped");
}

Hub::Hub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hub::~Hub() = default;

absl::StatusOr<std::unique_ptr<Hub>> Hub::Start(const HubOptions& options) {
  if (options.data_dir.empty()) {
    return absl::InvalidArgumentError("the hub needs a directory for its state: --data DIR");
  }
  auto impl = std::make_unique<Impl>(options);
  RETURN_IF_ERROR(impl->Start());
  return absl::WrapUnique(new Hub(std::move(impl)));
}

const std::string& Hub::address() const { return impl_->address(); }
void Hub::Shutdown() { impl_->Shutdown(); }

}  // namespace bue::hub
