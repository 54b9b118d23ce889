// Measures a bucket over loopback, with the client and the bucket in one process, every put
// fsynced:
//
//   bucket_bench [DIRECTORY]     (default: a directory of its own under the system's temporary one)
//
// Goals: put and get of 1 KiB >= 100 k/s, put of 1 MiB >= 350 MiB/s, get of 1 MiB >= 1 GiB/s.
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bucket/bucket.h"
#include "common/bucket_client/bucket_client.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"

namespace bue {
namespace {

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Runs `work`, which does `operations` of `bytes` each, and prints what it took.
void Measure(const char* name, uint64_t operations, uint64_t bytes,
             const std::function<void()>& work) {
  const double cpu_before = CpuSeconds();
  const absl::Time before = absl::Now();
  work();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - before);
  const double cpu = CpuSeconds() - cpu_before;
  std::printf("%-34s %10.0f /s %8.0f MiB/s %8.2f CPU-us each\n", name, operations / seconds,
              operations * bytes / seconds / (1 << 20), cpu * 1e6 / operations);
  std::fflush(stdout);
}

// Keeps a bounded number of batches under way.
class Window {
 public:
  explicit Window(int size) : free_(size), size_(size) {}
  void Enter() {
    absl::MutexLock lock(&mutex_);
    const auto room = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return free_ > 0; };
    mutex_.Await(absl::Condition(&room));
    --free_;
  }
  void Leave() {
    absl::MutexLock lock(&mutex_);
    ++free_;
  }
  void Drain() {
    absl::MutexLock lock(&mutex_);
    const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return free_ == size_; };
    mutex_.Await(absl::Condition(&idle));
  }

 private:
  absl::Mutex mutex_;
  int free_;
  const int size_;
};

class Bench {
 public:
  explicit Bench(BucketClient* client) : client_(client) {}

  void Small(uint64_t count, uint64_t batch, int window_size) {
    std::vector<uint64_t> addresses(count);
    Window window(window_size);
    const std::string data(1024, 'x');
    const auto put = [&] {
      for (uint64_t at = 0; at < count; at += batch) {
        window.Enter();
        std::vector<PutItem> items(batch, PutItem{.kind = ObjectKind::kBytes, .data = data});
        client_->Put(std::move(items), [&, at](std::vector<absl::StatusOr<uint64_t>> results) {
          for (size_t i = 0; i < results.size(); ++i) addresses[at + i] = results[i].value();
          window.Leave();
        });
      }
      window.Drain();
    };
    const auto get = [&] {
      for (uint64_t at = 0; at < count; at += batch) {
        window.Enter();
        std::vector<GetItem> items(batch);
        for (uint64_t i = 0; i < batch; ++i) items[i].address = addresses[at + i];
        client_->Get(std::move(items), 1 << 20, [&](std::vector<absl::StatusOr<Fetched>> results) {
          for (const auto& result : results) CHECK(result.ok() && result->data.size() == 1024);
          window.Leave();
        });
      }
      window.Drain();
    };
    std::string name =
        "1 KiB x " + std::to_string(batch) + ", window " + std::to_string(window_size);
    Measure(("put " + name).c_str(), count, 1024, put);
    Measure(("get " + name).c_str(), count, 1024, get);
    Measure(("put+get " + name).c_str(), count, 2048, [&] {
      put();
      get();
    });
    Measure(("delete " + name).c_str(), count, 0, [&] { CHECK(client_->Delete(addresses).ok()); });
  }

  // One at a time: the latency that a chain of steps sees.
  void Latency(uint64_t count) {
    uint64_t address = 0;
    Measure("put 1 KiB, one at a time", count, 1024, [&] {
      for (uint64_t i = 0; i < count; ++i) address = PutOne(std::string(1024, 'x'));
    });
    Measure("get 1 KiB, one at a time", count, 1024, [&] {
      for (uint64_t i = 0; i < count; ++i) GetOne(address);
    });
  }

  void Large(uint64_t bytes, uint64_t count) {
    const std::string data(bytes, 'x');
    std::vector<uint64_t> addresses;
    const std::string size = std::to_string(bytes >> 20) + " MiB";
    // Several steps at once, as on a worker.
    addresses.resize(count);
    Measure(("write " + size + ", 4 at once").c_str(), count, bytes, [&] {
      std::atomic<uint64_t> next{0};
      std::vector<std::thread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
          for (uint64_t i = next++; i < count; i = next++) {
            auto writer = *client_->OpenWriter(ObjectKind::kBytes, {.run = 1, .item = i});
            CHECK(writer->Append(data, 0, false).ok());
            addresses[i] = writer->Finish().value().address;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    });
    Measure(("read " + size).c_str(), count, bytes, [&] {
      for (const uint64_t address : addresses) {
        auto reader = client_->OpenReader(address).value();
        uint64_t read = 0;
        while (auto chunk = reader->Next().value()) read += chunk->data.size();
        CHECK(read == bytes);
      }
    });
    Measure(("get " + size + ", 8 at once").c_str(), count, bytes, [&] {
      Window window(8);
      for (const uint64_t address : addresses) {
        window.Enter();
        client_->Get({{.address = address}}, bytes,
                     [&](std::vector<absl::StatusOr<Fetched>> results) {
                       CHECK(results[0].value().data.size() == bytes);
                       window.Leave();
                     });
      }
      window.Drain();
    });
    CHECK(client_->Delete(addresses).ok());
  }

 private:
  uint64_t PutOne(std::string data) {
    uint64_t address = 0;
    absl::Notification done;
    std::vector<PutItem> items;
    items.push_back({.kind = ObjectKind::kBytes, .data = std::move(data)});
    client_->Put(std::move(items), [&](std::vector<absl::StatusOr<uint64_t>> results) {
      address = results[0].value();
      done.Notify();
    });
    done.WaitForNotification();
    return address;
  }

  void GetOne(uint64_t address) {
    absl::Notification done;
    client_->Get({{.address = address}}, 1 << 20,
                 [&](std::vector<absl::StatusOr<Fetched>> results) {
                   CHECK(results[0].ok());
                   done.Notify();
                 });
    done.WaitForNotification();
  }

  BucketClient* const client_;
};

int Run(const std::string& directory) {
  const auto bucket = Bucket::Start({.binding = "127.0.0.1:0", .data_dir = directory + "/data"});
  CHECK(bucket.ok());
  const auto client = BucketClient::Connect({(*bucket)->address()}, "", absl::Seconds(5));
  CHECK(client.ok());
  Bench bench(client->get());
  bench.Latency(2000);
  bench.Small(400'000, 100, 20);
  bench.Large(1 << 20, 1000);
  bench.Large(64 << 20, 16);
  return 0;
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  bue::SetUpProcess();
  bue::SetUpLogging("bench", "warning");
  const std::string directory =
      argc > 1 ? argv[1] : (std::filesystem::temp_directory_path() / "bucket_bench").string();
  std::filesystem::remove_all(directory + "/data");
  const int result = bue::Run(directory);
  std::filesystem::remove_all(directory + "/data");
  return result;
}
