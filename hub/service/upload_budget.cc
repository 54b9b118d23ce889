#include "hub/service/upload_budget.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace bue::hub {

bool UploadBudget::Acquire(const void* who, size_t bytes, std::function<void()> turn) {
  absl::MutexLock lock(&mutex_);
  Lane* lane = LaneOf(bytes);
  if (lane->waiting.empty() && lane->HasRoomFor(bytes)) {
    lane->used_bytes += bytes;
    return true;
  }
  lane->waiting.push_back({.who = who, .bytes = bytes, .turn = std::move(turn)});
  return false;
}

bool UploadBudget::Withdraw(const void* who) {
  Turns turns;
  bool found = false;
  {
    absl::MutexLock lock(&mutex_);
    for (Lane* lane : {&small_, &large_}) {
      const auto place = std::find_if(lane->waiting.begin(), lane->waiting.end(),
                                      [&](const Waiting& one) { return one.who == who; });
      if (place == lane->waiting.end()) continue;
      lane->waiting.erase(place);
      found = true;
      TakeTurns(lane, &turns);  // It may have been in the way.
    }
  }
  for (const auto& turn : turns) turn();
  return found;
}

void UploadBudget::Release(size_t bytes) {
  Turns turns;
  {
    absl::MutexLock lock(&mutex_);
    Lane* lane = LaneOf(bytes);
    CHECK(lane->used_bytes >= bytes);
    lane->used_bytes -= bytes;
    TakeTurns(lane, &turns);
  }
  for (const auto& turn : turns) turn();
}

void UploadBudget::TakeTurns(Lane* lane, Turns* turns) {
  while (!lane->waiting.empty() && lane->HasRoomFor(lane->waiting.front().bytes)) {
    lane->used_bytes += lane->waiting.front().bytes;
    turns->push_back(std::move(lane->waiting.front().turn));
    lane->waiting.pop_front();
  }
}

}  // namespace bue::hub
