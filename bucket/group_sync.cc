#include "bucket/group_sync.h"

#include <utility>

namespace bue::bucket {

void GroupSync::Wait(Done done) {
  {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(std::move(done));
    if (syncing_) return;
    syncing_ = true;
  }
  while (true) {
    std::vector<Done> covered;
    {
      absl::MutexLock lock(&mutex_);
      if (waiting_.empty()) {
        syncing_ = false;
        return;
      }
      covered.swap(waiting_);
    }
    const absl::Status status = store_->Sync();
    for (const Done& call : covered) call(status);
  }
}

}  // namespace bue::bucket
