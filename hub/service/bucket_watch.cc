#include "hub/service/bucket_watch.h"

#include <utility>

#include "absl/time/clock.h"
#include "common/logging.h"

namespace bue::hub {

BucketWatch::BucketWatch(BucketWatchOptions options, std::vector<std::string> buckets, Ask ask)
    : options_(options), ask_(std::move(ask)) {
  for (std::string& bucket : buckets) buckets_.push_back({.name = std::move(bucket)});
}

BucketWatch::~BucketWatch() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void BucketWatch::Start() {
  thread_ = std::thread([this] { Run(); });
}

void BucketWatch::Run() {
  while (Pause()) Look(absl::Now());
}

void BucketWatch::Look(absl::Time now) {
  size_t count;
  {
    absl::MutexLock lock(&mutex_);
    count = buckets_.size();
  }
  for (size_t i = 0; i < count; ++i) Note(i, ask_(i), now);
}

void BucketWatch::Note(size_t index, const absl::Status& status, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  Bucket& bucket = buckets_[index];
  if (status.ok()) {
    if (bucket.misses >= options_.misses) {
      log::info("bucket back bucket={} away={}", bucket.name, now - bucket.since);
    }
    bucket.misses = 0;
    return;
  }
  if (bucket.misses == 0) bucket.since = now;
  if (bucket.misses < options_.misses && ++bucket.misses == options_.misses) {
    log::warn("bucket away bucket={} error={} action=wait", bucket.name, status);
  }
}

std::vector<AwayBucket> BucketWatch::Away() const {
  absl::MutexLock lock(&mutex_);
  std::vector<AwayBucket> away;
  for (const Bucket& bucket : buckets_) {
    if (bucket.misses >= options_.misses) away.push_back({bucket.name, bucket.since});
  }
  return away;
}

bool BucketWatch::Pause() {
  absl::MutexLock lock(&mutex_);
  const absl::Time end = absl::Now() + options_.interval;
  while (!stopping_ && !wake_.WaitWithDeadline(&mutex_, end)) {
  }
  return !stopping_;
}

}  // namespace bue::hub
