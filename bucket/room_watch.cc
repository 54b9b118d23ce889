#include "bucket/room_watch.h"

#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/logging.h"

namespace bue::bucket {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(200);

}  // namespace

RoomWatch::RoomWatch(ObjectStore* store) : store_(store), thread_([this] { Run(); }) {}

RoomWatch::~RoomWatch() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

absl::Status RoomWatch::Check(const void* waiter, Wake wake) {
  const absl::Status room = store_->CheckRoom();
  if (room.ok()) return room;
  absl::MutexLock lock(&mutex_);
  if (waiting_.empty()) {
    full_since_ = absl::Now();
    log::warn("bucket is full error={} action=values_wait", room);
    changed_.SignalAll();
  }
  waiting_.insert_or_assign(waiter, std::move(wake));
  return room;
}

void RoomWatch::Run() {
  while (AwaitLook()) {
    if (!store_->CheckRoom().ok()) store_->Reclaim();
    if (store_->CheckRoom().ok()) WakeAll();
  }
}

bool RoomWatch::AwaitLook() {
  absl::MutexLock lock(&mutex_);
  while (waiting_.empty() && !stopping_) changed_.Wait(&mutex_);
  const absl::Time look_at = absl::Now() + kLookEvery;
  while (!stopping_ && !changed_.WaitWithDeadline(&mutex_, look_at)) {
  }
  return !stopping_;
}

void RoomWatch::WakeAll() {
  absl::flat_hash_map<const void*, Wake> woken;
  absl::Duration full;
  {
    absl::MutexLock lock(&mutex_);
    woken.swap(waiting_);
    full = absl::Now() - full_since_;
  }
  log::info("bucket has room again streams={} full_for={}", woken.size(), full);
  for (const auto& [waiter, wake] : woken) wake();
}

}  // namespace bue::bucket
