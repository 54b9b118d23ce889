// What the store keeps of history, and for how long.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bue/v1/program.pb.h"
#include "common/program/program_codec.h"
#include "hub/storage/database.h"
#include "hub/storage/rocksdb_hub_store.h"
#include "hub/verify.h"
#include "tests/support/patience.h"

namespace bue::hub {
namespace {

namespace fs = std::filesystem;
using End = HistoryEvent::End;
using Texts = std::vector<std::string>;

class HistoryRowsTest : public testing::Test {
 protected:
  HistoryRowsTest() {
    std::string name = testing::TempDir() + "bue-history-XXXXXX";
    root_ = mkdtemp(name.data());
    dir_ = root_ + "/hub";
  }
  ~HistoryRowsTest() override {
    store_.reset();
    fs::remove_all(root_);
  }

  void Open(const HubStoreOptions& options = {}) {
    store_.reset();
    absl::StatusOr<std::unique_ptr<RocksdbHubStore>> store = RocksdbHubStore::Open(dir_, options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    ASSERT_TRUE(store_->Load().ok());
    turn_ = store_->first_turn();
  }

  void Commit(const TurnRecord& record) {
    const absl::Status status = store_->Commit(turn_++, record);
    ASSERT_TRUE(status.ok()) << status;
  }
  void Add(uint64_t run) {
    Program program{.script = "s.bue", .steps = {{.name = "a"}}, .regions = {{}}};
    program.nodes = {{.step = 0, .region = 0}};
    v1::Program proto;
    ToProto(program, &proto);
    Commit({.runs = {{.run = run,
                      .key = absl::StrCat(run),
                      .epoch = store_->epoch(),
                      .program = proto.SerializeAsString()}}});
  }

  static HistoryEvent Event(uint64_t run, uint64_t item, End end = End::kSucceeded) {
    return {.run = run, .instance = 1, .item = item, .attempts = 1, .task = end, .ended_us = 5};
  }
  static TurnRecord Turn(std::vector<HistoryEvent> events) {
    TurnRecord record;
    record.history.events = std::move(events);
    return record;
  }

  // Names of items, and errors of those that failed, from the cursor on.
  Texts Read(uint64_t run, std::string* cursor, size_t count = 1'000'000) {
    Texts texts;
    const absl::Status status = store_->ReadHistory(run, cursor, [&](const PastEvent& past) {
      texts.push_back(past.error == nullptr ? past.item
                                            : absl::StrCat(past.item, " ", past.error->message));
      return texts.size() < count;
    });
    EXPECT_TRUE(status.ok()) << status;
    return texts;
  }
  Texts Read(uint64_t run) {
    std::string cursor;
    return Read(run, &cursor);
  }

  std::map<std::string, uint64_t> Verified() {
    const absl::StatusOr<VerifyReport> report = VerifyHub(dir_);
    EXPECT_TRUE(report.ok() && report->ok());
    std::map<std::string, uint64_t> counts;
    for (const auto& count : report->looked_at) counts[count.what] = count.count;
    return counts;
  }

  std::string root_;
  std::string dir_;
  std::unique_ptr<RocksdbHubStore> store_;
  uint64_t turn_ = 0;
};

TEST_F(HistoryRowsTest, ARunsHistoryIsReadBackAlsoAfterARestart) {
  Open();
  Add(1);
  Add(2);
  Commit(Turn({Event(1, 0), Event(2, 7), Event(1, 1)}));
  Open();
  Commit(Turn({Event(1, 2)}));
  EXPECT_EQ(Read(1), (Texts{"0", "1", "2"}));
  EXPECT_EQ(Read(2), (Texts{"7"}));
  EXPECT_EQ(Read(3), Texts());
}

TEST_F(HistoryRowsTest, ReadingGoesOnWhereItWas) {
  Open();
  Add(1);
  Commit(Turn({Event(1, 0), Event(1, 1), Event(1, 2)}));
  std::string cursor;
  EXPECT_EQ(Read(1, &cursor, 2), (Texts{"0", "1"}));
  EXPECT_EQ(Read(1, &cursor, 2), (Texts{"2"}));
  EXPECT_EQ(Read(1, &cursor), Texts());
  Commit(Turn({Event(1, 3)}));
  EXPECT_EQ(Read(1, &cursor), (Texts{"3"}));
  Open();
  Commit(Turn({Event(1, 4)}));
  EXPECT_EQ(Read(1, &cursor), (Texts{"4"}));
}

TEST_F(HistoryRowsTest, CursorsThatMakeNoSenseBeginAtTheBeginning) {
  Open();
  Add(1);
  Commit(Turn({Event(1, 0)}));
  std::string cursor = "\xff\xff nonsense";
  EXPECT_EQ(Read(1, &cursor), (Texts{"0"}));
}

TEST_F(HistoryRowsTest, WhatFailedComesWithItsError) {
  Open();
  Add(1);
  TurnRecord record = Turn({Event(1, 0, End::kFailed), Event(1, 1), Event(1, 2, End::kFailed)});
  record.errors = {{.run = 1, .item = "0", .attempt = 1, .message = "zero", .final = true},
                   {.run = 1, .item = "2", .attempt = 1, .message = "retried"},
                   {.run = 1, .item = "2", .attempt = 1, .message = "two", .final = true}};
  Commit(record);
  EXPECT_EQ(Read(1), (Texts{"0 zero", "1", "2 two"}));
}

TEST_F(HistoryRowsTest, NothingIsToldOfARunThatWasDeleted) {
  Open();
  Add(1);
  Commit(Turn({Event(1, 0)}));
  Commit({.changes = {{.kind = Change::Kind::kDeleted, .run = 1}}});
  EXPECT_EQ(Read(1), Texts());
  Open();
  EXPECT_EQ(Read(1), Texts());
}

TEST_F(HistoryRowsTest, WithoutRoomNothingIsKept) {
  Open({.history_bytes = 0});
  Add(1);
  Commit(Turn({Event(1, 0)}));
  EXPECT_EQ(Read(1), Texts());
}

TEST_F(HistoryRowsTest, TheOldestGoesWhenThereIsTooMuch) {
  constexpr uint64_t kBytes = 1 << 20;
  Open({.history_bytes = kBytes});
  Add(1);
  std::mt19937_64 random(1);
  uint64_t item = 0;
  const auto commit_some = [&] {
    for (int turn = 0; turn < 50; ++turn) {
      std::vector<HistoryEvent> events;
      for (int i = 0; i < 1000; ++i) {
        events.push_back(Event(1, item++));
        events.back().ended_us = static_cast<int64_t>(random() >> 1);  // Does not pack.
      }
      Commit(Turn(std::move(events)));
    }
  };
  // RocksDB drops files when it has the time.
  const absl::Time deadline = absl::Now() + Patience(absl::Seconds(60));
  Texts kept;
  do {
    commit_some();
    kept = Read(1);
  } while (kept.front() == "0" && absl::Now() < deadline);
  ASSERT_NE(kept.front(), "0");
  EXPECT_EQ(kept.back(), absl::StrCat(item - 1));
  for (size_t i = 1; i < kept.size(); ++i) {
    ASSERT_EQ(kept[i], absl::StrCat(std::stoull(kept[i - 1]) + 1));
  }
}

TEST_F(HistoryRowsTest, VerifyCountsIt) {
  Open();
  Commit(Turn({Event(1, 0), Event(1, 1)}));
  store_.reset();
  std::map<std::string, uint64_t> counts = Verified();
  EXPECT_EQ(counts["history records"], 1u);
  EXPECT_EQ(counts["ends in them"], 2u);
}

// As an earlier version made it.
TEST_F(HistoryRowsTest, ADirectoryWithoutHistoryIsLookedAtAndOpened) {
  Open();
  store_.reset();
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(
      rocksdb::DB::Open(DatabaseOptions(), DatabasePath(dir_), Families(1 << 20), &families, &db)
          .ok());
  ASSERT_TRUE(db->DropColumnFamily(families[2]).ok());
  for (rocksdb::ColumnFamilyHandle* family : families) {
    ASSERT_TRUE(db->DestroyColumnFamilyHandle(family).ok());
  }
  delete db;
  EXPECT_EQ(Verified()["history records"], 0u);
  Open();
  Add(1);
  Commit(Turn({Event(1, 0)}));
  EXPECT_EQ(Read(1), (Texts{"0"}));
}

}  // namespace
}  // namespace bue::hub
