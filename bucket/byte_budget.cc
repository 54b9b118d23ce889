#include "bucket/byte_budget.h"

#include <utility>

#include "common/check.h"

namespace bue::bucket {

void ByteBudget::Take(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  used_ += bytes;
}

void ByteBudget::Release(uint64_t bytes) {
  std::vector<std::function<void()>> resumed;
  {
    absl::MutexLock lock(&mutex_);
    CHECK(used_ >= bytes);
    used_ -= bytes;
    if (used_ < limit_) resumed.swap(waiting_);
  }
  for (const std::function<void()>& resume : resumed) resume();
}

bool ByteBudget::HasRoom(std::function<void()> resume) {
  absl::MutexLock lock(&mutex_);
  if (used_ < limit_) return true;
  waiting_.push_back(std::move(resume));
  return false;
}

bool ByteBudget::HasPlenty() {
  absl::MutexLock lock(&mutex_);
  return used_ < limit_ / 2;
}

}  // namespace bue::bucket
