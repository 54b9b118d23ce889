#include "bucket/bucket.h"

#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"
#include "bucket/bucket_service.h"
#include "bucket/object_store.h"
#include "bucket/rocksdb_object_store.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "common/status_macros.h"

namespace bue {
namespace {

constexpr absl::Duration kShutdownGrace = absl::Milliseconds(500);
constexpr absl::Duration kLookForSpaceEvery = absl::Milliseconds(200);
constexpr absl::Duration kSayThatItWaitsEvery = absl::Minutes(1);

void EndProcess(const absl::Status& status) {
  log::critical("bucket stops error={} action=exit", status);
  log::default_logger()->flush();
  std::_Exit(EXIT_FAILURE);
}

bucket::RocksDbStoreOptions StoreOptionsOf(const BucketOptions& options) {
  return {.data_dir = options.data_dir,
          .fsync = !options.sync_os,
          .low_water_bytes = options.low_water_bytes,
          .block_cache_bytes = options.block_cache_bytes,
          .on_broken = options.on_broken ? options.on_broken : EndProcess};
}

absl::StatusOr<std::unique_ptr<bucket::ObjectStore>> OpenStore(const BucketOptions& options) {
  const absl::Time give_up = absl::Now() + options.wait_for_space;
  absl::Time say_at = absl::InfinitePast();
  while (true) {
    absl::StatusOr<std::unique_ptr<bucket::ObjectStore>> store =
        bucket::RocksDbObjectStore::Open(StoreOptionsOf(options));
    if (!absl::IsResourceExhausted(store.status()) || absl::Now() >= give_up) return store;
    if (options.give_up && options.give_up()) {
      return absl::CancelledError("stopped while it waited for disk space");
    }
    if (absl::Now() >= say_at) {
      log::warn("bucket cannot start yet error={} action=wait", store.status());
      say_at = absl::Now() + kSayThatItWaitsEvery;
    }
    absl::SleepFor(kLookForSpaceEvery);
  }
}

class RunningBucket final : public Bucket {
 public:
  static absl::StatusOr<std::unique_ptr<Bucket>> Start(const BucketOptions& options) {
    auto bucket = std::make_unique<RunningBucket>();
    ASSIGN_OR_RETURN(bucket->store_, OpenStore(options));
    bucket->store_id_ = bucket->store_->store_id();
    bucket->service_ = std::make_unique<bucket::BucketService>(
        bucket->store_.get(),
        bucket::BucketServiceOptions{.token = options.token,
                                     .threads = options.threads,
                                     .put_bytes_max = options.put_bytes_max,
                                     .get_bytes_max = options.get_bytes_max,
                                     .stall_patience = options.stall_patience});
    ASSIGN_OR_RETURN(bucket->server_, RpcServer::Start({.binding = options.binding,
                                                        .token = options.token,
                                                        .insecure = options.insecure},
                                                       {bucket->service_->service()}));
    bucket->address_ = bucket->server_->address();
    log::info("bucket started address={} store={} data={}", bucket->address_, bucket->store_id_,
              options.data_dir);
    return std::unique_ptr<Bucket>(std::move(bucket));
  }

  ~RunningBucket() override { Shutdown(); }

  const std::string& address() const override { return address_; }
  uint16_t store_id() const override { return store_id_; }

  void Shutdown() override {
    if (server_ != nullptr) server_->Shutdown(kShutdownGrace);
    server_.reset();
    service_.reset();
    store_.reset();
  }

 private:
  std::string address_;
  uint16_t store_id_ = 0;
  std::unique_ptr<bucket::ObjectStore> store_;
  std::unique_ptr<bucket::BucketService> service_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Bucket>> Bucket::Start(const BucketOptions& options) {
  return RunningBucket::Start(options);
}

}  // namespace bue
