#include "cli/item_history.h"

#include <algorithm>
#include <cmath>

namespace bue::cli {
namespace {

using Record = v1::HistoryRecord;

// Of two times the one that comes first; 0 is none.
double Earlier(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// A step that occurs more than once in an item: from its first to its last.
Json StepsJson(const std::vector<const ItemHistory::Task*>& tasks) {
  std::vector<ItemHistory::Task> steps;
  absl::flat_hash_map<std::string, size_t> index;
  for (const ItemHistory::Task* task : tasks) {
    const auto [known, is_new] = index.emplace(task->step, steps.size());
    if (is_new) {
      steps.push_back(*task);
      continue;
    }
    ItemHistory::Task& step = steps[known->second];
    step.queued_unix_s = Earlier(step.queued_unix_s, task->queued_unix_s);
    step.started_unix_s = Earlier(step.started_unix_s, task->started_unix_s);
    step.ended_unix_s = std::max(step.ended_unix_s, task->ended_unix_s);
    step.attempts += task->attempts;
  }
  Json json = Json::object();
  for (const ItemHistory::Task& step : steps) {
    json[step.step] = Json{{"queued", TimeJson(step.queued_unix_s)},
                           {"started", TimeJson(step.started_unix_s)},
                           {"completed", TimeJson(step.ended_unix_s)},
                           {"attempts", step.attempts}};
  }
  return json;
}

}  // namespace

void ItemHistory::Add(const Record& record) {
  const Key key(record.instance(), record.index());
  const auto found = items_.find(key);
  if (found == items_.end() && tasks_ >= tasks_max_) {
    full_ = true;
    return;
  }
  Item& item = found == items_.end() ? items_[key] : found->second;
  if (record.task_end() != Record::GOES_ON) {
    ++tasks_;
    item.tasks.push_back(
        Task{.step = record.step(),
             .node = record.node(),
             .attempts = record.attempts(),
             .queued_unix_s = record.queued_unix_s(),
             .started_unix_s = record.started_unix_s(),
             .ended_unix_s = record.ended_unix_s(),
             .failed = record.task_end() == Record::FAILED,
             .is_result = record.is_result(),
             .address = record.address(),
             .error = record.error().empty() ? record.error_type() : record.error()});
  }
  if (!record.id().empty()) item.id = record.id();
  // An item that had ended goes on when it is tried again.
  item.end = record.item_end();
  item.ended_unix_s = item.end == Record::GOES_ON ? 0 : record.ended_unix_s();
}

const ItemHistory::Item* ItemHistory::Find(uint64_t instance, uint64_t index) const {
  const auto found = items_.find(Key(instance, index));
  return found == items_.end() ? nullptr : &found->second;
}

void ItemHistory::Forget(uint64_t instance, uint64_t index) {
  const auto found = items_.find(Key(instance, index));
  if (found == items_.end()) return;
  tasks_ -= found->second.tasks.size();
  items_.erase(found);
}

std::vector<const ItemHistory::Task*> ItemHistory::Item::LastTasks() const {
  absl::flat_hash_map<uint32_t, size_t> last;  // By node.
  for (size_t i = 0; i < tasks.size(); ++i) last[tasks[i].node] = i;
  std::vector<const Task*> found;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (last[tasks[i].node] == i) found.push_back(&tasks[i]);
  }
  return found;
}

Json TimesOfItem(const ItemHistory::Item* item) {
  Json times{{"id", nullptr},
             {"total_duration", nullptr},
             {"started", nullptr},
             {"completed", nullptr},
             {"steps", Json::object()}};
  if (item == nullptr) return times;
  double begun = 0;
  double started = 0;
  const std::vector<const ItemHistory::Task*> tasks = item->LastTasks();
  for (const ItemHistory::Task* task : tasks) {
    begun = Earlier(begun, Earlier(task->queued_unix_s, task->started_unix_s));
    started = Earlier(started, task->started_unix_s);
  }
  if (begun != 0 && item->ended_unix_s != 0) {
    times["total_duration"] = std::round((item->ended_unix_s - begun) * 1e6) / 1e6;
  }
  if (!item->id.empty()) times["id"] = item->id;
  times["started"] = TimeJson(started);
  times["completed"] = TimeJson(item->ended_unix_s);
  times["steps"] = StepsJson(tasks);
  return times;
}

}  // namespace bue::cli
