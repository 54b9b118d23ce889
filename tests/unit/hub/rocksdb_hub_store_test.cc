#include "hub/storage/rocksdb_hub_store.h"

#include <gtest/gtest.h>
#include <rocksdb/perf_context.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "bue/v1/program.pb.h"
#include "common/program/program_codec.h"
#include "common/sha256.h"

namespace bue::hub {
namespace {

namespace fs = std::filesystem;

class RocksdbHubStoreTest : public testing::Test {
 protected:
  RocksdbHubStoreTest() {
    std::string name = testing::TempDir() + "bue-hub-store-XXXXXX";
    root_ = mkdtemp(name.data());
    dir_ = root_ + "/hub";
  }
  ~RocksdbHubStoreTest() override {
    store_.reset();
    fs::remove_all(root_);
  }

  void Open(const HubStoreOptions& options = {}) {
    store_.reset();
    absl::StatusOr<std::unique_ptr<RocksdbHubStore>> store = RocksdbHubStore::Open(dir_, options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    absl::StatusOr<HubSnapshot> snapshot = store_->Load();
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    snapshot_ = *std::move(snapshot);
    turn_ = store_->first_turn();
  }

  void Commit(const TurnRecord& record) {
    const absl::Status status = store_->Commit(turn_++, record);
    ASSERT_TRUE(status.ok()) << status;
  }

  absl::Status OpenError() { return RocksdbHubStore::Open(dir_, {}).status(); }

  static std::string ProgramBytes(const std::string& sha256 = "", const std::string& code = "") {
    Program program{.script = "s.bue", .steps = {{.name = "a", .code = code}}, .regions = {{}}};
    program.nodes = {{.step = 0, .region = 0}};
    if (!sha256.empty()) program.files = {{.path = "a.py", .sha256 = sha256, .bytes = 1}};
    v1::Program proto;
    ToProto(program, &proto);
    return proto.SerializeAsString();
  }
  static RunAdded Run(uint64_t run) {
    return {.run = run, .key = "k", .name = "s.bue", .program = ProgramBytes()};
  }
  static Change Succeeded(uint64_t run, uint64_t item) {
    return {.kind = Change::Kind::kSucceeded, .run = run, .item = item, .a = item};
  }
  static std::vector<uint64_t> Items(const std::vector<Change>& changes) {
    std::vector<uint64_t> items;
    for (const Change& change : changes) items.push_back(change.item);
    return items;
  }

  std::vector<std::string> Errors(uint64_t run, std::string* cursor, size_t count = 100) {
    std::vector<std::string> messages;
    const absl::Status status = store_->ReadErrors(run, cursor, [&](const ErrorRecord& error) {
      messages.push_back(error.message);
      return messages.size() < count;
    });
    EXPECT_TRUE(status.ok()) << status;
    return messages;
  }
  std::vector<std::string> Errors(uint64_t run) {
    std::string cursor;
    return Errors(run, &cursor);
  }

  std::string root_;
  std::string dir_;
  std::unique_ptr<RocksdbHubStore> store_;
  HubSnapshot snapshot_;
  uint64_t turn_ = 0;
};

using Items = std::vector<uint64_t>;
using Texts = std::vector<std::string>;

TEST_F(RocksdbHubStoreTest, NewDirectoryIsEmpty) {
  Open();
  EXPECT_TRUE(snapshot_.runs.empty());
  EXPECT_TRUE(snapshot_.changes.empty());
  EXPECT_TRUE(snapshot_.workers.empty());
  EXPECT_EQ(snapshot_.next_run, 1u);
  EXPECT_EQ(store_->epoch(), 1u);
}

TEST_F(RocksdbHubStoreTest, EveryOpeningIsAnEpochOfItsOwn) {
  Open();
  const uint64_t turn = store_->first_turn();
  Open();
  EXPECT_EQ(store_->epoch(), 2u);
  EXPECT_GT(store_->first_turn(), turn + 1'000'000);
}

TEST_F(RocksdbHubStoreTest, WhatWasCommittedIsLoaded) {
  Open();
  Commit({.runs = {Run(1)}, .changes = {Succeeded(1, 10), Succeeded(1, 11)}});
  Commit({.changes = {Succeeded(1, 12)}, .workers_changed = true, .workers = {"w1", "w2"}});
  Open();
  ASSERT_EQ(snapshot_.runs.size(), 1u);
  EXPECT_EQ(snapshot_.runs[0].added.run, 1u);
  EXPECT_EQ(snapshot_.runs[0].added.key, "k");
  ASSERT_NE(snapshot_.runs[0].program, nullptr);
  EXPECT_EQ(snapshot_.runs[0].program->steps[0].name, "a");
  EXPECT_EQ(Items(snapshot_.changes), (std::vector<uint64_t>{10, 11, 12}));
  EXPECT_EQ(snapshot_.workers, (Texts{"w1", "w2"}));
  EXPECT_EQ(snapshot_.next_run, 2u);
}

TEST_F(RocksdbHubStoreTest, RunsOfOneProgramShareIt) {
  Open();
  Commit({.runs = {Run(1), Run(2)}});
  Open();
  ASSERT_EQ(snapshot_.runs.size(), 2u);
  EXPECT_EQ(snapshot_.runs[0].program, snapshot_.runs[1].program);
}

TEST_F(RocksdbHubStoreTest, CheckpointReplacesTheJournalBeforeIt) {
  Open();
  Commit({.runs = {Run(1)}, .changes = {Succeeded(1, 10)}});
  ASSERT_TRUE(
      store_->Checkpoint(turn_ - 1, {{.run = 1, .state = "s", .blocks = {{"b", "B"}}}}, turn_ - 1)
          .ok());
  EXPECT_EQ(store_->JournalBytes(), 0u);
  Commit({.changes = {Succeeded(1, 11)}});
  ASSERT_TRUE(
      store_->Checkpoint(turn_ - 1, {{.run = 1, .state = "t", .blocks = {{"a", "A"}}}}, 0).ok());
  EXPECT_GT(store_->JournalBytes(), 0u);
  Open();
  EXPECT_EQ(snapshot_.runs[0].state, "t");
  EXPECT_EQ(snapshot_.runs[0].blocks, (Texts{"A", "B"}));
  EXPECT_TRUE(snapshot_.changes.empty());
}

TEST_F(RocksdbHubStoreTest, CheckpointInPartsLosesAndRepeatsNothing) {
  Open();
  Commit({.runs = {Run(1), Run(2)}, .changes = {Succeeded(1, 10), Succeeded(2, 20)}});
  const uint64_t begin = turn_ - 1;
  ASSERT_TRUE(store_->Checkpoint(begin, {{.run = 1, .state = "one"}}, 0).ok());
  Commit({.changes = {Succeeded(1, 11), Succeeded(2, 21)}});
  ASSERT_TRUE(store_->Checkpoint(turn_ - 1, {{.run = 2, .state = "two"}}, begin).ok());
  Commit({.changes = {Succeeded(1, 12), Succeeded(2, 22)}});
  Open();
  EXPECT_EQ(Items(snapshot_.changes), (std::vector<uint64_t>{11, 12, 22}));
}

TEST_F(RocksdbHubStoreTest, DeletedRunLeavesNothing) {
  Open();
  Commit({.runs = {Run(1), Run(2)},
          .changes = {Succeeded(1, 10), Succeeded(2, 20)},
          .errors = {{.run = 1, .step = "a", .message = "m"}}});
  ASSERT_TRUE(
      store_->Checkpoint(turn_ - 1, {{.run = 1, .state = "s", .blocks = {{"b", "B"}}}}, 0).ok());
  Commit({.changes = {{.kind = Change::Kind::kDeleted, .run = 1}}});
  Open();
  ASSERT_EQ(snapshot_.runs.size(), 1u);
  EXPECT_EQ(snapshot_.runs[0].added.run, 2u);
  EXPECT_EQ(Items(snapshot_.changes), (std::vector<uint64_t>{20}));
  EXPECT_EQ(snapshot_.next_run, 3u);
  EXPECT_EQ(Errors(0), Texts());
}

TEST_F(RocksdbHubStoreTest, ErrorsAreReadInPages) {
  Open();
  const auto error = [](uint64_t run, std::string message) {
    return ErrorRecord{.run = run, .step = "a", .message = std::move(message)};
  };
  Commit({.errors = {error(1, "a"), error(2, "x"), error(1, "b")}});
  Commit({.errors = {error(1, "c")}});
  EXPECT_EQ(Errors(1), (Texts{"a", "b", "c"}));
  EXPECT_EQ(Errors(0), (Texts{"a", "b", "c", "x"}));
  EXPECT_EQ(Errors(3), Texts());
  std::string cursor;
  EXPECT_EQ(Errors(0, &cursor, 1), (Texts{"a"}));
  EXPECT_EQ(Errors(0, &cursor, 2), (Texts{"b", "c"}));
  EXPECT_EQ(Errors(0, &cursor), (Texts{"x"}));
  EXPECT_EQ(Errors(0, &cursor), Texts());
}

TEST_F(RocksdbHubStoreTest, BeyondTheLimitOnlyFinalErrorsAreKept) {
  Open({.error_bytes_per_run_max = 100});
  const std::string text(200, 'x');
  Commit({.errors = {{.run = 1, .step = "a", .message = "first", .traceback = text}}});
  Commit({.errors = {{.run = 1, .step = "a", .message = "retried"},
                     {.run = 1, .step = "a", .message = "final", .traceback = text, .final = true},
                     {.run = 2, .step = "a", .message = "other"}}});
  EXPECT_EQ(Errors(0), (Texts{"first", "final", "other"}));
}

TEST_F(RocksdbHubStoreTest, LogsAreReadBack) {
  Open();
  Commit({.logs = {{.run = 1, .address = 5, .step = "a", .item = "3"}}});
  std::string cursor;
  std::vector<uint64_t> addresses;
  ASSERT_TRUE(store_
                  ->ReadLogs(1, &cursor,
                             [&](const LogAdded& log) {
                               addresses.push_back(log.address);
                               return true;
                             })
                  .ok());
  EXPECT_EQ(addresses, (std::vector<uint64_t>{5}));
}

TEST_F(RocksdbHubStoreTest, FilesStayAsLongAsARunNamesThem) {
  Open();
  const std::string used = Sha256("used");
  const std::string unused = Sha256("unused");
  ASSERT_TRUE(store_->PutFile(used, "used").ok());
  ASSERT_TRUE(store_->PutFile(unused, "unused").ok());
  EXPECT_TRUE(*store_->HasFile(unused));
  EXPECT_EQ(*store_->GetFile(used), "used");
  Commit({.runs = {{.run = 1, .program = ProgramBytes(used)}}});
  Open();
  EXPECT_EQ(*store_->GetFile(used), "used");
  EXPECT_FALSE(*store_->HasFile(unused));
  EXPECT_EQ(store_->GetFile(unused).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RocksdbHubStoreTest, ASmallRowIsReadWithoutTheLargeOneBesideIt) {
  std::string code(8 << 20, ' ');
  std::minstd_rand random;
  for (char& letter : code) letter = static_cast<char>('0' + random() % 64);  // Not to be packed.
  Open();
  const std::string file = Sha256("file");
  ASSERT_TRUE(store_->PutFile(file, "file").ok());
  Commit({.runs = {{.run = 1, .program = ProgramBytes(file, code)}}});
  Open();  // Its rows are in tables now.
  rocksdb::get_perf_context()->Reset();
  EXPECT_TRUE(*store_->HasFile(file));
  EXPECT_LT(rocksdb::get_perf_context()->block_read_byte, 64 << 10);
}

TEST_F(RocksdbHubStoreTest, SecondOpenerIsToldWhoHasIt) {
  Open();
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.ToString().find("process "), std::string::npos) << status;
}

TEST_F(RocksdbHubStoreTest, AnotherFormatIsRefused) {
  Open();
  store_.reset();
  std::ofstream(dir_ + "/bue-hub") << "bue hub data, format 7\n";
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.ToString().find("format 7"), std::string::npos) << status;
}

TEST_F(RocksdbHubStoreTest, SomebodyElsesDirectoryIsRefused) {
  fs::create_directories(dir_);
  std::ofstream(dir_ + "/thesis.tex") << "x";
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.ToString().find("thesis.tex"), std::string::npos) << status;
}

TEST_F(RocksdbHubStoreTest, AFileInThePlaceOfTheDirectoryIsRefused) {
  std::ofstream(dir_.c_str()) << "x";
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RocksdbHubStoreTest, UnwritableDirectoryIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  fs::create_directories(dir_);
  chmod(dir_.c_str(), 0500);
  EXPECT_EQ(OpenError().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(RocksdbHubStoreTest, FullDiskIsRefused) {
  const absl::Status status =
      RocksdbHubStore::Open(dir_, {.free_bytes_min = uint64_t{1} << 60}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

// A crash: a copy of the directory as it is while the hub runs, without the flush of a clean end.
class CrashedHubStoreTest : public RocksdbHubStoreTest {
 protected:
  // Returns the youngest write-ahead log of the copy, which becomes the directory to open.
  std::string Crash() {
    const std::string copy = root_ + "/copy";
    fs::copy(dir_, copy, fs::copy_options::recursive);
    store_.reset();
    dir_ = copy;
    std::string log;
    for (const fs::directory_entry& entry : fs::directory_iterator(dir_ + "/db")) {
      const std::string path = entry.path().string();
      if (entry.path().extension() == ".log") log = std::max(log, path);
    }
    return log;
  }
  void CommitTen() {
    Commit({.runs = {Run(1)}});
    for (uint64_t item = 1; item <= 10; ++item) Commit({.changes = {Succeeded(1, item)}});
  }
};

TEST_F(CrashedHubStoreTest, EverythingCommittedSurvivesTheProcess) {
  Open();
  CommitTen();
  Crash();
  Open();
  EXPECT_EQ(snapshot_.changes.size(), 10u);
  EXPECT_EQ(store_->epoch(), 2u);
}

TEST_F(CrashedHubStoreTest, TornTailIsDropped) {
  Open();
  CommitTen();
  const std::string log = Crash();
  fs::resize_file(log, fs::file_size(log) - 5);
  Open();
  EXPECT_EQ(snapshot_.changes.size(), 9u);
}

TEST_F(CrashedHubStoreTest, DamageInTheMiddleIsDataLoss) {
  Open();
  CommitTen();
  const std::string log = Crash();
  std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(fs::file_size(log) / 2);
  file.write("garbage!", 8);
  file.close();
  const absl::Status status = OpenError();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

}  // namespace
}  // namespace bue::hub
