#include "bucket/object_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bucket/rocksdb_object_store.h"
#include "tests/unit/bucket/temp_dir.h"

namespace bue::bucket {
namespace {

namespace fs = std::filesystem;

class ObjectStoreTest : public testing::Test {
 protected:
  ObjectStoreTest() { Open(); }

  void Open() {
    store_.reset();
    auto store = RocksDbObjectStore::Open({.data_dir = dir_.path()});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  uint64_t PutOne(ObjectKind kind, const std::string& data, uint64_t elements = 0) {
    const NewObject object{.kind = kind, .elements = elements, .data = data};
    const auto addresses = store_->Put({&object, 1});
    EXPECT_TRUE(addresses.ok()) << addresses.status();
    EXPECT_TRUE(store_->Sync().ok());
    return addresses.ok() ? addresses->at(0) : 0;
  }

  std::vector<StoredChunk> Read(uint64_t address, uint64_t first = 0, uint64_t count = 0) {
    std::vector<StoredChunk> chunks;
    auto reader = store_->OpenReader(address, first, count);
    EXPECT_TRUE(reader.ok()) << reader.status();
    while (reader.ok()) {
      auto chunk = (*reader)->Next();
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok() || !chunk->has_value()) break;
      chunks.push_back(**std::move(chunk));
    }
    return chunks;
  }

  // A list of `chunks` chunks with ten one-byte elements each.
  uint64_t WriteList(int chunks, bool finish = true) {
    auto writer = *store_->OpenWriter(ObjectKind::kList, {.run = 7});
    const std::string data(10, '\x01');
    for (int i = 0; i < chunks; ++i) {
      const NewChunk chunk{.data = data, .elements = 10};
      EXPECT_TRUE(writer->Append({&chunk, 1}).ok());
    }
    const auto progress = finish ? writer->Finish() : writer->Flush();
    EXPECT_TRUE(progress.ok());
    EXPECT_EQ(progress->elements, chunks * 10);
    return progress->address;
  }

  TempDir dir_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(ObjectStoreTest, KeepsWhatWasPutOverAReopen) {
  const std::string large(kChunkBytesMax, 'l');
  const uint64_t small = PutOne(ObjectKind::kValue, "small");
  const uint64_t chunked = PutOne(ObjectKind::kBytes, large);
  const uint64_t empty = PutOne(ObjectKind::kList, "");
  Open();
  EXPECT_EQ(Read(small)[0].data, "small");
  EXPECT_EQ(Read(chunked)[0].data, large);
  EXPECT_EQ(Read(empty)[0].data, "");
  EXPECT_EQ(store_->Describe(small)->kind, ObjectKind::kValue);
  EXPECT_EQ(store_->Describe(chunked)->bytes, kChunkBytesMax);
  EXPECT_TRUE(store_->Describe(chunked)->finished);
}

TEST_F(ObjectStoreTest, AddressesGrowAndNameTheStore) {
  std::vector<NewObject> objects(100, NewObject{.data = "x"});
  const auto addresses = store_->Put(objects);
  ASSERT_TRUE(addresses.ok());
  for (size_t i = 0; i < addresses->size(); ++i) {
    EXPECT_EQ(StoreOf((*addresses)[i]), store_->store_id());
    if (i > 0) {
      EXPECT_GT((*addresses)[i], (*addresses)[i - 1]);
    }
  }
  EXPECT_NE(store_->store_id(), 0);
}

TEST_F(ObjectStoreTest, AnAddressIsNeverGivenOutTwice) {
  const uint64_t last = PutOne(ObjectKind::kValue, "x");
  ASSERT_TRUE(store_->Delete({&last, 1}).ok());
  Open();
  EXPECT_GT(PutOne(ObjectKind::kValue, "y"), last);
  EXPECT_TRUE(absl::IsNotFound(store_->Describe(last).status()));
}

TEST_F(ObjectStoreTest, ADeletedObjectIsGoneWithAllItsRows) {
  const uint64_t small = PutOne(ObjectKind::kValue, "small");
  const uint64_t list = WriteList(700);
  const uint64_t kept = PutOne(ObjectKind::kValue, "kept");
  const std::vector<uint64_t> gone = {small, list};
  ASSERT_TRUE(store_->Delete(gone).ok());
  ASSERT_TRUE(store_->Delete(gone).ok());  // Unknown addresses are fine.
  EXPECT_TRUE(absl::IsNotFound(store_->OpenReader(small, 0, 0).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->OpenReader(list, 0, 0).status()));
  EXPECT_EQ(Read(kept)[0].data, "kept");
  const auto listed = store_->List(kNoObject, 100);
  ASSERT_EQ(listed->size(), 1);
  EXPECT_EQ(listed->at(0).address, kept);
}

// What one scan finds at each address: its data, or an error's code.
std::vector<std::string> ScanAll(ObjectScan* scan, const std::vector<uint64_t>& addresses) {
  std::vector<std::string> found;
  for (const uint64_t address : addresses) {
    const auto reader = scan->OpenReader(address, 0, 0);
    if (!reader.ok()) {
      found.push_back(absl::StatusCodeToString(reader.status().code()));
      continue;
    }
    const auto chunk = (*reader)->Next();
    EXPECT_TRUE(chunk.ok() && chunk->has_value());
    found.push_back((*chunk)->data);
    EXPECT_TRUE((*reader)->AtEnd());
  }
  return found;
}

TEST_F(ObjectStoreTest, AScanFindsWhatSearchesFind) {
  std::vector<uint64_t> addresses;
  std::vector<std::string> there;
  std::vector<uint64_t> deleted;
  for (int i = 0; i < 400; ++i) {
    // Some are large, some lie alone in a block; there are gaps of one, and one of fifty.
    const size_t bytes = i % 40 == 30 ? 100'000 : i % 50 == 20 ? 10'000 : i;
    there.push_back(std::string(bytes, static_cast<char>('a' + i % 26)));
    addresses.push_back(PutOne(ObjectKind::kBytes, there.back()));
    if (i % 15 == 14 || (i >= 200 && i < 250)) {
      there.back() = "NOT_FOUND";
      deleted.push_back(addresses.back());
    }
  }
  ASSERT_TRUE(store_->Delete(deleted).ok());
  EXPECT_TRUE(ScanAll(store_->NewScan().get(), addresses) == there);
  // From each place in turn, so that every gap meets a scan that steps.
  for (size_t from = 0; from < addresses.size(); from += 3) {
    const size_t until = std::min(from + 12, addresses.size());
    EXPECT_TRUE(
        ScanAll(store_->NewScan().get(), {addresses.begin() + from, addresses.begin() + until}) ==
        std::vector<std::string>(there.begin() + from, there.begin() + until))
        << "from " << from;
  }
  Open();  // From tables, not from memory.
  EXPECT_TRUE(ScanAll(store_->NewScan().get(), addresses) == there);
  std::reverse(addresses.begin(), addresses.end());
  std::reverse(there.begin(), there.end());
  EXPECT_TRUE(ScanAll(store_->NewScan().get(), addresses) == there);
}

TEST_F(ObjectStoreTest, AScanFindsWhatIsPutMeanwhile) {
  const std::unique_ptr<ObjectScan> scan = store_->NewScan();
  for (int i = 0; i < 20; ++i) {
    const std::string data = absl::StrCat("value ", i);
    EXPECT_EQ(ScanAll(scan.get(), {PutOne(ObjectKind::kBytes, data)})[0], data);
  }
}

TEST_F(ObjectStoreTest, AScanGoesOnAfterAnotherStoresAddress) {
  std::vector<uint64_t> addresses;
  for (int i = 0; i < 8; ++i) addresses.push_back(PutOne(ObjectKind::kBytes, "x"));
  const auto other = static_cast<uint16_t>(store_->store_id() + 1);
  addresses.insert(addresses.begin() + 5, MakeAddress(other, SequenceOf(addresses[4]) + 2));
  std::vector<std::string> expected(9, "x");
  expected[5] = "FAILED_PRECONDITION";
  EXPECT_EQ(ScanAll(store_->NewScan().get(), addresses), expected);
}

TEST_F(ObjectStoreTest, AReaderNoticesDeletionInTheMiddle) {
  const uint64_t list = WriteList(5);
  auto reader = *store_->OpenReader(list, 0, 0);
  ASSERT_TRUE(reader->Next().ok());
  ASSERT_TRUE(store_->Delete({&list, 1}).ok());
  EXPECT_TRUE(absl::IsNotFound(reader->Next().status()));
}

TEST_F(ObjectStoreTest, ARangeReadsOnlyItsChunks) {
  const uint64_t list = WriteList(1000);  // More than one page of the index.
  for (const uint64_t first : {0, 9, 10, 15, 2559, 2560, 2561, 5120, 9999}) {
    const auto chunks = Read(list, first, 1);
    ASSERT_EQ(chunks.size(), 1) << first;
    EXPECT_EQ(chunks[0].first_element, first / 10 * 10);
  }
  EXPECT_EQ(Read(list, 5, 10).size(), 2);
  EXPECT_EQ(Read(list, 2550, 20).size(), 2);
  EXPECT_EQ(Read(list, 9995, 100).size(), 1);
  EXPECT_TRUE(Read(list, 10000, 5).empty());
  EXPECT_TRUE(Read(list, 1 << 30, 5).empty());
  EXPECT_EQ(Read(list, 0, UINT64_MAX).size(), 1000);
  EXPECT_EQ(Read(list).size(), 1000);
}

TEST_F(ObjectStoreTest, ALargeElementsChunksBelongToItAlone) {
  auto writer = *store_->OpenWriter(ObjectKind::kList, {});
  const std::vector<NewChunk> chunks = {{.data = "a", .elements = 1},
                                        {.data = "b1", .elements = 1},
                                        {.data = "b2", .continued = true},
                                        {.data = "b3", .continued = true},
                                        {.data = "cd", .elements = 2}};
  ASSERT_TRUE(writer->Append(chunks).ok());
  const uint64_t list = writer->Finish()->address;
  const auto data = [&](uint64_t first, uint64_t count) {
    std::string all;
    for (const StoredChunk& chunk : Read(list, first, count)) all += chunk.data + " ";
    return all;
  };
  EXPECT_EQ(data(0, 1), "a ");
  EXPECT_EQ(data(1, 1), "b1 b2 b3 ");
  EXPECT_EQ(data(2, 1), "cd ");
  EXPECT_EQ(data(0, 2), "a b1 b2 b3 ");
  EXPECT_EQ(data(1, 2), "b1 b2 b3 cd ");
  EXPECT_EQ(store_->Describe(list)->elements, 4);
}

TEST_F(ObjectStoreTest, OnlyListsHaveRanges) {
  const uint64_t value = PutOne(ObjectKind::kValue, "x");
  EXPECT_TRUE(absl::IsInvalidArgument(store_->OpenReader(value, 0, 1).status()));
}

TEST_F(ObjectStoreTest, AFlushedPrefixCanBeReadAndOutlivesAReopen) {
  auto writer = *store_->OpenWriter(ObjectKind::kList, {});
  const NewChunk chunk{.data = "abc", .elements = 3};
  ASSERT_TRUE(writer->Append({&chunk, 1}).ok());
  const uint64_t list = writer->Flush()->address;
  ASSERT_TRUE(writer->Append({&chunk, 1}).ok());  // Not flushed.
  EXPECT_EQ(Read(list).size(), 1);
  EXPECT_EQ(store_->Describe(list)->elements, 3);
  EXPECT_FALSE(store_->Describe(list)->finished);
  writer.reset();
  Open();
  EXPECT_EQ(Read(list).size(), 1);
  EXPECT_EQ(Read(list, 2, 5).size(), 1);
  EXPECT_TRUE(Read(list, 3, 5).empty());
}

TEST_F(ObjectStoreTest, WhatWasNeverFlushedGoesWithItsWriter) {
  auto writer = *store_->OpenWriter(ObjectKind::kBytes, {});
  const NewChunk chunk{.data = "abc"};
  ASSERT_TRUE(writer->Append({&chunk, 1}).ok());
  EXPECT_EQ(store_->List(kNoObject, 10)->size(), 1);  // A sweep would find it.
  writer.reset();
  EXPECT_TRUE(store_->List(kNoObject, 10)->empty());
}

TEST_F(ObjectStoreTest, AnAbortDropsWhatWasFlushed) {
  auto writer = *store_->OpenWriter(ObjectKind::kBytes, {});
  const NewChunk chunk{.data = "abc"};
  ASSERT_TRUE(writer->Append({&chunk, 1}).ok());
  const uint64_t address = writer->Flush()->address;
  ASSERT_TRUE(writer->Abort().ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Describe(address).status()));
}

TEST_F(ObjectStoreTest, RefusesChunksThatAreTooLarge) {
  const std::string large(kChunkBytesMax + 1, 'x');
  const NewObject object{.data = large};
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Put({&object, 1}).status()));
  auto writer = *store_->OpenWriter(ObjectKind::kBytes, {});
  const NewChunk chunk{.data = large};
  EXPECT_TRUE(absl::IsInvalidArgument(writer->Append({&chunk, 1})));
}

TEST_F(ObjectStoreTest, AnotherStoresAddressIsNotGone) {
  const uint64_t foreign = MakeAddress(static_cast<uint16_t>(store_->store_id() ^ 1), 5);
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Describe(foreign).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Delete({&foreign, 1})));
}

TEST_F(ObjectStoreTest, ListsObjectsWithTheirOrigins) {
  const Origin origin{.run = 1, .instance = 2, .item = 3, .node = 4, .lease = 5};
  const NewObject object{.origin = origin, .data = "x"};
  std::vector<uint64_t> addresses;
  for (int i = 0; i < 5; ++i) addresses.push_back(store_->Put({&object, 1})->at(0));
  const uint64_t list = WriteList(3);
  const auto first = store_->List(kNoObject, 3);
  ASSERT_EQ(first->size(), 3);
  EXPECT_EQ(first->at(0).info.origin.item, 3);
  EXPECT_EQ(first->at(0).info.origin.lease, 5);
  EXPECT_GT(first->at(0).info.created_s, 1'600'000'000);
  const auto rest = store_->List(first->back().address, 10);
  ASSERT_EQ(rest->size(), 3);
  EXPECT_EQ(rest->back().address, list);
  EXPECT_EQ(rest->back().info.origin.run, 7);
}

TEST_F(ObjectStoreTest, CountsObjects) {
  const uint64_t one = PutOne(ObjectKind::kValue, "x");
  WriteList(3);
  EXPECT_EQ(store_->Stats().objects, 2);
  ASSERT_TRUE(store_->Delete({&one, 1}).ok());
  EXPECT_EQ(store_->Stats().objects, 1);
}

TEST_F(ObjectStoreTest, ATornLogLosesOnlyItsTail) {
  const uint64_t kept = PutOne(ObjectKind::kValue, "kept");
  const uint64_t torn = PutOne(ObjectKind::kValue, std::string(1000, 't'));
  store_.reset();
  for (const fs::directory_entry& file : fs::directory_iterator(dir_.path() + "/db")) {
    if (file.path().extension() == ".log") fs::resize_file(file.path(), file.file_size() - 10);
  }
  Open();
  EXPECT_EQ(Read(kept)[0].data, "kept");
  EXPECT_TRUE(absl::IsNotFound(store_->Describe(torn).status()));
  EXPECT_GT(PutOne(ObjectKind::kValue, "new"), torn);
}

TEST_F(ObjectStoreTest, ADamagedFileIsDataLoss) {
  store_.reset();
  auto small = RocksDbObjectStore::Open({.data_dir = dir_.path(), .memtable_bytes = 64 << 10});
  ASSERT_TRUE(small.ok());
  store_ = *std::move(small);
  std::vector<uint64_t> addresses;
  for (int i = 0; i < 200; ++i) {
    addresses.push_back(PutOne(ObjectKind::kBytes, std::string(100 << 10, 'a' + i % 26)));
  }
  store_.reset();
  // Flips a byte in the middle of every table file.
  int damaged = 0;
  for (const fs::directory_entry& file : fs::directory_iterator(dir_.path() + "/db")) {
    if (file.path().extension() != ".sst") continue;
    std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(file.file_size() / 2));
    bytes.put('!');
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  Open();
  int lost = 0;
  for (const uint64_t address : addresses) {
    auto reader = store_->OpenReader(address, 0, 0);
    const absl::Status status = reader.ok() ? (*reader)->Next().status() : reader.status();
    if (status.ok()) continue;
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    ++lost;
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 200);
}

TEST_F(ObjectStoreTest, OneForeignAddressDoesNotKeepTheOthers) {
  const uint64_t small = PutOne(ObjectKind::kValue, "x");
  const uint64_t list = WriteList(3);
  const uint64_t foreign = MakeAddress(static_cast<uint16_t>(store_->store_id() ^ 1), 10);
  const uint64_t addresses[] = {small, foreign, list};
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Delete(addresses)));
  EXPECT_TRUE(absl::IsNotFound(store_->Describe(small).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Describe(list).status()));
}

TEST_F(ObjectStoreTest, OnlyOneHubMaySweep) {
  EXPECT_TRUE(store_->ClaimFor("one").ok());
  EXPECT_TRUE(store_->ClaimFor("one").ok());
  Open();
  EXPECT_TRUE(store_->ClaimFor("one").ok());
  const absl::Status other = store_->ClaimFor("two");
  EXPECT_TRUE(absl::IsFailedPrecondition(other));
  EXPECT_TRUE(absl::StrContains(other.message(), "belong to hub one")) << other;
}

// A writer whose task was taken from it goes on for a moment.
TEST_F(ObjectStoreTest, WhatIsWrittenAfterTheDeletionIsListedWithoutOrigin) {
  auto writer = *store_->OpenWriter(ObjectKind::kBytes, {.run = 7});
  const NewChunk chunk{.data = "abc"};
  ASSERT_TRUE(writer->Append({&chunk, 1}).ok());
  const uint64_t address = store_->List(0, 10)->at(0).address;
  ASSERT_TRUE(store_->Delete({&address, 1}).ok());
  ASSERT_TRUE(writer->Append({&chunk, 1}).ok());
  const auto listed = *store_->List(0, 10);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].address, address);
  EXPECT_EQ(listed[0].info.origin.run, 0u);
  ASSERT_TRUE(store_->Delete({&address, 1}).ok());
  EXPECT_TRUE(store_->List(0, 10)->empty());
}

TEST_F(ObjectStoreTest, ReclaimGivesBackWhatWasDeletedAndKeepsTheRest) {
  const std::string data(200'000, 'x');
  std::vector<uint64_t> addresses;
  for (int i = 0; i < 200; ++i) addresses.push_back(PutOne(ObjectKind::kBytes, data));
  const uint64_t kept = addresses.back();
  addresses.pop_back();
  // So that it has a reason to: nothing is free enough.
  store_.reset();
  store_ = *RocksDbObjectStore::Open({.data_dir = dir_.path(), .low_water_bytes = UINT64_MAX});
  const uint64_t before = store_->Stats().bytes;
  ASSERT_TRUE(store_->Delete(addresses).ok());
  store_->Reclaim();
  EXPECT_LT(store_->Stats().bytes, before / 4);
  EXPECT_EQ(Read(kept)[0].data, data);
}

// Later each time it is asked, so that nobody thinks he knows how full the disk is.
class HurryingClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::UnixEpoch() + absl::Seconds(++asked_); }

 private:
  mutable std::atomic<int64_t> asked_{0};
};

TEST_F(ObjectStoreTest, WhatReclaimLeftWhenThereWasRoomIsReclaimedOnceThereIsNone) {
  const std::string data(200'000, 'x');
  std::vector<uint64_t> addresses;
  for (int i = 0; i < 200; ++i) addresses.push_back(PutOne(ObjectKind::kBytes, data));
  store_.reset();
  HurryingClock clock;
  std::atomic<uint64_t> free_bytes = 1;
  store_ = *RocksDbObjectStore::Open({.data_dir = dir_.path(),
                                      .low_water_bytes = 1,
                                      .free_bytes = [&] { return free_bytes.load(); },
                                      .clock = &clock});
  const uint64_t before = store_->Stats().bytes;
  ASSERT_TRUE(store_->Delete(addresses).ok());
  store_->Reclaim();
  free_bytes = 0;
  store_->Reclaim();
  EXPECT_LT(store_->Stats().bytes, before / 4);
  store_.reset();
}

TEST_F(ObjectStoreTest, AFullDiskIsKnownAndReadsGoOn) {
  const uint64_t kept = PutOne(ObjectKind::kValue, "kept");
  store_.reset();
  store_ = *RocksDbObjectStore::Open({.data_dir = dir_.path(), .low_water_bytes = UINT64_MAX});
  const absl::Status refused = store_->CheckRoom();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_TRUE(absl::StrContains(refused.message(), "nearly full")) << refused;
  EXPECT_EQ(Read(kept)[0].data, "kept");
  EXPECT_TRUE(store_->Delete({&kept, 1}).ok());
}

TEST_F(ObjectStoreTest, ADirectoryInUseIsRefused) {
  const absl::Status same = RocksDbObjectStore::Open({.data_dir = dir_.path()}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(same));
  EXPECT_TRUE(absl::StrContains(same.message(), std::to_string(getpid()))) << same;
}

TEST_F(ObjectStoreTest, ADirectoryOfAnotherVersionIsRefused) {
  store_.reset();
  std::ofstream(dir_.path() + "/BUCKET") << "bue bucket\nformat 9\nstore 5\n";
  const absl::Status status = RocksDbObjectStore::Open({.data_dir = dir_.path()}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "format 9, this program reads 1")) << status;
}

TEST(ObjectStoreDirectory, TwoProcessesCannotShareOne) {
  // The child opens the directory before this process starts any thread for it.
  TempDir dir;
  int opened[2];
  int end[2];
  ASSERT_EQ(pipe(opened), 0);
  ASSERT_EQ(pipe(end), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(end[1]);
    const auto store = RocksDbObjectStore::Open({.data_dir = dir.path()});
    const char answer = store.ok() ? 'y' : 'n';
    char ignored;
    if (write(opened[1], &answer, 1) != 1 || read(end[0], &ignored, 1) != 0) _exit(1);
    _exit(0);
  }
  close(end[0]);
  close(opened[1]);
  char answer = 0;
  ASSERT_EQ(read(opened[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const absl::Status second = RocksDbObjectStore::Open({.data_dir = dir.path()}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second)) << second;
  EXPECT_TRUE(absl::StrContains(second.message(), std::to_string(child))) << second;
  close(end[1]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(RocksDbObjectStore::Open({.data_dir = dir.path()}).ok());
  close(opened[0]);
  close(opened[1]);
}

TEST(ObjectStoreDirectory, FilesOfSomebodyElseAreLeftAlone) {
  TempDir dir;
  std::ofstream(dir.path() + "/letter.txt") << "dear";
  const absl::Status status = RocksDbObjectStore::Open({.data_dir = dir.path()}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "not a bucket's data directory")) << status;
}

TEST(ObjectStoreDirectory, AFileInPlaceOfTheDirectoryIsAnError) {
  TempDir dir;
  std::ofstream(dir.path() + "/file") << "x";
  const absl::Status status = RocksDbObjectStore::Open({.data_dir = dir.path() + "/file"}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
}

}  // namespace
}  // namespace bue::bucket
