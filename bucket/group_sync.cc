#include "bucket/group_sync.h"

#include <utility>

namespace bue::bucket {

void GroupSync::Wait(Done done, ThreadPool* others) {
  {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(std::move(done));
    if (syncing_) return;
    syncing_ = true;
  }
  if (others == nullptr) return SyncAll();
  SyncOnce();
  absl::MutexLock lock(&mutex_);
  syncing_ = !waiting_.empty();
  if (syncing_) others->Post([this] { SyncAll(); });
}

void GroupSync::SyncAll() {
  while (SyncOnce()) {
  }
}

bool GroupSync::SyncOnce() {
  std::vector<Done> covered;
  {
    absl::MutexLock lock(&mutex_);
    if (waiting_.empty()) {
      syncing_ = false;
      return false;
    }
    covered.swap(waiting_);
  }
  const absl::Status status = store_->Sync();
  for (const Done& call : covered) call(status);
  return true;
}

}  // namespace bue::bucket
