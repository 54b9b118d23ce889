#include "hub/service/sweeper.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::hub {

Sweeper::Sweeper(SweeperOptions options, SweeperParts parts)
    : options_(options), parts_(std::move(parts)) {}

Sweeper::~Sweeper() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Sweeper::Start() {
  if (options_.interval > absl::ZeroDuration()) thread_ = std::thread([this] { Run(); });
}

void Sweeper::Run() {
  while (Pause(options_.interval)) {
    const absl::Time begin = absl::Now();
    const Counts counts = Sweep();
    log::info("buckets swept objects={} young={} deleted={} bytes={} took={}", counts.objects,
              counts.young, counts.deleted, counts.bytes, absl::Now() - begin);
  }
}

Sweeper::Counts Sweeper::Sweep() {
  Counts counts;
  const absl::StatusOr<std::vector<BucketInfo>> buckets = parts_.buckets();
  if (!buckets.ok()) {
    log::warn("buckets not swept error={} action=later", buckets.status());
    return counts;
  }
  for (const BucketInfo& bucket : *buckets) {
    unclaimed_.clear();
    unclaimed_count_ = 0;
    absl::Status status = SweepBucket(bucket, &counts);
    if (status.ok()) status = SettleUnclaimed(&counts);
    if (!status.ok()) {
      log::warn("bucket not swept bucket={} error={} action=later", bucket.bucket, status);
    }
  }
  return counts;
}

absl::Status Sweeper::SweepBucket(const BucketInfo& bucket, Counts* counts) {
  uint64_t after = MakeAddress(bucket.store, 0);
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, parts_.list(after, options_.batch));
    if (listed.empty()) return absl::OkStatus();
    after = listed.back().address;
    RETURN_IF_ERROR(SweepBatch(listed, counts));
    if (!Pause(options_.pause)) return absl::CancelledError("the hub is stopping");
  }
}

absl::Status Sweeper::SweepBatch(const std::vector<ListedObject>& listed, Counts* counts) {
  std::vector<const ListedObject*> asked;
  for (const ListedObject& object : listed) {
    if (object.age >= options_.grace) asked.push_back(&object);
  }
  counts->objects += listed.size();
  counts->young += listed.size() - asked.size();
  std::vector<Unclaimed> gone;
  while (!asked.empty()) {
    QueryOwnership query;
    for (const ListedObject* object : asked) {
      query.objects.push_back({.address = object->address,
                               .run = object->origin.run,
                               .instance = object->origin.instance,
                               .item = object->origin.item,
                               .node = object->origin.node});
    }
    ASSIGN_OR_RETURN(const OwnershipList answer, parts_.ask(std::move(query)));
    if (answer.verdicts.size() != asked.size()) {
      return absl::InternalError("the scheduler did not answer for every object");
    }
    std::vector<const ListedObject*> again;
    for (size_t i = 0; i < asked.size(); ++i) {
      const ListedObject& object = *asked[i];
      switch (answer.verdicts[i]) {
        case Ownership::kWanted:
          break;
        case Ownership::kUnclaimed:
          unclaimed_[object.origin.run].push_back({object.address, object.bytes});
          ++unclaimed_count_;
          break;
        case Ownership::kGone:
          gone.push_back({object.address, object.bytes});
          break;
        case Ownership::kAskAgain:
          again.push_back(&object);
          break;
      }
    }
    if (again.size() == asked.size()) break;  // Not now, then.
    asked = std::move(again);
  }
  RETURN_IF_ERROR(Delete(gone, counts));
  return unclaimed_count_ >= options_.unclaimed_max ? SettleUnclaimed(counts) : absl::OkStatus();
}

// The rows of captured output were written, at the latest, with the outcome that ended the task:
// the scheduler has answered since.
absl::Status Sweeper::SettleUnclaimed(Counts* counts) {
  for (auto& [run, objects] : std::exchange(unclaimed_, {})) {
    absl::flat_hash_set<uint64_t> addresses;
    for (const Unclaimed& object : objects) addresses.insert(object.address);
    RETURN_IF_ERROR(parts_.outputs(run, [&](uint64_t address) { addresses.erase(address); }));
    std::erase_if(objects,
                  [&](const Unclaimed& object) { return !addresses.contains(object.address); });
    RETURN_IF_ERROR(Delete(objects, counts));
  }
  unclaimed_count_ = 0;
  return absl::OkStatus();
}

absl::Status Sweeper::Delete(const std::vector<Unclaimed>& objects, Counts* counts) {
  if (objects.empty()) return absl::OkStatus();
  std::vector<uint64_t> addresses;
  addresses.reserve(objects.size());
  for (const Unclaimed& object : objects) addresses.push_back(object.address);
  RETURN_IF_ERROR(parts_.remove(std::move(addresses)));
  counts->deleted += objects.size();
  for (const Unclaimed& object : objects) counts->bytes += object.bytes;
  return absl::OkStatus();
}

bool Sweeper::Pause(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  const absl::Time end = absl::Now() + duration;
  while (!stopping_ && !wake_.WaitWithDeadline(&mutex_, end)) {
  }
  return !stopping_;
}

}  // namespace bue::hub
