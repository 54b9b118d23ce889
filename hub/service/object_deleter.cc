#include "hub/service/object_deleter.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/logging.h"

namespace bue::hub {
namespace {

bool WorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

}  // namespace

ObjectDeleter::ObjectDeleter(ObjectDeleterOptions options, Remove remove)
    : options_(options), remove_(std::move(remove)), thread_([this] { Run(); }) {}

ObjectDeleter::~ObjectDeleter() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.Signal();
  }
  thread_.join();
}

void ObjectDeleter::Add(std::vector<uint64_t> addresses) {
  if (addresses.empty()) return;
  absl::MutexLock lock(&mutex_);
  queue_.insert(queue_.end(), addresses.begin(), addresses.end());
  if (queue_.size() > options_.queued_max) {
    queue_.erase(queue_.begin(), queue_.end() - options_.queued_max);
  }
  wake_.Signal();
}

void ObjectDeleter::Run() {
  while (true) {
    const std::vector<uint64_t> batch = Take();
    if (batch.empty()) return;
    Delete(batch);
  }
}

std::vector<uint64_t> ObjectDeleter::Take() {
  absl::MutexLock lock(&mutex_);
  while (queue_.empty() && !stopping_) wake_.Wait(&mutex_);
  if (stopping_) return {};
  const auto end = queue_.begin() + std::min(queue_.size(), options_.batch_max);
  std::vector<uint64_t> batch(queue_.begin(), end);
  queue_.erase(queue_.begin(), end);
  return batch;
}

void ObjectDeleter::Delete(const std::vector<uint64_t>& batch) {
  for (bool first = true;; first = false) {
    const absl::Status status = remove_(batch);
    if (status.ok()) return;
    if (!WorthAnotherTry(status)) {
      log::warn("objects not deleted count={} error={} action=leave_to_sweep", batch.size(),
                status);
      return;
    }
    if (first) {
      log::info("objects not deleted yet count={} error={} action=retry", batch.size(), status);
    }
    if (!Pause()) return;
  }
}

// False: the deleter stops.
bool ObjectDeleter::Pause() {
  absl::MutexLock lock(&mutex_);
  const absl::Time end = absl::Now() + options_.retry;
  while (!stopping_ && !wake_.WaitWithDeadline(&mutex_, end)) {
  }
  return !stopping_;
}

}  // namespace bue::hub
