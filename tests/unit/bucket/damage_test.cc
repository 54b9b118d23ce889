// A bucket's data directory that was damaged: what it serves must be what was put; everything else
// is gone or refused with what to do, and --verify names it.
#include "tests/support/damage.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bucket/rocksdb_object_store.h"
#include "bucket/verify.h"
#include "tests/unit/bucket/temp_dir.h"

namespace bue::bucket {
namespace {

namespace fs = std::filesystem;

using Objects = std::map<uint64_t, std::string>;  // By address: all bytes.

class BucketDamageTest : public testing::Test {
 protected:
  BucketDamageTest() : dir_(temp_.path() + "/bucket"), whole_(temp_.path() + "/whole") {}

  std::unique_ptr<ObjectStore> MustOpen(const RocksDbStoreOptions& more = {}) {
    RocksDbStoreOptions options = more;
    options.data_dir = dir_;
    auto store = RocksDbObjectStore::Open(options);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Small and whole objects, a long list and one that is not finished. Synced.
  static Objects Fill(ObjectStore* store) {
    Objects objects;
    for (int i = 0; i < 12; ++i) {
      // Large ones in between; then small ones side by side.
      const std::string data(i % 2 == 0 || i > 6 ? 20 + i : 100'000 + i,
                             static_cast<char>('a' + i));
      const NewObject object{.kind = ObjectKind::kBytes, .data = data};
      objects[(*store->Put({&object, 1}))[0]] = data;
    }
    for (const bool finish : {true, false}) {
      auto writer = *store->OpenWriter(ObjectKind::kList, {.run = 7});
      std::string all;
      for (int i = 0; i < 5; ++i) {
        const std::string data(10, static_cast<char>(i));
        const NewChunk chunk{.data = data, .elements = 10};
        EXPECT_TRUE(writer->Append({&chunk, 1}).ok());
        all += data;
      }
      const auto progress = finish ? writer->Finish() : writer->Flush();
      EXPECT_TRUE(progress.ok());
      objects[progress->address] = all;
    }
    EXPECT_TRUE(store->Sync().ok());
    return objects;
  }

  template <typename StoreOrScan>
  static absl::StatusOr<std::string> Read(StoreOrScan* store, uint64_t address) {
    auto reader = store->OpenReader(address, 0, 0);
    if (!reader.ok()) return reader.status();
    std::string all;
    while (true) {
      auto chunk = (*reader)->Next();
      if (!chunk.ok()) return chunk.status();
      if (!chunk->has_value()) return all;
      all += (*chunk)->data;
    }
  }

  // How many of the objects are there. Each is as it was, or gone.
  static size_t CountWhole(ObjectStore* store, const Objects& objects) {
    size_t whole = 0;
    const std::unique_ptr<ObjectScan> scan = store->NewScan();
    for (const auto& [address, data] : objects) {
      const absl::StatusOr<std::string> read = Read(scan.get(), address);
      EXPECT_EQ(Read(store, address).status().code(), read.status().code());
      if (read.ok()) {
        EXPECT_TRUE(*read == data) << "a wrong value is served";
        ++whole;
      } else {
        EXPECT_TRUE(absl::IsNotFound(read.status()) || absl::IsDataLoss(read.status()))
            << read.status();
      }
    }
    return whole;
  }

  // All files of the directory, but not the zeros that an open bucket's thread writes at any time
  // ahead of its log.
  std::map<std::string, std::string> Contents() const {
    std::map<std::string, std::string> files = ContentsOf(dir_);
    for (auto& [name, bytes] : files) {
      if (absl::EndsWith(name, ".log")) bytes.resize(bytes.find_last_not_of('\0') + 1);
    }
    return files;
  }

  VerifyReport Verify() {
    const auto before = Contents();
    const absl::StatusOr<VerifyReport> report = VerifyBucket(dir_);
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(Contents() == before) << "it changed what it looked at";
    return report.ok() ? *report : VerifyReport{};
  }

  static std::string Problems(const VerifyReport& report) {
    std::string text;
    for (const auto& p : report.problems) absl::StrAppend(&text, p.place, ": ", p.problem, "\n");
    return text;
  }

  void ExpectHelpful(const absl::Status& status) {
    EXPECT_TRUE(absl::StrContains(status.message(), dir_)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "empty") ||
                absl::StrContains(status.message(), "another directory") ||
                absl::StrContains(status.message(), "restore") ||
                absl::StrContains(status.message(), "choose"))
        << status;
  }

  std::string Log(const std::string& dir) { return FilesWith(dir + "/db", ".log").back(); }

  // As Log, without what was written ahead of it.
  std::string LogWithoutZeros(const std::string& dir) {
    const std::string log = Log(dir);
    const std::string bytes = ContentsOf(dir + "/db").at(fs::path(log).filename().string());
    CutTo(log, bytes.find_last_not_of('\0') + 1);
    return log;
  }

  TempDir temp_;
  const std::string dir_;
  const std::string whole_;
};

TEST_F(BucketDamageTest, NothingIsWrongWithAWholeDirectory) {
  const Objects objects = Fill(MustOpen().get());
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.ok()) << Problems(report);
  std::map<std::string, uint64_t> counts;
  for (const auto& count : report.looked_at) counts[count.what] = count.count;
  EXPECT_EQ(counts["objects"], objects.size());
  EXPECT_EQ(counts["objects not finished"], 1u);
}

TEST_F(BucketDamageTest, VerifyLooksWhileABucketHasItOpen) {
  const auto store = MustOpen();
  const Objects objects = Fill(store.get());
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.ok()) << Problems(report);
  EXPECT_EQ(report.in_use_by, absl::StrCat("process ", getpid()));
  EXPECT_EQ(CountWhole(store.get(), objects), objects.size());
}

TEST_F(BucketDamageTest, ALogCutAnywhereLosesOnlyItsEnd) {
  const auto store = MustOpen();
  Objects objects;
  for (int i = 0; i < 8; ++i) {
    const std::string data(100, static_cast<char>('a' + i));
    const NewObject object{.kind = ObjectKind::kBytes, .data = data};
    objects[(*store->Put({&object, 1}))[0]] = data;
  }
  ASSERT_TRUE(store->Sync().ok());
  CopyDirectory(dir_, whole_);
  const uint64_t bytes = BytesOf(LogWithoutZeros(whole_));
  std::set<uint64_t> cuts;
  for (uint64_t back = 0; back <= 60; ++back) cuts.insert(bytes - back);
  for (uint64_t part = 0; part < 30; ++part) cuts.insert(bytes * part / 30);
  size_t before = 0;
  for (const uint64_t cut : cuts) {
    SCOPED_TRACE(absl::StrCat("cut to ", cut, " of ", bytes));
    const std::string copy = temp_.path() + "/copy";
    CopyDirectory(whole_, copy);
    CutTo(Log(copy), cut);
    EXPECT_TRUE(VerifyBucket(copy)->ok()) << Problems(*VerifyBucket(copy));
    auto opened = RocksDbObjectStore::Open({.data_dir = copy});
    ASSERT_TRUE(opened.ok()) << opened.status();
    const size_t whole = CountWhole(opened->get(), objects);
    EXPECT_GE(whole, before);
    before = whole;
    // What comes now does not take the place of what was lost.
    const NewObject object{.kind = ObjectKind::kBytes, .data = "new"};
    EXPECT_FALSE(objects.contains((*(*opened)->Put({&object, 1}))[0]));
  }
  EXPECT_EQ(before, objects.size());
}

// What a power cut leaves of a log that was written ahead of.
TEST_F(BucketDamageTest, ARecordTornBeforeZerosIsNoDamage) {
  const auto store = MustOpen();
  Objects objects;
  for (int i = 0; i < 8; ++i) {
    const std::string data(100, static_cast<char>('a' + i));
    const NewObject object{.kind = ObjectKind::kBytes, .data = data};
    objects[(*store->Put({&object, 1}))[0]] = data;
  }
  ASSERT_TRUE(store->Sync().ok());
  CopyDirectory(dir_, whole_);
  const uint64_t bytes = BytesOf(LogWithoutZeros(whole_));
  for (const uint64_t torn : {1, 5, 40, 100, 120}) {
    SCOPED_TRACE(absl::StrCat("the last ", torn, " of ", bytes, " bytes are zeros"));
    const std::string copy = temp_.path() + "/copy";
    CopyDirectory(whole_, copy);
    CutTo(Log(copy), bytes - torn);
    CutTo(Log(copy), bytes + (100 << 10));  // Longer, so with zeros.
    EXPECT_TRUE(VerifyBucket(copy)->ok()) << Problems(*VerifyBucket(copy));
    auto opened = RocksDbObjectStore::Open({.data_dir = copy});
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(CountWhole(opened->get(), objects), 7);
    EXPECT_TRUE(VerifyBucket(copy)->ok()) << Problems(*VerifyBucket(copy));
    opened->reset();
    EXPECT_TRUE(VerifyBucket(copy)->ok()) << Problems(*VerifyBucket(copy));
  }
}

TEST_F(BucketDamageTest, AFlippedBitNeverMakesAWrongValue) {
  // Some in tables, some in the log: as a killed bucket leaves it.
  Objects objects = Fill(MustOpen({.memtable_bytes = 64 << 10}).get());
  {
    auto store = MustOpen();
    objects.merge(Fill(store.get()));
    CopyDirectory(dir_, whole_);
  }
  std::vector<std::string> files;
  for (const char* part : {".log", ".sst", "MANIFEST", "CURRENT"}) {
    for (const std::string& file : FilesWith(whole_ + "/db", part)) files.push_back(file);
  }
  for (const char* name : {"/BUCKET", "/SEQUENCE"}) files.push_back(whole_ + name);
  for (const std::string& file : files) {
    const std::string name = fs::relative(file, whole_).string();
    const uint64_t bytes = BytesOf(file);
    for (uint64_t i = 0; i < 16 && bytes > 0; ++i) {
      const uint64_t byte = bytes * i / 16;
      SCOPED_TRACE(absl::StrCat("bit ", i % 8, " of byte ", byte, " of ", name));
      CopyDirectory(whole_, dir_);
      FlipBit(absl::StrCat(dir_, "/", name), byte, static_cast<int>(i % 8));
      const bool fine = Verify().ok();
      auto store = RocksDbObjectStore::Open({.data_dir = dir_});
      if (!store.ok()) {
        EXPECT_FALSE(fine) << store.status();
        ExpectHelpful(store.status());
        continue;
      }
      if (StoreOf(objects.begin()->first) != (*store)->store_id()) continue;  // Every read fails.
      const size_t whole = CountWhole(store->get(), objects);
      if (fine && name.find(".log") == std::string::npos) {
        EXPECT_EQ(whole, objects.size());
      }
    }
  }
}

TEST_F(BucketDamageTest, AFlippedBitInATableIsNamed) {
  const auto objects = Fill(MustOpen().get());
  {
    const auto store = MustOpen({.memtable_bytes = 64 << 10});
    Fill(store.get());
  }
  { const auto store = MustOpen(); }
  const std::vector<std::string> tables = FilesWith(dir_ + "/db", ".sst");
  ASSERT_FALSE(tables.empty());
  FlipBit(tables[0], BytesOf(tables[0]) / 3, 3);
  const VerifyReport report = Verify();
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.problems[0].place, tables[0]);
  EXPECT_TRUE(absl::StrContains(report.problems[0].remedy, "empty")) << Problems(report);
}

// An older SEQUENCE would give addresses twice, and with them other tasks' values.
TEST_F(BucketDamageTest, AnOldSequenceIsRefused) {
  Fill(MustOpen().get());
  std::ofstream(dir_ + "/SEQUENCE") << 2;
  const VerifyReport report = Verify();
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.problems[0].place, dir_ + "/SEQUENCE");
  const absl::Status status = RocksDbObjectStore::Open({.data_dir = dir_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "SEQUENCE")) << status;
}

TEST_F(BucketDamageTest, AHubsDirectoryIsRefusedByName) {
  fs::create_directories(dir_);
  std::ofstream(dir_ + "/bue-hub") << "bue hub data, format 1\n";
  const absl::Status status = RocksDbObjectStore::Open({.data_dir = dir_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "it is a hub's")) << status;
  EXPECT_FALSE(Verify().ok());
}

// -------------------------------------------------------------------------- disks that fail

class BucketDiskTest : public BucketDamageTest,
                       public testing::WithParamInterface<FailingDisk::Error> {};
INSTANTIATE_TEST_SUITE_P(Errors, BucketDiskTest,
                         testing::Values(FailingDisk::Error::kIo, FailingDisk::Error::kNoSpace));

TEST_P(BucketDiskTest, AFailedWriteBreaksTheStoreOnce) {
  FailingDisk disk;
  std::vector<absl::Status> broken;
  auto store = MustOpen({.env = disk.env(), .on_broken = [&](const absl::Status& status) {
                           broken.push_back(status);
                         }});
  const Objects objects = Fill(store.get());
  disk.FailWrites(GetParam());
  const NewObject object{.kind = ObjectKind::kBytes, .data = "x"};
  EXPECT_FALSE(store->Put({&object, 1}).ok());
  disk.Mend();
  EXPECT_FALSE(store->Put({&object, 1}).ok());
  EXPECT_FALSE(store->Sync().ok());
  ASSERT_EQ(broken.size(), 1u);
  EXPECT_TRUE(absl::StrContains(broken[0].message(), dir_)) << broken[0];
  store.reset();
  EXPECT_EQ(CountWhole(MustOpen().get(), objects), objects.size());
}

TEST_P(BucketDiskTest, AFailedSyncBreaksTheStore) {
  FailingDisk disk;
  int broken = 0;
  auto store = MustOpen({.env = disk.env(), .on_broken = [&](const absl::Status&) { ++broken; }});
  const NewObject object{.kind = ObjectKind::kBytes, .data = "x"};
  ASSERT_TRUE(store->Put({&object, 1}).ok());
  disk.FailSyncs(GetParam());
  EXPECT_FALSE(store->Sync().ok());
  EXPECT_EQ(broken, 1);
}

}  // namespace
}  // namespace bue::bucket
