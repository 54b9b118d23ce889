#include "cli/item_history.h"

#include <gtest/gtest.h>

namespace bue::cli {
namespace {

using Record = v1::HistoryRecord;

struct Times {
  double queued = 0;
  double started = 0;
  double ended = 0;
};

Record Task(uint64_t index, const std::string& step, uint32_t node, const Times& times,
            Record::End item_end = Record::GOES_ON) {
  Record record;
  record.set_instance(1);
  record.set_index(index);
  record.set_task_end(Record::SUCCEEDED);
  record.set_item_end(item_end);
  record.set_step(step);
  record.set_node(node);
  record.set_attempts(1);
  record.set_queued_unix_s(times.queued);
  record.set_started_unix_s(times.started);
  record.set_ended_unix_s(times.ended);
  return record;
}

TEST(ItemHistoryTest, AnItemLastsFromItsFirstStepQueuedToItsEnd) {
  ItemHistory history;
  history.Add(Task(4, "a", 1, {10, 11, 12}));
  history.Add(Task(4, "b", 2, {12, 12.5, 14}, Record::SUCCEEDED));
  const Json times = TimesOfItem(history.Find(1, 4));
  EXPECT_EQ(times["total_duration"], 4.0);
  EXPECT_EQ(times["started"], "1970-01-01T00:00:11.000Z");
  EXPECT_EQ(times["completed"], "1970-01-01T00:00:14.000Z");
  EXPECT_EQ(times["steps"].size(), 2u);
  EXPECT_EQ(times["steps"]["b"]["queued"], "1970-01-01T00:00:12.000Z");
  EXPECT_TRUE(times["id"].is_null());
}

TEST(ItemHistoryTest, WhatIsNotKnownIsNull) {
  const Json unknown = TimesOfItem(nullptr);
  EXPECT_TRUE(unknown["total_duration"].is_null());
  EXPECT_EQ(unknown["steps"], Json::object());
  ItemHistory history;
  history.Add(Task(4, "a", 1, {0, 0, 12}));
  const Json times = TimesOfItem(history.Find(1, 4));
  EXPECT_TRUE(times["total_duration"].is_null());
  EXPECT_TRUE(times["started"].is_null());
  EXPECT_TRUE(times["completed"].is_null());  // The item goes on.
  EXPECT_TRUE(times["steps"]["a"]["queued"].is_null());
  EXPECT_EQ(times["steps"]["a"]["completed"], "1970-01-01T00:00:12.000Z");
}

TEST(ItemHistoryTest, ATaskThatRanAgainCountsOnce) {
  ItemHistory history;
  history.Add(Task(4, "a", 1, {10, 11, 12}, Record::FAILED));
  history.Add(Task(4, "a", 1, {20, 21, 22}));
  EXPECT_TRUE(TimesOfItem(history.Find(1, 4))["completed"].is_null());
  history.Add(Task(4, "a", 1, {30, 31, 32}, Record::SUCCEEDED));
  const Json times = TimesOfItem(history.Find(1, 4));
  EXPECT_EQ(times["started"], "1970-01-01T00:00:31.000Z");
  EXPECT_EQ(times["steps"]["a"]["attempts"], 1);
}

TEST(ItemHistoryTest, AStepThatOccursTwiceGoesFromItsFirstToItsLast) {
  ItemHistory history;
  history.Add(Task(4, "a", 1, {10, 11, 12}));
  history.Add(Task(4, "a", 2, {12, 13, 15}, Record::SUCCEEDED));
  const Json step = TimesOfItem(history.Find(1, 4))["steps"]["a"];
  EXPECT_EQ(step["queued"], "1970-01-01T00:00:10.000Z");
  EXPECT_EQ(step["completed"], "1970-01-01T00:00:15.000Z");
  EXPECT_EQ(step["attempts"], 2);
}

TEST(ItemHistoryTest, ItHoldsSoManyTasksAndNoMore) {
  ItemHistory history(/*tasks_max=*/2);
  history.Add(Task(1, "a", 1, {1, 1, 1}));
  history.Add(Task(2, "a", 1, {1, 1, 1}));
  EXPECT_FALSE(history.is_full());
  history.Add(Task(3, "a", 1, {1, 1, 1}));
  EXPECT_TRUE(history.is_full());
  EXPECT_EQ(history.Find(1, 3), nullptr);
  history.Forget(1, 1);
  history.Add(Task(4, "a", 1, {1, 1, 1}));
  EXPECT_NE(history.Find(1, 4), nullptr);
}

}  // namespace
}  // namespace bue::cli
