#include "common/stall_watch.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace bue {
namespace {

constexpr absl::Duration kLookEveryMax = absl::Seconds(1);

}  // namespace

StallWatch::StallWatch(absl::Duration patience) : patience_(patience), thread_([this] { Run(); }) {}

StallWatch::~StallWatch() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

void StallWatch::Add(Look look) {
  absl::MutexLock lock(&mutex_);
  added_.push_back(std::move(look));
  changed_.SignalAll();
}

void StallWatch::Run() {
  const absl::Duration pause = std::min(patience_ / 4, kLookEveryMax);
  std::list<Look> watched;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      while (watched.empty() && added_.empty() && !stopping_) changed_.Wait(&mutex_);
      const absl::Time look_at = absl::Now() + pause;
      while (!stopping_ && !changed_.WaitWithDeadline(&mutex_, look_at)) {
      }
      if (stopping_) return;
      watched.splice(watched.end(), added_);
    }
    const absl::Time now = absl::Now();
    watched.remove_if([now](const Look& look) { return !look(now); });
  }
}

}  // namespace bue
