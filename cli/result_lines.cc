#include "cli/result_lines.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "cli/connection.h"
#include "cli/item_history.h"
#include "cli/result_printer.h"
#include "cli/text.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

using Record = v1::HistoryRecord;

// Errors of so many bytes are held in memory; the rest is left out.
constexpr size_t kErrorBytesMax = 64 << 20;

// The last error of each step and item that failed for good.
class FinalErrors {
 public:
  absl::Status Load(HubClient* hub, uint64_t run) {
    return hub->ListErrors(run, [this](const v1::ErrorRecord& error) {
      if (!error.final()) return true;
      bytes_ += error.error().size() + error.item().size() + error.step().size();
      if (bytes_ > kErrorBytesMax) return true;
      errors_[{error.step(), error.item()}] = error.error().empty() ? error.type() : error.error();
      return true;
    });
  }

  std::string Find(const std::string& step, const std::string& item) const {
    const auto found = errors_.find({step, item});
    return found == errors_.end() ? "" : found->second;
  }

 private:
  size_t bytes_ = 0;
  absl::flat_hash_map<std::pair<std::string, std::string>, std::string> errors_;
};

// All that can be told of a run now.
class Snapshot {
 public:
  Snapshot(HubClient* hub, BucketClient* bucket, const ResultsWanted& wanted)
      : hub_(hub), wanted_(wanted), printer_(bucket, wanted.json) {}

  absl::StatusOr<std::string> Print() {
    if (wanted_.json) {
      RETURN_IF_ERROR(
          hub_->ListHistory(wanted_.run, /*follow=*/false, [this](const v1::HistoryPage& page) {
            for (const Record& record : page.records()) history_.Add(record);
            return true;
          }));
    }
    absl::Status printed;
    const auto add = [&](const v1::ResultRecord& record) {
      printed = Add(record);
      return printed.ok();
    };
    if (!wanted_.failed_only) RETURN_IF_ERROR(hub_->ListResults(wanted_.run, add));
    RETURN_IF_ERROR(printed);
    if (wanted_.all || wanted_.failed_only) {
      RETURN_IF_ERROR(errors_.Load(hub_, wanted_.run));
      RETURN_IF_ERROR(hub_->ListFailedItems(wanted_.run, add));
      RETURN_IF_ERROR(printed);
    }
    RETURN_IF_ERROR(printer_.Flush());
    SayWhatIsUnknown();
    return printer_.Complaint();
  }

 private:
  absl::Status Add(const v1::ResultRecord& record) {
    ResultLine line{.run = record.run(),
                    .step = record.step(),
                    .item = record.item(),
                    .failed = record.failed(),
                    .has_value = !record.failed(),
                    .address = record.address()};
    if (record.failed()) line.error = errors_.Find(record.step(), record.item());
    if (wanted_.json) line.times = TimesOf(record);
    return printer_.Add(std::move(line));
  }

  // Those of the last item are kept: many results may be of one.
  const Json& TimesOf(const v1::ResultRecord& record) {
    const std::pair<uint64_t, uint64_t> key(record.instance(), record.index());
    if (last_ != key) {
      const ItemHistory::Item* item = history_.Find(key.first, key.second);
      if (item == nullptr) ++unknown_;
      last_times_ = TimesOfItem(item);
      last_ = key;
    }
    return last_times_;
  }

  void SayWhatIsUnknown() const {
    if (unknown_ == 0) return;
    Note(history_.is_full()
             ? absl::StrCat("times of ", unknown_, " items are left out: more than ",
                            history_.tasks_max(), " tasks are not held in memory")
             : absl::StrCat("when the steps of ", unknown_,
                            " items ran is not known (any more): how much the hub keeps of that "
                            "says bue hub --history"));
  }

  HubClient* const hub_;
  const ResultsWanted wanted_;
  ResultPrinter printer_;
  ItemHistory history_;
  FinalErrors errors_;
  std::optional<std::pair<uint64_t, uint64_t>> last_;
  Json last_times_;
  uint64_t unknown_ = 0;
};

// Lines as items end.
class Follower {
 public:
  Follower(HubClient* hub, BucketClient* bucket, const ResultsWanted& wanted)
      : hub_(hub), wanted_(wanted), printer_(bucket, wanted.json) {}

  absl::StatusOr<std::string> Print(bool* any) {
    *any = false;
    absl::Status printed;
    RETURN_IF_ERROR(
        hub_->ListHistory(wanted_.run, /*follow=*/true, [&](const v1::HistoryPage& page) {
          *any = true;
          printed = AddPage(page);
          return printed.ok();
        }));
    RETURN_IF_ERROR(printed);
    if (history_.is_full()) {
      Note(absl::StrCat("steps of some items are left out: more than ", history_.tasks_max(),
                        " tasks of items that have not ended are not held in memory"));
    }
    return printer_.Complaint();
  }

 private:
  absl::Status AddPage(const v1::HistoryPage& page) {
    for (const Record& record : page.records()) {
      history_.Add(record);
      if (record.item_end() == Record::GOES_ON) continue;
      RETURN_IF_ERROR(AddItem(record));
      // One that failed may be tried again.
      if (record.item_end() != Record::FAILED) history_.Forget(record.instance(), record.index());
    }
    return printer_.Flush();
  }

  absl::Status AddItem(const Record& record) {
    const ItemHistory::Item* item = history_.Find(record.instance(), record.index());
    std::vector<const ItemHistory::Task*> tasks;
    if (item != nullptr) tasks = item->LastTasks();
    ResultLine line{
        .run = wanted_.run, .item = record.item(), .failed = record.item_end() == Record::FAILED};
    if (wanted_.json) line.times = TimesOfItem(item);
    if (!tasks.empty()) line.step = tasks.back()->step;
    const bool top = record.instance() == 0;
    if (line.failed) {
      RETURN_IF_ERROR(AddFailed(tasks, line));
      if (!top) return absl::OkStatus();
      line.failed = false;  // What else is of it at the top level has its value.
    }
    if (record.item_end() == Record::FILTERED || wanted_.failed_only) return absl::OkStatus();
    bool any = false;
    for (const ItemHistory::Task* task : tasks) {
      if (!task->is_result) continue;
      any = true;
      line.step = task->step;
      line.has_value = true;
      line.address = task->address;
      RETURN_IF_ERROR(printer_.Add(line));
    }
    // One whose values other steps take. The top level's is the run's end.
    if (any || top) return absl::OkStatus();
    return printer_.Add(std::move(line));
  }

  absl::Status AddFailed(const std::vector<const ItemHistory::Task*>& tasks, ResultLine line) {
    for (const ItemHistory::Task* task : tasks) {
      if (!task->failed) continue;
      line.step = task->step;
      line.error = task->error;
      break;
    }
    return printer_.Add(std::move(line));
  }

  HubClient* const hub_;
  const ResultsWanted wanted_;
  ResultPrinter printer_;
  ItemHistory history_;
};

}  // namespace

absl::StatusOr<std::string> PrintResults(HubClient* hub, BucketClient* bucket,
                                         const ResultsWanted& wanted) {
  return Snapshot(hub, bucket, wanted).Print();
}

absl::StatusOr<std::string> FollowResults(HubClient* hub, BucketClient* bucket,
                                          const ResultsWanted& wanted, bool* any) {
  return Follower(hub, bucket, wanted).Print(any);
}

}  // namespace bue::cli
