// FakeBucket is a BucketClient over a map, for tests: what was put, how often it was asked, and
// answers that can be held back or refused.
//
// Thread-safe.
#ifndef BUE_TESTS_UNIT_WORKER_FAKE_BUCKET_H_
#define BUE_TESTS_UNIT_WORKER_FAKE_BUCKET_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/bucket_client/bucket_client.h"
#include "worker/core/elements.h"

namespace bue::worker {

class FakeBucket final : public BucketClient {
 public:
  struct Object {
    ObjectKind kind = ObjectKind::kValue;
    std::string data;
    uint64_t elements = 0;
  };

  static constexpr uint64_t kChunkElements = 10;  // Of every list.

  // -------------------------------------------------------------------------------- for the test
  uint64_t Store(ObjectKind kind, std::string data, uint64_t elements = 0) {
    absl::MutexLock lock(&mutex_);
    return StoreLocked({kind, std::move(data), elements});
  }
  void Remove(uint64_t address) {
    absl::MutexLock lock(&mutex_);
    objects_.erase(address);
  }
  bool Has(uint64_t address) {
    absl::MutexLock lock(&mutex_);
    return objects_.contains(address);
  }
  Object Read(uint64_t address) {
    absl::MutexLock lock(&mutex_);
    return objects_[address];
  }
  size_t size() {
    absl::MutexLock lock(&mutex_);
    return objects_.size();
  }
  void RefusePuts(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    put_status_ = std::move(status);
  }
  // Writers that finish wait meanwhile.
  void HoldWriters(bool hold) {
    absl::MutexLock lock(&mutex_);
    held_ = hold;
  }
  int gets() {
    absl::MutexLock lock(&mutex_);
    return gets_;
  }
  std::vector<GetItem> asked() {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }
  int puts() {
    absl::MutexLock lock(&mutex_);
    return puts_;
  }

  // --------------------------------------------------------------------------------- BucketClient
  void Put(std::vector<PutItem> items, PutDone done) override {
    std::vector<absl::StatusOr<uint64_t>> results;
    {
      absl::MutexLock lock(&mutex_);
      ++puts_;
      for (PutItem& item : items) {
        if (put_status_.ok()) {
          results.push_back(StoreLocked({item.kind, std::move(item.data), item.elements}));
        } else {
          results.push_back(put_status_);
        }
      }
    }
    done(std::move(results));
  }

  void Get(std::vector<GetItem> items, uint64_t bytes_max, GetDone done) override {
    std::vector<absl::StatusOr<Fetched>> results;
    {
      absl::MutexLock lock(&mutex_);
      ++gets_;
      asked_.insert(asked_.end(), items.begin(), items.end());
      for (const GetItem& item : items) results.push_back(GetLocked(item, bytes_max));
    }
    done(std::move(results));
  }

  absl::StatusOr<std::unique_ptr<ValueWriter>> OpenWriter(ObjectKind kind, const Origin&) override {
    return std::make_unique<Writer>(this, kind);
  }

  absl::StatusOr<std::unique_ptr<ValueReader>> OpenReader(uint64_t address, uint64_t first,
                                                          uint64_t count) override {
    absl::MutexLock lock(&mutex_);
    absl::StatusOr<Fetched> got = GetLocked({address, first, count}, UINT64_MAX);
    if (!got.ok()) return got.status();
    return std::make_unique<Reader>(*std::move(got), objects_[address]);
  }

  absl::Status Delete(std::vector<uint64_t> addresses) override {
    for (const uint64_t address : addresses) Remove(address);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<BucketInfo>> Info(absl::Duration) override {
    return std::vector<BucketInfo>();
  }

 private:
  class Writer final : public ValueWriter {
   public:
    Writer(FakeBucket* bucket, ObjectKind kind) : bucket_(bucket), object_{.kind = kind} {}
    absl::Status Append(absl::string_view bytes, uint64_t elements, bool) override {
      object_.data.append(bytes.data(), bytes.size());
      object_.elements += elements;
      return absl::OkStatus();
    }
    absl::StatusOr<Written> Flush() override { return absl::UnimplementedError("fake"); }
    absl::StatusOr<Written> Finish() override {
      bucket_->WaitWhileHeld();
      const uint64_t address = bucket_->Store(object_.kind, object_.data, object_.elements);
      return Written{address, object_.elements, object_.data.size()};
    }
    void Abort() override {}

   private:
    FakeBucket* const bucket_;
    Object object_;
  };

  // Hands an object out in pieces of 10,000 bytes, wherever that cuts elements.
  class Reader final : public ValueReader {
   public:
    Reader(Fetched got, const Object& object) : data_(std::move(got.data)), object_(object) {}
    absl::StatusOr<std::optional<Chunk>> Next() override {
      if (at_ == data_.size()) return std::nullopt;
      Chunk chunk{.data = data_.substr(at_, 10000)};
      at_ += chunk.data.size();
      return chunk;
    }
    ObjectKind kind() const override { return object_.kind; }
    uint64_t total_bytes() const override { return object_.data.size(); }
    uint64_t total_elements() const override { return object_.elements; }

   private:
    const std::string data_;
    const Object object_;
    size_t at_ = 0;
  };

  void WaitWhileHeld() {
    absl::MutexLock lock(&mutex_);
    const auto is_free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !held_; };
    mutex_.Await(absl::Condition(&is_free));
  }

  uint64_t StoreLocked(Object object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const uint64_t address = MakeAddress(1, ++sequence_);
    objects_[address] = std::move(object);
    return address;
  }

  absl::StatusOr<Fetched> GetLocked(const GetItem& item, uint64_t bytes_max)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = objects_.find(item.address);
    if (found == objects_.end()) return absl::NotFoundError("no such object");
    const Object& object = found->second;
    Fetched fetched{.kind = object.kind,
                    .data = object.data,
                    .elements = object.elements,
                    .total_bytes = object.data.size()};
    if (item.count > 0) {
      std::vector<size_t> ends;
      if (absl::Status status = ElementScanner().Scan(object.data, &ends); !status.ok()) {
        if (item.whole_chunks) return fetched;  // Nobody has looked into it.
        return absl::InternalError(status.message());
      }
      uint64_t first = std::min<uint64_t>(item.first, ends.size());
      uint64_t last = std::min<uint64_t>(item.first + item.count, ends.size());
      if (item.whole_chunks) {
        first -= first % kChunkElements;
        last = std::min<uint64_t>((last + kChunkElements - 1) / kChunkElements * kChunkElements,
                                  ends.size());
      }
      const size_t begin = first == 0 ? 0 : ends[first - 1];
      const size_t end = last == 0 ? 0 : ends[last - 1];
      fetched.data = object.data.substr(begin, end - begin);
      fetched.first = first;
      fetched.elements = item.whole_chunks ? object.elements : last - first;
      if (item.whole_chunks && fetched.data.size() > bytes_max) {
        fetched.data.resize(bytes_max + 1);
        fetched.too_big = true;
        return fetched;
      }
    }
    if (fetched.data.size() > bytes_max) {
      fetched.data.clear();
      fetched.elements = object.elements;
      fetched.too_big = true;
    }
    return fetched;
  }

  absl::Mutex mutex_;
  std::map<uint64_t, Object> objects_ ABSL_GUARDED_BY(mutex_);
  std::vector<GetItem> asked_ ABSL_GUARDED_BY(mutex_);
  uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  int gets_ ABSL_GUARDED_BY(mutex_) = 0;
  int puts_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status put_status_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bue::worker

#endif  // BUE_TESTS_UNIT_WORKER_FAKE_BUCKET_H_
