// A hub's data directory that was damaged: what opens must hold a beginning of what was committed,
// everything else must refuse and say what to do; and --verify must see what a start would refuse.
#include "tests/support/damage.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bue/v1/program.pb.h"
#include "common/program/program_codec.h"
#include "hub/scheduler/scheduler.h"
#include "hub/storage/rocksdb_hub_store.h"
#include "hub/verify.h"

namespace bue::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kNodes = 30;

class HubDamageTest : public testing::Test {
 protected:
  HubDamageTest() {
    std::string name = testing::TempDir() + "bue-hub-damage-XXXXXX";
    root_ = mkdtemp(name.data());
    dir_ = root_ + "/hub";
    whole_ = root_ + "/whole";
  }
  ~HubDamageTest() override { fs::remove_all(root_); }

  static RunAdded Run(uint64_t run) {
    Program program{.script = "s.bue", .steps = {{.name = "a"}}, .regions = {{}}};
    program.nodes.assign(kNodes, {.step = 0, .region = 0});
    v1::Program proto;
    ToProto(program, &proto);
    return {.run = run,
            .key = absl::StrCat("k", run),
            .name = "s.bue",
            .program = proto.SerializeAsString()};
  }
  static Change Succeeded(uint64_t run, uint32_t node) {
    return {.kind = Change::Kind::kSucceeded, .node = node, .run = run, .a = 1000 + node};
  }

  // One run, one task a turn, in the write-ahead log only: as a killed hub leaves it.
  void MakeKilled(uint32_t turns) {
    auto store = *RocksdbHubStore::Open(dir_, {});
    ASSERT_TRUE(store->Load().ok());
    uint64_t turn = store->first_turn();
    ASSERT_TRUE(store->Commit(turn++, {.runs = {Run(1)}}).ok());
    for (uint32_t node = 0; node < turns; ++node) {
      ASSERT_TRUE(store->Commit(turn++, {.changes = {Succeeded(1, node)}}).ok());
    }
    ASSERT_TRUE(store->Sync().ok());
    CopyDirectory(dir_, whole_);
  }

  std::string Log(const std::string& dir) const {
    // The largest: the one that the turns went to.
    const std::vector<std::string> logs = FilesWith(dir + "/db", ".log");
    return *std::max_element(logs.begin(), logs.end(),
                             [](const auto& a, const auto& b) { return BytesOf(a) < BytesOf(b); });
  }

  struct Opened {
    absl::Status status;
    size_t runs = 0;
    size_t changes = 0;
  };
  // Opens the damaged directory and takes it over, as a hub does when it starts.
  Opened Open() {
    auto store = RocksdbHubStore::Open(dir_, {});
    if (!store.ok()) return {store.status()};
    auto snapshot = (*store)->Load();
    if (!snapshot.ok()) return {snapshot.status()};
    Opened opened{.runs = snapshot->runs.size(), .changes = snapshot->changes.size()};
    for (size_t i = 0; i < snapshot->changes.size(); ++i) {
      // A beginning of what was committed, and nothing else.
      EXPECT_EQ(snapshot->changes[i], Succeeded(1, static_cast<uint32_t>(i)));
    }
    Scheduler scheduler(SchedulerOptions{});
    opened.status = scheduler.Load(*std::move(snapshot), absl::UnixEpoch());
    return opened;
  }

  // What --verify finds; it must not change anything.
  VerifyReport Verify() {
    const auto before = ContentsOf(dir_);
    const absl::StatusOr<VerifyReport> report = VerifyHub(dir_);
    EXPECT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(ContentsOf(dir_), before);
    return report.ok() ? *report : VerifyReport{};
  }

  // Whether the refusal names the directory and says what can be done.
  void ExpectHelpful(const absl::Status& status) {
    EXPECT_TRUE(absl::StrContains(status.message(), dir_)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "restore") ||
                absl::StrContains(status.message(), "choose") ||
                absl::StrContains(status.message(), "directory"))
        << status;
  }

  std::string root_;
  std::string dir_;
  std::string whole_;
};

TEST_F(HubDamageTest, NothingIsWrongWithAWholeDirectory) {
  MakeKilled(10);
  CopyDirectory(whole_, dir_);
  VerifyReport report = Verify();
  EXPECT_TRUE(report.ok()) << report.problems[0].place << ": " << report.problems[0].problem;
  EXPECT_EQ(report.format, 1);
  EXPECT_EQ(report.in_use_by, "");
  std::map<std::string, uint64_t> counts;
  for (const auto& count : report.looked_at) counts[count.what] = count.count;
  EXPECT_EQ(counts["runs"], 1u);
  EXPECT_EQ(counts["changes in them"], 10u);
  EXPECT_EQ(counts["runs taken over"], 1u);
  EXPECT_GT(counts["write-ahead log bytes"], 0u);
}

TEST_F(HubDamageTest, VerifyLooksWhileAHubHasItOpen) {
  auto store = *RocksdbHubStore::Open(dir_, {});
  ASSERT_TRUE(store->Load().ok());
  const uint64_t turn = store->first_turn();
  ASSERT_TRUE(store->Commit(turn, {.runs = {Run(1)}, .changes = {Succeeded(1, 0)}}).ok());
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.ok()) << report.problems[0].place << ": " << report.problems[0].problem;
  EXPECT_EQ(report.in_use_by, absl::StrCat("process ", getpid()));
  // And the hub goes on.
  EXPECT_TRUE(store->Commit(turn + 1, {.changes = {Succeeded(1, 1)}}).ok());
}

TEST_F(HubDamageTest, ADirectoryThatIsNotThereCannotBeVerified) {
  EXPECT_TRUE(absl::IsNotFound(VerifyHub(dir_).status()));
  EXPECT_FALSE(fs::exists(dir_));
}

// A crash tears the last record anywhere, and a power cut may take more of the end.
TEST_F(HubDamageTest, ALogCutAnywhereIsABeginning) {
  MakeKilled(12);
  const uint64_t bytes = BytesOf(Log(whole_));
  std::set<uint64_t> cuts;
  for (uint64_t back = 0; back <= 80; ++back) cuts.insert(bytes - back);  // The last record's.
  for (uint64_t part = 0; part < 40; ++part) cuts.insert(bytes * part / 40);
  size_t most = 0;
  size_t least = SIZE_MAX;
  for (const uint64_t cut : cuts) {
    SCOPED_TRACE(absl::StrCat("cut to ", cut, " of ", bytes));
    CopyDirectory(whole_, dir_);
    CutTo(Log(dir_), cut);
    const bool fine = Verify().ok();
    const Opened opened = Open();
    EXPECT_EQ(fine, opened.status.ok()) << opened.status;
    if (!opened.status.ok()) {
      // So much is missing that the hub knows it: its last start is not in there.
      ExpectHelpful(opened.status);
      continue;
    }
    most = std::max(most, opened.changes);
    least = std::min(least, opened.changes);
  }
  EXPECT_EQ(most, 12u);
  EXPECT_LT(least, 12u);
}

// Bits flip on disks. What cannot be told from a torn end is the length of a record in the log's
// last block; everything else must be noticed.
TEST_F(HubDamageTest, AFlippedBitIsNoticedOrHarmless) {
  MakeKilled(12);
  std::vector<std::string> files;
  for (const char* part : {".log", ".sst", "MANIFEST", "CURRENT"}) {
    for (const std::string& file : FilesWith(whole_ + "/db", part)) files.push_back(file);
  }
  files.push_back(whole_ + "/bue-hub");
  for (const std::string& file : files) {
    const std::string name = fs::relative(file, whole_).string();
    const uint64_t bytes = BytesOf(file);
    if (bytes == 0) continue;
    for (uint64_t i = 0; i < 24; ++i) {
      const uint64_t byte = bytes * i / 24;
      SCOPED_TRACE(absl::StrCat("bit ", i % 8, " of byte ", byte, " of ", name));
      CopyDirectory(whole_, dir_);
      FlipBit(absl::StrCat(dir_, "/", name), byte, static_cast<int>(i % 8));
      const bool fine = Verify().ok();
      const Opened opened = Open();
      if (opened.status.ok()) continue;  // And holds a beginning: Open has looked.
      EXPECT_FALSE(fine) << opened.status;
      ExpectHelpful(opened.status);
    }
  }
}

TEST_F(HubDamageTest, AFlippedBitInATableIsNamed) {
  MakeKilled(12);
  {
    auto store = *RocksdbHubStore::Open(dir_, {});  // Closing it writes tables.
    ASSERT_TRUE(store->Load().ok());
  }
  const std::string table = FilesWith(dir_ + "/db", ".sst").at(0);
  FlipBit(table, 20, 3);
  const VerifyReport report = Verify();
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.problems[0].place, table);
  EXPECT_TRUE(absl::StrContains(report.problems[0].problem, "checksum"))
      << report.problems[0].problem;
  const Opened opened = Open();
  EXPECT_EQ(opened.status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StrContains(opened.status.message(), "bue hub --verify")) << opened.status;
}

TEST_F(HubDamageTest, AMissingFileIsNoticed) {
  MakeKilled(12);
  {
    auto store = *RocksdbHubStore::Open(dir_, {});
    ASSERT_TRUE(store->Load().ok());
    ASSERT_TRUE(store->Commit(store->first_turn(), {.runs = {Run(2)}}).ok());
    CopyDirectory(dir_, whole_);
  }
  for (const char* part : {".log", ".sst", "MANIFEST", "CURRENT"}) {
    SCOPED_TRACE(part);
    CopyDirectory(whole_, dir_);
    for (const std::string& file : FilesWith(dir_ + "/db", part)) fs::remove(file);
    EXPECT_FALSE(Verify().ok());
    const Opened opened = Open();
    EXPECT_FALSE(opened.status.ok()) << "loaded " << opened.runs << " runs";
    ExpectHelpful(opened.status);
  }
}

TEST_F(HubDamageTest, AnOlderDatabaseInItsPlaceIsNoticed) {
  MakeKilled(3);
  CopyDirectory(whole_, dir_);
  { ASSERT_TRUE(RocksdbHubStore::Open(dir_, {}).ok()); }
  CopyDirectory(whole_ + "/db", dir_ + "/db");
  EXPECT_FALSE(Verify().ok());
  const absl::Status status = RocksdbHubStore::Open(dir_, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StrContains(status.message(), "older than it was")) << status;
}

TEST_F(HubDamageTest, ARunThatContradictsItselfIsNamed) {
  {
    auto store = *RocksdbHubStore::Open(dir_, {});
    ASSERT_TRUE(store->Load().ok());
    const Change impossible{.kind = Change::Kind::kReserve, .run = 2, .instance = 77, .a = 5};
    ASSERT_TRUE(store
                    ->Commit(store->first_turn(), {.runs = {Run(1), Run(2), Run(3)},
                                                   .changes = {Succeeded(1, 0), impossible}})
                    .ok());
  }
  const VerifyReport report = Verify();
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].place, "run r2");
}

TEST_F(HubDamageTest, ABucketsDirectoryIsRefusedByName) {
  fs::create_directories(dir_);
  std::ofstream(dir_ + "/BUCKET") << "bue bucket\nformat 1\nstore 7\n";
  const absl::Status status = RocksdbHubStore::Open(dir_, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "it is a bucket's")) << status;
  EXPECT_FALSE(Verify().ok());
}

// -------------------------------------------------------------------------- disks that fail

TEST_F(HubDamageTest, AFailedWriteIsAnErrorThatNamesTheDirectory) {
  FailingDisk disk;
  auto store = *RocksdbHubStore::Open(dir_, {.env = disk.env()});
  ASSERT_TRUE(store->Load().ok());
  const uint64_t turn = store->first_turn();
  ASSERT_TRUE(store->Commit(turn, {.runs = {Run(1)}, .changes = {Succeeded(1, 0)}}).ok());
  disk.FailWrites(FailingDisk::Error::kIo);
  const absl::Status status = store->Commit(turn + 1, {.changes = {Succeeded(1, 1)}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(absl::StrContains(status.message(), dir_)) << status;
  // What may be half on disk is not followed by anything.
  disk.Mend();
  EXPECT_FALSE(store->Commit(turn + 2, {.changes = {Succeeded(1, 2)}}).ok());
  store.reset();
  const Opened opened = Open();
  EXPECT_TRUE(opened.status.ok()) << opened.status;
  EXPECT_EQ(opened.changes, 1u);
}

TEST_F(HubDamageTest, AFailedSyncIsAnError) {
  FailingDisk disk;
  auto store = *RocksdbHubStore::Open(dir_, {.env = disk.env()});
  ASSERT_TRUE(store->Load().ok());
  ASSERT_TRUE(store->Commit(store->first_turn(), {.runs = {Run(1)}}).ok());
  disk.FailSyncs(FailingDisk::Error::kIo);
  EXPECT_FALSE(store->Sync().ok());
  disk.Mend();
  EXPECT_FALSE(store->Commit(store->first_turn() + 1, {.changes = {Succeeded(1, 0)}}).ok());
}

TEST_F(HubDamageTest, AFullDiskSaysSo) {
  FailingDisk disk;
  auto store = *RocksdbHubStore::Open(dir_, {.env = disk.env()});
  ASSERT_TRUE(store->Load().ok());
  disk.FailWrites(FailingDisk::Error::kNoSpace);
  const absl::Status status = store->Commit(store->first_turn(), {.runs = {Run(1)}});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), dir_)) << status;
  // The sync thread comes after it, and must get the same answer, not end the process.
  EXPECT_EQ(store->Sync(), status);
  EXPECT_EQ(store->PutFile("sha256", "content"), status);
}

}  // namespace
}  // namespace bue::hub
