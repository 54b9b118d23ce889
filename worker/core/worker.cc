#include "worker/core/worker.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "common/status_macros.h"
#include "worker/core/executors.h"
#include "worker/core/role.h"
#include "worker/core/state_dir.h"

namespace bue::worker {
namespace {

// How long executors get to end what a stop has already given back.
constexpr absl::Duration kExecutorGrace = absl::Seconds(2);

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  return name;
}

uint64_t RandomNumber() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

uint32_t PoolSize(int given, int standard, int cap) {
  if (given > 0) return static_cast<uint32_t>(given);
  return static_cast<uint32_t>(cap > 0 ? std::min(standard, cap) : standard);
}

SessionOptions SlotsOf(const WorkerOptions& options) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  SessionOptions session;
  const auto set = [&](Pool pool, int given, int standard) {
    session.slots[static_cast<int>(pool)] = PoolSize(given, standard, options.slots);
  };
  set(Pool::kAsync, options.async_slots, 1000);
  set(Pool::kThread, options.thread_slots, options.slots > 0 ? options.slots : 64);
  set(Pool::kProcess, options.process_slots, cores);
  set(Pool::kSql, options.sql_slots, cores);
  return session;
}

// Once when a bucket's disk is nearly full, once when there is room again.
void SayThatValuesWait(const std::string& bucket, const std::string& why) {
  if (why.empty()) {
    log::info("bucket takes values again bucket={}", bucket);
  } else {
    log::warn("bucket takes no values bucket={} error={} action=wait", bucket, why);
  }
}

void SayThatBucketIsAway(const std::string& bucket, bool away) {
  if (away) {
    log::warn("bucket away bucket={} action=wait", bucket);
  } else {
    log::info("bucket back bucket={}", bucket);
  }
}

// Once for each store.
void SayThatStoreIsGone(uint16_t store, const std::string& why) {
  log::warn("values lost store={} error={} action=make_again", store, why);
}

}  // namespace

class Worker::Impl {
 public:
  ~Impl() { Stop(); }

  explicit Impl(const WorkerOptions& options) : options_(options), slots_(SlotsOf(options)) {}

  absl::Status Prepare() {
    ASSIGN_OR_RETURN(state_, StateDir::Make(options_.state_dir));
    python_ = std::async(std::launch::async, StartPython, ForExecutors());
    return absl::OkStatus();
  }

  absl::Status Connect(const std::string& hub) {
    options_.hub = hub;
    const WorkerOptions& options = options_;
    const absl::Time deadline = Clock::Real()->Now() + options.connect_timeout;
    const std::shared_ptr<grpc::Channel> channel = MakeChannel(options.hub, options.token);
    log::info("connecting hub={} timeout={}", options.hub, options.connect_timeout);
    RETURN_IF_ERROR(WaitForChannel(channel.get(), "hub", options.hub, options.connect_timeout));
    role_ = std::make_unique<Role>(ForRole(), channel);
    ASSIGN_OR_RETURN(std::vector<std::string> buckets,
                     role_->WaitForWelcome(deadline - Clock::Real()->Now()));
    if (!options.buckets.empty()) buckets = options.buckets;
    if (buckets.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the hub at ", options.hub, " knows no bucket; name one with -k HOST:PORT"));
    }
    const auto all = role_->Uses(buckets);
    ASSIGN_OR_RETURN(bucket_,
                     BucketClient::Connect({.buckets = buckets,
                                            .token = options.token,
                                            .connect_timeout = deadline - Clock::Real()->Now(),
                                            .on_waiting = SayThatValuesWait,
                                            .on_away = SayThatBucketIsAway,
                                            .knows_all = [all] { return all->load(); },
                                            .on_store_gone = SayThatStoreIsGone}));
    ASSIGN_OR_RETURN(StartedPython python, python_.get());
    ASSIGN_OR_RETURN(executors_, MakeExecutors(ForExecutors(), std::move(python), role_->events(),
                                               bucket_.get()));
    role_->Begin(bucket_.get(), executors_.python.get(), executors_.sql.get());
    log::info("worker started hub={} async={} thread={} process={} sql={}", options.hub,
              slots_.slots[0], slots_.slots[1], slots_.slots[2], slots_.slots[3]);
    return absl::OkStatus();
  }

  void Stop() {
    if (role_ != nullptr) role_->Stop();
    // Everything was reported or given back: whoever still waits for a bucket need not.
    if (bucket_ != nullptr) bucket_->Shutdown();
    if (executors_.python != nullptr) executors_.python->Stop(kExecutorGrace);
    if (executors_.sql != nullptr) executors_.sql->Stop(kExecutorGrace);
    executors_ = {};  // Before the events they answer to.
    role_ = nullptr;
    bucket_ = nullptr;
    python_ = {};
    state_ = nullptr;
  }

 private:
  RoleOptions ForRole() const {
    RoleOptions role;
    role.hub = options_.hub;
    role.host = HostName();
    role.name = options_.name.empty() ? absl::StrCat(role.host, "-", getpid()) : options_.name;
    role.scopes = options_.scopes;
    role.priority_first = options_.priority_first;
    role.reverse = options_.reverse;
    role.incarnation = RandomNumber();
    role.session = slots_;
    role.inputs.cache_bytes_max = options_.cache_bytes_max;
    role.files_dir = absl::StrCat(state_->path(), "/files");
    role.stop_grace = options_.stop_grace;
    role.echo_output = options_.echo_output;
    return role;
  }

  ExecutorsOptions ForExecutors() const {
    return {.python = options_.python,
            .state_dir = state_->path(),
            .thread_slots = static_cast<int>(slots_.slots[1]),
            .process_slots = static_cast<int>(slots_.slots[2]),
            .sql_slots = static_cast<int>(slots_.slots[3])};
  }

  WorkerOptions options_;
  const SessionOptions slots_;
  std::unique_ptr<StateDir> state_;
  // Of Prepare. Its end is waited for before the directory goes that it uses.
  std::future<absl::StatusOr<StartedPython>> python_;
  std::unique_ptr<BucketClient> bucket_;
  std::unique_ptr<Role> role_;
  Executors executors_;
};

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Worker::~Worker() { Stop(); }

absl::StatusOr<std::unique_ptr<Worker>> Worker::Start(const WorkerOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker, Prepare(options));
  RETURN_IF_ERROR(worker->Connect(options.hub));
  return worker;
}

absl::StatusOr<std::unique_ptr<Worker>> Worker::Prepare(const WorkerOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  RETURN_IF_ERROR(impl->Prepare());
  return std::unique_ptr<Worker>(new Worker(std::move(impl)));
}

absl::Status Worker::Connect(const std::string& hub) { return impl_->Connect(hub); }

void Worker::Stop() { impl_->Stop(); }

}  // namespace bue::worker
