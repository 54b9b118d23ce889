// BucketFixture runs a bucket over loopback, and clients of it, in the test's process.
#ifndef BUE_TESTS_UNIT_BUCKET_BUCKET_FIXTURE_H_
#define BUE_TESTS_UNIT_BUCKET_BUCKET_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bucket/bucket.h"
#include "common/bucket_client/bucket_client.h"
#include "tests/unit/bucket/temp_dir.h"

namespace bue {

class BucketFixture : public testing::Test {
 protected:
  BucketFixture() { options_.data_dir = dir_.path() + "/data"; }

  void SetUp() override {
    options_.binding = "127.0.0.1:0";
    StartBucket();
    Connect();
  }

  // On the port it had before, if any.
  void StartBucket() {
    auto bucket = Bucket::Start(options_);
    ASSERT_TRUE(bucket.ok()) << bucket.status();
    bucket_ = *std::move(bucket);
    options_.binding = bucket_->address();
  }
  void StopBucket() { bucket_.reset(); }

  void Connect(BucketClientOptions options = {}) {
    client_.reset();
    options.buckets = {bucket_->address()};
    auto client = BucketClient::Connect(std::move(options));
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  using Addresses = std::vector<absl::StatusOr<uint64_t>>;
  Addresses Put(std::vector<PutItem> items) {
    Addresses addresses;
    absl::Notification done;
    client_->Put(std::move(items), [&](Addresses result) {
      addresses = std::move(result);
      done.Notify();
    });
    done.WaitForNotification();
    return addresses;
  }
  uint64_t PutOne(PutItem item) {
    std::vector<PutItem> items;
    items.push_back(std::move(item));
    const Addresses addresses = Put(std::move(items));
    EXPECT_TRUE(addresses[0].ok()) << addresses[0].status();
    return addresses[0].value_or(kNoObject);
  }

  using FetchedAll = std::vector<absl::StatusOr<Fetched>>;
  FetchedAll Get(std::vector<GetItem> items, uint64_t bytes_max = 1 << 20) {
    FetchedAll fetched;
    absl::Notification done;
    client_->Get(std::move(items), bytes_max, [&](FetchedAll result) {
      fetched = std::move(result);
      done.Notify();
    });
    done.WaitForNotification();
    return fetched;
  }
  absl::StatusOr<Fetched> GetOne(GetItem item, uint64_t bytes_max = 1 << 20) {
    return std::move(Get({item}, bytes_max)[0]);
  }

  // Reads to the end.
  static std::string ReadAll(ValueReader* reader) {
    std::string all;
    while (true) {
      auto chunk = reader->Next();
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok() || !chunk->has_value()) return all;
      all += (*chunk)->data;
    }
  }

  uint64_t Write(ObjectKind kind, const std::string& bytes, uint64_t elements) {
    auto writer = *client_->OpenWriter(kind, {.run = 1});
    EXPECT_TRUE(writer->Append(bytes, elements, false).ok());
    const auto written = writer->Finish();
    EXPECT_TRUE(written.ok()) << written.status();
    return written.ok() ? written->address : kNoObject;
  }

  TempDir dir_;
  BucketOptions options_;
  std::unique_ptr<Bucket> bucket_;
  std::unique_ptr<BucketClient> client_;
};

// A list element: a MessagePack string of `size` bytes that depend on `number`.
inline std::string ListElement(uint64_t number, uint32_t size) {
  std::string element = "\xdb";
  for (int shift = 24; shift >= 0; shift -= 8) element.push_back(static_cast<char>(size >> shift));
  const std::string text = std::to_string(number) + ",";
  while (element.size() < 5 + size) element += text;
  element.resize(5 + size);
  return element;
}

}  // namespace bue

#endif  // BUE_TESTS_UNIT_BUCKET_BUCKET_FIXTURE_H_
