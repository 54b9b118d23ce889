#include "hub/scheduler/step_stats.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace bue::hub {
namespace {

constexpr uint32_t kPerOctave = 4;
constexpr uint32_t kBuckets = 140;  // The last one holds what takes 15 hours and more.

constexpr int64_t kSampleEvery_us = 5'000'000;
constexpr int64_t kWindow_us = 60'000'000;
constexpr uint64_t kEnoughTasks = 32;
constexpr size_t kSamplesMax = 16;

// 0, 1, 2, 3, then four equal parts of each octave.
uint32_t BucketOf(uint64_t us) {
  if (us < kPerOctave) return static_cast<uint32_t>(us);
  const uint32_t exponent = static_cast<uint32_t>(std::bit_width(us)) - 1;
  const uint32_t part = static_cast<uint32_t>(us >> (exponent - 2)) & (kPerOctave - 1);
  return std::min((exponent - 1) * kPerOctave + part, kBuckets - 1);
}

uint64_t LowEnd(uint32_t bucket) {
  if (bucket < kPerOctave) return bucket;
  return uint64_t{kPerOctave + bucket % kPerOctave} << (bucket / kPerOctave - 1);
}

}  // namespace

inline void StepStats::Count(uint32_t bucket, uint32_t by) {
  // Wraps around for one below the first.
  if (bucket - first_ >= counts_.size()) Cover(bucket);
  uint32_t& count = counts_[bucket - first_];
  const uint32_t sum = count + by;
  count = sum >= by ? sum : std::numeric_limits<uint32_t>::max();
}

void StepStats::Add(uint64_t run_us, uint64_t total_us, int64_t now_us) {
  min_us_ = std::min(min_us_, run_us);
  max_us_ = std::max(max_us_, run_us);
  ++attempts_;
  run_us_ += run_us;
  total_us_ += std::max(run_us, total_us);
  last_us_ = now_us;
  Count(BucketOf(run_us), 1);
}

void StepStats::Merge(const StepStats& other) {
  if (other.attempts_ == 0) return;
  min_us_ = std::min(min_us_, other.min_us_);
  max_us_ = std::max(max_us_, other.max_us_);
  last_us_ = std::max(last_us_, other.last_us_);
  attempts_ += other.attempts_;
  run_us_ += other.run_us_;
  total_us_ += other.total_us_;
  for (size_t i = 0; i < other.counts_.size(); ++i) {
    if (other.counts_[i] != 0) Count(other.first_ + static_cast<uint32_t>(i), other.counts_[i]);
  }
}

void StepStats::Cover(uint32_t bucket) {
  if (counts_.empty()) first_ = bucket;
  if (bucket < first_) {
    counts_.insert(counts_.begin(), first_ - bucket, 0);
    first_ = bucket;
  }
  if (bucket - first_ >= counts_.size()) counts_.resize(bucket - first_ + 1);
}

Timing StepStats::ToTiming() const {
  return Timing{.attempts = attempts_,
                .run_us = run_us_,
                .total_us = total_us_,
                .run_min_us = min_us_,
                .run_max_us = max_us_,
                .run_p50_us = Quantile(50),
                .run_p95_us = Quantile(95),
                .last_result = absl::FromUnixMicros(last_us_)};
}

// So much of a bucket's width as of its count lies below.
uint64_t StepStats::Quantile(uint64_t percent) const {
  uint64_t all = 0;
  for (const uint32_t count : counts_) all += count;
  uint64_t rank = (all * percent + 99) / 100;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (rank > counts_[i]) {
      rank -= counts_[i];
      continue;
    }
    const uint32_t bucket = first_ + static_cast<uint32_t>(i);
    const uint64_t low = LowEnd(bucket);
    const uint64_t width = LowEnd(bucket + 1) - low;
    const uint64_t part_of_1024 = (2 * rank - 1) * 512 / std::max<uint64_t>(1, counts_[i]);
    return std::clamp(low + width * part_of_1024 / 1024, min_us_, max_us_);
  }
  return max_us_;
}

void StepStats::Put(std::string* out) const {
  for (const uint64_t n : {attempts_, run_us_, total_us_, min_us_, max_us_}) PutVarint(n, out);
  PutVarint(ZigZag(last_us_), out);
  PutVarint(first_, out);
  PutVarint(counts_.size(), out);
  for (const uint32_t count : counts_) PutVarint(count, out);
}

bool StepStats::Take(VarintReader* in) {
  for (uint64_t* n : {&attempts_, &run_us_, &total_us_, &min_us_, &max_us_}) *n = in->Varint();
  last_us_ = in->Signed();
  const uint64_t first = in->Varint();
  const uint64_t buckets = in->Count();
  if (!in->ok() || attempts_ == 0 || run_us_ > total_us_ || min_us_ > max_us_ || buckets == 0 ||
      buckets > kBuckets || first > kBuckets - buckets) {
    return false;
  }
  first_ = static_cast<uint32_t>(first);
  counts_.clear();
  for (uint64_t i = 0; i < buckets; ++i) {
    const uint64_t count = in->Varint();
    if (count > std::numeric_limits<uint32_t>::max()) return false;
    counts_.push_back(static_cast<uint32_t>(count));
  }
  return in->ok();
}

// ------------------------------------------------------------------------------------------ pace

void Headway::Note(int64_t now_us, uint64_t finished) {
  if (!samples_.empty() && finished < samples_.back().finished) samples_.clear();
  if (samples_.size() == kSamplesMax) samples_.erase(samples_.begin());
  samples_.push_back(Sample{.at_us = now_us, .finished = finished});
  due_us_ = now_us + kSampleEvery_us;
}

void Headway::Restart() {
  samples_ = {};
  due_us_ = INT64_MIN;
}

Headway::Rate Headway::RateAt(int64_t now_us, uint64_t finished) const {
  for (size_t i = samples_.size(); i > 0; --i) {
    const Sample& sample = samples_[i - 1];
    const bool enough =
        sample.at_us <= now_us - kWindow_us && finished >= sample.finished + kEnoughTasks;
    if (!enough && i > 1) continue;
    if (finished <= sample.finished || now_us <= sample.at_us) return {};
    return Rate{.tasks = finished - sample.finished,
                .us = static_cast<uint64_t>(now_us - sample.at_us)};
  }
  return {};
}

std::optional<absl::Duration> TimeFor(uint64_t left, Headway::Rate rate) {
  if (rate.tasks == 0) return std::nullopt;
  return absl::Microseconds(static_cast<double>(left) * static_cast<double>(rate.us) /
                            static_cast<double>(rate.tasks));
}

}  // namespace bue::hub
