// Objects of the bucket as JSON, small and streamed, whatever way the bytes are cut into chunks.
#include "cli/values.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/value/writer.h"
#include "gtest/gtest.h"

namespace bue::cli {
namespace {

struct Object {
  ObjectKind kind = ObjectKind::kValue;
  std::string data;
};

class FakeReader final : public ValueReader {
 public:
  FakeReader(const Object* object, size_t chunk_bytes)
      : object_(object), chunk_bytes_(chunk_bytes) {}

  absl::StatusOr<std::optional<Chunk>> Next() override {
    if (at_ == object_->data.size()) return std::optional<Chunk>();
    Chunk chunk;
    chunk.data = object_->data.substr(at_, chunk_bytes_);
    at_ += chunk.data.size();
    return std::optional<Chunk>(std::move(chunk));
  }
  ObjectKind kind() const override { return object_->kind; }
  uint64_t total_bytes() const override { return object_->data.size(); }
  uint64_t total_elements() const override { return 0; }

 private:
  const Object* const object_;
  const size_t chunk_bytes_;
  size_t at_ = 0;
};

class FakeBucket final : public BucketClient {
 public:
  explicit FakeBucket(size_t chunk_bytes) : chunk_bytes_(chunk_bytes) {}

  void Get(std::vector<GetItem> items, uint64_t, GetDone done) override {
    std::vector<absl::StatusOr<Fetched>> objects;
    for (const GetItem& item : items) objects.push_back(GetOne(item.address));
    done(std::move(objects));
  }
  absl::StatusOr<std::unique_ptr<ValueReader>> OpenReader(uint64_t address, uint64_t,
                                                          uint64_t) override {
    return std::make_unique<FakeReader>(&objects[address], chunk_bytes_);
  }

  void Put(std::vector<PutItem>, PutDone) override {}
  absl::StatusOr<std::unique_ptr<ValueWriter>> OpenWriter(ObjectKind, const Origin&) override {
    return absl::UnimplementedError("not needed");
  }
  absl::Status Delete(std::vector<uint64_t>) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<BucketInfo>> Info(absl::Duration) override {
    return std::vector<BucketInfo>();
  }

  std::map<uint64_t, Object> objects;
  bool all_too_big = false;

 private:
  absl::StatusOr<Fetched> GetOne(uint64_t address) {
    const auto found = objects.find(address);
    if (found == objects.end()) return absl::NotFoundError("gone");
    Fetched fetched{.kind = found->second.kind, .too_big = all_too_big};
    if (!all_too_big) fetched.data = found->second.data;
    return fetched;
  }

  const size_t chunk_bytes_;
};

// [1, "two", [3]] as elements.
std::string Elements() {
  std::string bytes;
  value::Writer writer(&bytes);
  writer.Int(1);
  writer.String("two");
  writer.ArrayHeader(1);
  writer.Int(3);
  return bytes;
}

std::string Written(FakeBucket* bucket, uint64_t address) {
  std::string text;
  const absl::Status status = WriteObject(
      bucket, address, [&](absl::string_view piece) { text.append(piece.data(), piece.size()); });
  return status.ok() ? text : status.ToString();
}

TEST(WriteObject, StreamedAndWholeObjectsLookTheSame) {
  for (const size_t chunk_bytes : {1, 2, 3, 1000}) {
    FakeBucket bucket(chunk_bytes);
    bucket.objects[1] = {ObjectKind::kList, Elements()};
    bucket.objects[2] = {ObjectKind::kBytes, "any bytes"};
    bucket.objects[3] = {ObjectKind::kValue, "\xc3"};
    bucket.objects[4] = {ObjectKind::kList, ""};
    for (const bool too_big : {false, true}) {
      bucket.all_too_big = too_big;
      EXPECT_EQ(Written(&bucket, 1), "[1, \"two\", [3]]") << chunk_bytes << too_big;
      EXPECT_EQ(Written(&bucket, 2), "{\"$bytes\": \"YW55IGJ5dGVz\"}") << chunk_bytes << too_big;
      EXPECT_EQ(Written(&bucket, 3), "true") << chunk_bytes << too_big;
      EXPECT_EQ(Written(&bucket, 4), "[]") << chunk_bytes << too_big;
    }
  }
}

TEST(WriteObject, NoneIsNull) {
  FakeBucket bucket(10);
  bucket.objects[0] = {ObjectKind::kValue, ""};
  EXPECT_EQ(Written(&bucket, 0), "null");
}

TEST(WriteObject, TornListIsDataLoss) {
  FakeBucket bucket(10);
  std::string torn = Elements();
  torn.pop_back();
  bucket.objects[1] = {ObjectKind::kList, torn};
  bucket.all_too_big = true;
  EXPECT_EQ(Written(&bucket, 1).substr(0, 9), "DATA_LOSS");
}

TEST(WriteObject, MissingObjectIsNotFound) {
  FakeBucket bucket(10);
  EXPECT_EQ(Written(&bucket, 7).substr(0, 9), "NOT_FOUND");
}

}  // namespace
}  // namespace bue::cli
