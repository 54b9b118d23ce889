// How runs get on, in the hub's log: a line for each active run whose numbers changed, at an
// interval, and one when it has ended.
//
//   run statistics run=r17 state=running active=12 waiting=300 completed=57
//   success_rate=98.25% total=369 rate=9.8/s eta=32s mean=101ms overhead=2.1ms steps=[fetch running=12 …]
//
// Thread-safe.
#ifndef BUE_HUB_SERVICE_STATISTICS_LOG_H_
#define BUE_HUB_SERVICE_STATISTICS_LOG_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

// One line. Of many steps those with most under way; the others are counted.
std::string StatisticsLine(const RunStatus& status);

// A line a run, and one that counts the others.
std::vector<std::string> StatisticsLines(const RunStatistics& statistics);

class StatisticsLog {
 public:
  // The scheduler's answer; may block. Used by one thread.
  using Ask = std::function<absl::StatusOr<RunStatistics>(QueryStatistics query)>;

  // Zero: never.
  StatisticsLog(absl::Duration interval, Ask ask);
  ~StatisticsLog();  // Stops. Whoever answers `ask` must still answer.

  void Start();

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: stop.
  bool Pause() ABSL_LOCKS_EXCLUDED(mutex_);

  const absl::Duration interval_;
  const Ask ask_;

  absl::Mutex mutex_;
  absl::CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_STATISTICS_LOG_H_
