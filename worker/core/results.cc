#include "worker/core/results.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace bue::worker {
namespace {

// One put carries at most this; a value alone is smaller.
constexpr size_t kPutItems = 4096;
constexpr size_t kPutBytes = 4 << 20;
// What the bucket's answer to is worked off by the thread that brings it, if the loop rests.
constexpr size_t kSmallPuts = 16;
// Texts of errors beyond this lose their middle.
constexpr size_t kMessageBytes = 16 << 10;
constexpr size_t kTracebackBytes = 64 << 10;

uint32_t RunMicroseconds(absl::Duration run_time) {
  return static_cast<uint32_t>(std::clamp<int64_t>(absl::ToInt64Microseconds(run_time), 0,
                                                   std::numeric_limits<uint32_t>::max()));
}

void Shorten(size_t bytes_max, std::string* text) {
  if (text->size() <= bytes_max) return;
  const size_t half = bytes_max / 2;
  *text = absl::StrCat(text->substr(0, half), "\n… ", text->size() - 2 * half,
                       " bytes left out …\n", text->substr(text->size() - half));
}

Outcome::Kind KindOf(CallResult::Kind kind) {
  switch (kind) {
    case CallResult::Kind::kSucceeded:
      return Outcome::Kind::kSucceeded;
    case CallResult::Kind::kFailed:
      return Outcome::Kind::kFailed;
    case CallResult::Kind::kPending:
      return Outcome::Kind::kPending;
    case CallResult::Kind::kReset:
      return Outcome::Kind::kReset;
    case CallResult::Kind::kCancel:
      return Outcome::Kind::kCancel;
    case CallResult::Kind::kGivenBack:
      return Outcome::Kind::kGivenBack;
    case CallResult::Kind::kInputGone:
      return Outcome::Kind::kInputGone;
  }
  CHECK(false);
}

// What a value that cannot be stored makes of its task.
void FailToStore(const absl::Status& status, CallResult* result) {
  result->address = 0;
  result->elements = 0;
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
      absl::IsCancelled(status)) {
    result->kind = CallResult::Kind::kGivenBack;  // The bucket is away: not the task's fault.
    return;
  }
  result->kind = CallResult::Kind::kFailed;
  result->error = {.action = "store",
                   .message = absl::StrCat("the bucket refused the value: ", status.message())};
}

}  // namespace

void Results::Add(std::vector<CallResult> results) {
  for (CallResult& result : results) AddOne(std::move(result));
}

void Results::AddOne(CallResult result) {
  const std::optional<TaskRef> task =
      session_->OnExecuted(result.lease, result.run_time, result.goes_on);
  if (result.kind != CallResult::Kind::kSucceeded) {
    const uint64_t gone = inputs_->TakeGone(result.lease);
    if (gone != 0 && result.kind == CallResult::Kind::kFailed) {
      result.kind = CallResult::Kind::kInputGone;
    }
    if (gone != 0 && result.address == 0) result.address = gone;
  }
  if (!task.has_value()) return;  // Revoked while it ran.
  const bool has_value = result.kind == CallResult::Kind::kSucceeded && !result.stored &&
                         (result.value_kind != ObjectKind::kValue || !result.data.empty());
  if (!has_value && result.output.empty()) {
    Report(std::move(result), 0);
    return;
  }
  const Origin origin{.run = task->group->run,
                      .instance = task->group->instance,
                      .item = task->group->item[task->row],
                      .node = task->group->node,
                      .lease = result.lease};
  Job& job = batch_.jobs.emplace_back();
  batch_.bytes += result.data.size() + result.output.size();
  if (has_value) {
    job.value = static_cast<int>(batch_.puts.size());
    job.data = std::make_shared<const std::string>(result.data);
    batch_.puts.push_back({.kind = result.value_kind,
                           .origin = origin,
                           .elements = result.elements,
                           .data = std::move(result.data)});
    result.data.clear();
  }
  if (!result.output.empty()) {
    job.output = static_cast<int>(batch_.puts.size());
    if (result.output.size() > kChunkBytesMax) result.output.resize(kChunkBytesMax);
    batch_.puts.push_back(
        {.kind = ObjectKind::kBytes, .origin = origin, .data = std::move(result.output)});
    result.output.clear();
  }
  job.result = std::move(result);
  if (batch_.puts.size() >= kPutItems || batch_.bytes >= kPutBytes) Flush();
}

void Results::Flush() {
  if (batch_.jobs.empty()) return;
  Batch batch = std::exchange(batch_, {});
  bytes_under_way_ += batch.bytes;
  auto jobs = std::make_shared<std::vector<Job>>(std::move(batch.jobs));
  bucket_->Put(std::move(batch.puts), [this, inbox = inbox_, jobs, bytes = batch.bytes](
                                          std::vector<absl::StatusOr<uint64_t>> stored) {
    const bool small = stored.size() <= kSmallPuts;
    inbox->Post(
        [this, jobs, bytes, stored = std::move(stored)]() mutable {
          OnStored(std::move(*jobs), bytes, std::move(stored));
        },
        small);
  });
}

void Results::OnStored(std::vector<Job> jobs, size_t bytes,
                       std::vector<absl::StatusOr<uint64_t>> stored) {
  bytes_under_way_ -= bytes;
  for (Job& job : jobs) Finish(std::move(job), stored);
}

void Results::Finish(Job job, const std::vector<absl::StatusOr<uint64_t>>& stored) {
  CallResult& result = job.result;
  if (job.value >= 0) {
    const absl::StatusOr<uint64_t>& address = stored[job.value];
    if (address.ok()) {
      result.address = *address;
      inputs_->Remember(*address, {.kind = result.value_kind,
                                   .data = job.data,
                                   .elements = result.elements,
                                   .total_bytes = job.data->size()});
    } else {
      FailToStore(address.status(), &result);
    }
  }
  // Output that cannot be stored is lost; the outcome is not.
  const bool has_output = job.output >= 0 && stored[job.output].ok();
  Report(std::move(result), has_output ? *stored[job.output] : 0);
}

void Results::Report(CallResult result, uint64_t output) {
  const bool is_list = result.value_kind == ObjectKind::kList &&
                       result.kind == CallResult::Kind::kSucceeded && result.address != 0;
  const uint64_t elements = is_list ? result.elements + 1 : 0;
  const uint32_t run_us = RunMicroseconds(result.run_time);
  if (result.kind == CallResult::Kind::kSucceeded && output == 0 && result.item_id.empty() &&
      result.total < 0) {
    session_->OnSucceeded(result.lease, result.address, elements, run_us);
    return;
  }
  Outcome outcome{.lease = result.lease,
                  .kind = KindOf(result.kind),
                  .error = std::move(result.error),
                  .output = output,
                  .run_us = run_us,
                  .elements = elements,
                  .item_id = std::move(result.item_id),
                  .total = result.total < 0 ? 0 : static_cast<uint64_t>(result.total) + 1,
                  .goes_on = result.goes_on};
  if (outcome.kind == Outcome::Kind::kInputGone) {
    outcome.gone = result.address;
    outcome.store_gone = inputs_->StoreIsGone(outcome.gone);
  } else if (outcome.kind == Outcome::Kind::kSucceeded) {
    outcome.address = result.address;
  }
  Shorten(kMessageBytes, &outcome.error.message);
  Shorten(kTracebackBytes, &outcome.error.traceback);
  session_->OnOutcome(std::move(outcome));
}

}  // namespace bue::worker
