#include "common/rocksdb/log_ahead.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/file_system.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/damage.h"

namespace bue {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kZerosAtOnce = 512 << 10;

class LogAheadTest : public testing::Test {
 protected:
  LogAheadTest() {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~LogAheadTest() override { fs::remove_all(dir_); }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }

  std::unique_ptr<rocksdb::FSWritableFile> NewFile(const std::string& name) {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    EXPECT_TRUE(env_->GetFileSystem()->NewWritableFile(Path(name), {}, &file, nullptr).ok());
    return file;
  }

  static std::unique_ptr<rocksdb::DB> Open(const std::string& path, rocksdb::Env* env) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.env = env;
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, path, &db);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return std::unique_ptr<rocksdb::DB>(db);
  }

  // Writes rows 0, 1, ... of a database that stays open, until its log has zeros; returns how many.
  int WriteUntilZeros(rocksdb::DB* db, const std::string& path) {
    rocksdb::WriteOptions durable;
    durable.sync = true;
    for (int row = 0; row < 10'000; ++row) {
      EXPECT_TRUE(db->Put(durable, absl::StrCat("row ", row), std::string(100, 'v')).ok());
      const std::vector<std::string> logs = FilesWith(path, ".log");
      if (logs.size() == 1 && row >= 100 && BytesOf(logs[0]) > kZerosAtOnce) return row + 1;
      absl::SleepFor(absl::Milliseconds(1));
    }
    ADD_FAILURE() << "the log has no zeros";
    return 0;
  }

  // How many of rows 0, 1, ... are there, without a gap.
  static int Rows(rocksdb::DB* db) {
    std::string value;
    int row = 0;
    while (db->Get({}, absl::StrCat("row ", row), &value).ok()) ++row;
    return row;
  }

  const std::string dir_ = testing::TempDir() + "/log_ahead_test";
  const std::unique_ptr<rocksdb::Env> env_ = LogAheadEnv(rocksdb::Env::Default());
};

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST_F(LogAheadTest, ZerosLieBehindWhatIsLoggedAndNeverOnIt) {
  std::mt19937 random(7);
  std::string expected;
  const std::unique_ptr<rocksdb::FSWritableFile> file = NewFile("1.log");
  bool had_zeros = false;
  // Small appends, and some that go past the zeros, while these are being written too.
  for (int i = 0; i < 3000; ++i) {
    const size_t size = random() % (random() % 50 == 0 ? 400'000 : 2'000);
    const std::string piece(size, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(file->Append(piece, {}, nullptr).ok());
    expected += piece;
    if (i % 3 == 0) {
      ASSERT_TRUE(file->Sync({}, nullptr).ok());
    }
    had_zeros |= BytesOf(Path("1.log")) > expected.size();
  }
  EXPECT_TRUE(had_zeros);
  std::string found = Read(Path("1.log"));
  ASSERT_GE(found.size(), expected.size());
  EXPECT_TRUE(found.compare(0, expected.size(), expected) == 0);
  EXPECT_EQ(found.find_first_not_of('\0', expected.size()), std::string::npos);
}

TEST_F(LogAheadTest, OnlyLogsAreWrittenAhead) {
  const std::unique_ptr<rocksdb::FSWritableFile> file = NewFile("1.sst");
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(file->Append("piece", {}, nullptr).ok());
    ASSERT_TRUE(file->Sync({}, nullptr).ok());
  }
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(BytesOf(Path("1.sst")), 250);
}

TEST_F(LogAheadTest, LogOfLargeValuesIsNotWrittenAhead) {
  const std::unique_ptr<rocksdb::FSWritableFile> file = NewFile("1.log");
  const std::string piece(1 << 20, 'v');
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(file->Append(piece, {}, nullptr).ok());
    ASSERT_TRUE(file->Sync({}, nullptr).ok());
    absl::SleepFor(absl::Milliseconds(12));
  }
  EXPECT_EQ(BytesOf(Path("1.log")), 20 << 20);
}

TEST_F(LogAheadTest, KilledDatabaseHasAllThatWasSynced) {
  const std::unique_ptr<rocksdb::DB> db = Open(Path("db"), env_.get());
  const int rows = WriteUntilZeros(db.get(), Path("db"));
  CopyDirectory(Path("db"), Path("killed"));  // What a kill leaves behind.
  const std::vector<std::string> logs = FilesWith(Path("killed"), ".log");
  ASSERT_EQ(logs.size(), 1u);
  EXPECT_EQ(Read(logs[0]).back(), '\0');
  EXPECT_EQ(Rows(Open(Path("killed"), rocksdb::Env::Default()).get()), rows);
}

TEST_F(LogAheadTest, RecordThatWasTornBeforeZerosEndsTheLog) {
  const std::unique_ptr<rocksdb::DB> db = Open(Path("db"), env_.get());
  const int rows = WriteUntilZeros(db.get(), Path("db"));
  CopyDirectory(Path("db"), Path("torn"));
  const std::string log = FilesWith(Path("torn"), ".log")[0];
  std::string bytes = Read(log);
  const size_t end = bytes.find_last_not_of('\0');
  for (size_t i = end - 40; i <= end; ++i) bytes[i] = '\0';  // The last record's second half.
  std::ofstream(log, std::ios::binary) << bytes;
  const std::unique_ptr<rocksdb::DB> found = Open(Path("torn"), env_.get());
  EXPECT_EQ(Rows(found.get()), rows - 1);
  EXPECT_TRUE(found->Put({}, absl::StrCat("row ", rows - 1), "again").ok());
  EXPECT_EQ(Rows(found.get()), rows);
}

TEST_F(LogAheadTest, ClosedLogEndsWithItsLastRecord) {
  std::unique_ptr<rocksdb::DB> db = Open(Path("db"), env_.get());
  const int rows = WriteUntilZeros(db.get(), Path("db"));
  ASSERT_TRUE(db->Close().ok());
  db = nullptr;
  const std::vector<std::string> logs = FilesWith(Path("db"), ".log");
  ASSERT_EQ(logs.size(), 1u);
  EXPECT_LT(BytesOf(logs[0]), static_cast<uint64_t>(rows) * 200 + 1000);
  EXPECT_EQ(Rows(Open(Path("db"), env_.get()).get()), rows);
}

}  // namespace
}  // namespace bue
