// A client that puts objects of one size into a bucket and gets them back. Prints one JSON object.
//
//   bucket_bench BUCKET BYTES COUNT     {"put_s": ..., "get_s": ...}
//
// Small objects go in batches of 100 (or 1 MiB), 20 batches under way; what is larger than a chunk
// is streamed, 4 objects at once. Every put is fsynced before it counts. What comes back is
// compared with what was put.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/bucket_client/bucket_client.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/rpc.h"

namespace bue {
namespace {

constexpr uint64_t kBatchMax = 100;
constexpr uint64_t kBatchBytesMax = 1 << 20;
constexpr int kBatchesAtOnce = 20;
constexpr int kStreamsAtOnce = 4;
constexpr uint64_t kPieceBytes = 1 << 20;  // What a stream is handed at a time.

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
  int free_ ABSL_GUARDED_BY(mutex_);
  const int size_;
};

// Bytes that no compression makes smaller.
std::string Noise(uint64_t bytes) {
  std::mt19937_64 random(1);
  std::string noise(bytes, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  return noise;
}

// Objects that go in batches.
class Small {
 public:
  Small(BucketClient* client, uint64_t bytes, uint64_t count)
      : client_(client),
        data_(Noise(bytes)),
        batch_(std::clamp<uint64_t>(kBatchBytesMax / bytes, 1, kBatchMax)),
        addresses_(count) {}

  void Put() {
    Window window(kBatchesAtOnce);
    for (uint64_t at = 0; at < addresses_.size(); at += batch_) {
      window.Enter();
      std::vector<PutItem> items(Size(at), PutItem{.kind = ObjectKind::kBytes, .data = data_});
      client_->Put(std::move(items), [&, at](std::vector<absl::StatusOr<uint64_t>> results) {
        for (size_t i = 0; i < results.size(); ++i) addresses_[at + i] = results[i].value();
        window.Leave();
      });
    }
    window.Drain();
  }

  void Get() {
    Window window(kBatchesAtOnce);
    for (uint64_t at = 0; at < addresses_.size(); at += batch_) {
      window.Enter();
      std::vector<GetItem> items(Size(at));
      for (size_t i = 0; i < items.size(); ++i) items[i].address = addresses_[at + i];
      const auto check = [&](std::vector<absl::StatusOr<Fetched>> results) {
        for (const auto& result : results) CHECK(result.ok() && result->data == data_);
        window.Leave();
      };
      client_->Get(std::move(items), data_.size(), check);
    }
    window.Drain();
  }

 private:
  size_t Size(uint64_t at) const { return std::min<uint64_t>(batch_, addresses_.size() - at); }

  BucketClient* const client_;
  const std::string data_;
  const uint64_t batch_;
  std::vector<uint64_t> addresses_;
};

// Objects that are streamed: pieces of the same noise, again and again.
class Large {
 public:
  Large(BucketClient* client, uint64_t bytes, uint64_t count)
      : client_(client),
        piece_(Noise(kPieceBytes)),
        pieces_((bytes + kPieceBytes - 1) / kPieceBytes),
        addresses_(count) {}

  void Put() {
    AtOnce([this](size_t i) {
      auto writer = client_->OpenWriter(ObjectKind::kBytes, {.run = 1, .item = i}).value();
      for (uint64_t piece = 0; piece < pieces_; ++piece) {
        CHECK(writer->Append(piece_, 0, false).ok());
      }
      addresses_[i] = writer->Finish().value().address;
    });
  }

  void Get() {
    AtOnce([this](size_t i) {
      auto reader = client_->OpenReader(addresses_[i]).value();
      uint64_t read = 0;
      while (auto chunk = reader->Next().value()) {
        const uint64_t at = read % kPieceBytes;
        CHECK(piece_.compare(at, chunk->data.size(), chunk->data) == 0);
        read += chunk->data.size();
      }
      CHECK(read == pieces_ * kPieceBytes);
    });
  }

 private:
  template <typename Work>
  void AtOnce(Work work) {
    std::atomic<size_t> next = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kStreamsAtOnce; ++i) {
      threads.emplace_back([&] {
        for (size_t at = next++; at < addresses_.size(); at = next++) work(at);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  BucketClient* const client_;
  const std::string piece_;
  const uint64_t pieces_;
  std::vector<uint64_t> addresses_;
};

template <typename Objects>
void Measure(Objects objects) {
  const absl::Time start = absl::Now();
  objects.Put();
  const absl::Time put = absl::Now();
  objects.Get();
  std::printf("{\"put_s\": %.6f, \"get_s\": %.6f}\n", absl::ToDoubleSeconds(put - start),
              absl::ToDoubleSeconds(absl::Now() - put));
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "bucket_bench BUCKET BYTES COUNT\n");
    return 2;
  }
  bue::SetUpProcess();
  bue::SetUpLogging("client", "warning");
  const uint64_t bytes = std::strtoull(argv[2], nullptr, 10);
  const uint64_t count = std::strtoull(argv[3], nullptr, 10);
  const auto client = bue::BucketClient::Connect({argv[1]}, "", absl::Seconds(5));
  CHECK(client.ok() && bytes > 0 && count > 0);
  if (bytes <= bue::kChunkBytesMax) {
    bue::Measure(bue::Small(client->get(), bytes, count));
  } else {
    bue::Measure(bue::Large(client->get(), bytes, count));
  }
  return 0;
}
