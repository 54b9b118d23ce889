#include "hub/storage/history_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"

namespace bue::hub {
namespace {

using End = HistoryEvent::End;

constexpr int64_t kNow_us = 1'770'000'000'000'000;

TurnHistory Alike(size_t count) {
  TurnHistory history;
  for (size_t i = 0; i < count; ++i) {
    history.events.push_back({.run = 7,
                              .instance = 3,
                              .item = 1000 + i,
                              .node = 2,
                              .attempts = 1,
                              .task = End::kSucceeded,
                              .item_end = End::kSucceeded,
                              .is_result = true,
                              .address = (uint64_t{5} << 48) + 90000 + i,
                              .queued_us = kNow_us - 5000,
                              .started_us = kNow_us - 12,
                              .ended_us = kNow_us});
  }
  return history;
}

TurnHistory Random(size_t count, std::mt19937_64& random) {
  TurnHistory history;
  const auto any = [&] { return random() >> (random() % 64); };
  for (size_t i = 0; i < count; ++i) {
    HistoryEvent event{.run = any(),
                       .instance = any(),
                       .item = any(),
                       .node = static_cast<uint32_t>(any()),
                       .attempts = static_cast<uint32_t>(any()),
                       .task = static_cast<End>(random() % 4),
                       .item_end = static_cast<End>(random() % 4),
                       .is_result = random() % 2 == 0,
                       .ended_us = static_cast<int64_t>(any() >> 1)};
    const auto before = [&] {
      return std::max<int64_t>(0, event.ended_us - static_cast<int64_t>(any() >> 1));
    };
    event.queued_us = before();
    event.started_us = before();
    if (event.is_result) event.address = any();
    const std::string prefix = random() % 2 == 0 ? "" : absl::StrCat(random() % 100, ".");
    event.prefix = history.PrefixFor(event.run, event.instance, prefix);
    history.events.push_back(event);
    if (random() % 3 == 0) history.GiveId(absl::StrCat("id", random() % 1000));
  }
  return history;
}

// All rows of it, one behind the other; names instead of numbers of prefixes.
std::vector<HistoryRow> RoundTrip(const TurnHistory& history) {
  std::vector<HistoryRow> rows;
  for (size_t begin = 0; begin < history.events.size();) {
    std::string bytes;
    begin += EncodeHistory(history, begin, &bytes);
    absl::StatusOr<HistoryRow> row = DecodeHistory(bytes);
    EXPECT_TRUE(row.ok()) << row.status();
    if (!row.ok()) break;
    rows.push_back(*std::move(row));
  }
  return rows;
}

void ExpectSame(const TurnHistory& history, const std::vector<HistoryRow>& rows) {
  size_t next = 0;
  for (const HistoryRow& row : rows) {
    for (HistoryEvent event : row.events) {
      ASSERT_LT(next, history.events.size());
      HistoryEvent expected = history.events[next++];
      EXPECT_EQ(event.prefix == 0 ? "" : row.prefixes[event.prefix - 1],
                expected.prefix == 0 ? "" : history.prefixes[expected.prefix - 1].text);
      EXPECT_EQ(row.IdOf(event), expected.id == 0 ? "" : history.ids[expected.id - 1]);
      event.prefix = expected.prefix = event.id = expected.id = 0;
      EXPECT_EQ(event, expected);
    }
  }
  EXPECT_EQ(next, history.events.size());
}

TEST(HistoryCodecTest, EventsComeBackAsTheyWere) {
  std::mt19937_64 random(1);
  for (size_t count = 1; count < 100; ++count) {
    const TurnHistory history = Random(count, random);
    ExpectSame(history, RoundTrip(history));
  }
}

TEST(HistoryCodecTest, AHugeTurnBecomesSeveralRows) {
  std::mt19937_64 random(2);
  const TurnHistory history = Random(3 * kHistoryRowEvents + 5, random);
  const std::vector<HistoryRow> rows = RoundTrip(history);
  EXPECT_EQ(rows.size(), 4u);
  ExpectSame(history, rows);
}

TEST(HistoryCodecTest, ItemsThatTookAlikeAreAFewBytesInAll) {
  std::string bytes;
  EncodeHistory(Alike(1000), 0, &bytes);
  EXPECT_LT(bytes.size(), 80u);
}

TEST(HistoryCodecTest, TimesThatAreNotKnownStayUnknown) {
  TurnHistory history = Alike(1);
  history.events[0].queued_us = history.events[0].started_us = 0;
  ExpectSame(history, RoundTrip(history));
}

TEST(HistoryCodecTest, NothingComesAfterTheEnd) {
  TurnHistory history = Alike(1);
  history.events[0].started_us = kNow_us + 1;
  const std::vector<HistoryRow> rows = RoundTrip(history);
  EXPECT_EQ(rows[0].events[0].started_us, kNow_us);
}

TEST(HistoryCodecTest, ItemsAreNamedByTheirPlace) {
  HistoryRow row{.prefixes = {"4."}};
  EXPECT_EQ(row.NameOf({.instance = 0, .item = 3}), "");
  EXPECT_EQ(row.NameOf({.instance = 2, .item = 3}), "3");
  EXPECT_EQ(row.NameOf({.instance = 2, .item = 3, .prefix = 1}), "4.3");
}

TEST(HistoryCodecTest, ARowSaysWhoseItMayBe) {
  TurnHistory history = Alike(2);
  history.events[1].run = 9;
  std::string bytes;
  EncodeHistory(history, 0, &bytes);
  EXPECT_FALSE(MayTellOf(6, bytes));
  EXPECT_TRUE(MayTellOf(7, bytes));
  EXPECT_TRUE(MayTellOf(9, bytes));
  EXPECT_FALSE(MayTellOf(10, bytes));
}

TEST(HistoryCodecTest, AnotherVersionIsNamed) {
  std::string bytes;
  EncodeHistory(Alike(3), 0, &bytes);
  bytes[0] = 9;
  EXPECT_EQ(DecodeHistory(bytes).status().message(),
            "a stored piece of history has format 9; this hub reads 1");
}

TEST(HistoryCodecTest, MutatedRowsNeverCrash) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    EncodeHistory(random() % 2 == 0 ? Alike(1 + random() % 20) : Random(1 + random() % 20, random),
                  0, &bytes);
    for (uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const absl::StatusOr<HistoryRow> row = DecodeHistory(bytes);
    if (!row.ok()) {
      EXPECT_EQ(row.status().code(), absl::StatusCode::kDataLoss);
      continue;
    }
    for (const HistoryEvent& event : row->events) {
      row->NameOf(event);
      row->IdOf(event);
    }
  }
}

TEST(HistoryCodecTest, RowsThatAreCutOffOrTooLongAreRefused) {
  std::mt19937_64 random(4);
  std::string bytes;
  EncodeHistory(Random(50, random), 0, &bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeHistory(bytes.substr(0, size)).ok());
  }
  EXPECT_FALSE(DecodeHistory(bytes + '\0').ok());
}

}  // namespace
}  // namespace bue::hub
