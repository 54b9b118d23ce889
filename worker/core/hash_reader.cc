#include "worker/core/hash_reader.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "absl/strings/string_view.h"

namespace bue::worker {
namespace {

constexpr size_t kSliceRows = 64;  // Read at a time: they are in memory together.
constexpr absl::string_view kNil = "\xc0";

// Of the MessagePack bytes; never 0.
uint64_t HashOf(const CallInput& input) {
  absl::string_view data = *input.data;
  if (data.empty() && input.kind == ObjectKind::kValue) data = kNil;
  return std::max<uint64_t>(
      1, XXH3_64bits_withSeed(data.data(), data.size(), static_cast<uint64_t>(input.kind)));
}

// Of a value that is too large to be looked at: of what names it.
uint64_t HashOfName(const InputColumn& values, uint32_t row) {
  const uint64_t name[] = {At(values.address, row),
                           values.kind == InputColumn::Kind::kElements ? values.first[row] : 0};
  return std::max<uint64_t>(1, XXH3_64bits(name, sizeof(name)));
}

}  // namespace

void HashReader::Read(HashRequest request) {
  if (request.count == 0) {
    replies_.push_back({.id = request.id});
    return;
  }
  auto group = std::make_shared<GrantGroup>();
  group->item.resize(request.count);
  group->inputs.push_back(request.values);
  for (uint32_t row = 0; row < request.count; ++row) {
    group->lease.push_back(++last_);
    places_[last_] = {.request = request.id, .row = row};
  }
  const uint64_t id = request.id;
  pending_[id] = {.request = std::move(request),
                  .group = std::move(group),
                  .reply = {.id = id, .hashes = std::vector<uint64_t>(request.count)}};
  ReadSlice(id);
}

void HashReader::ReadSlice(uint64_t id) {
  Pending& pending = pending_.at(id);
  StartBatch batch{.group = pending.group};
  while (batch.rows.size() < kSliceRows && pending.next < pending.request.count) {
    batch.rows.push_back(pending.next++);
  }
  pending.missing = static_cast<uint32_t>(batch.rows.size());
  inputs_->Resolve(batch, no_step_, this);  // It may be answered, and over, by now.
}

std::vector<HashReply> HashReader::TakeReplies() { return std::exchange(replies_, {}); }

void HashReader::Forget() {
  pending_.clear();
  places_.clear();
  replies_.clear();
}

void HashReader::OnReady(std::vector<Call> calls) {
  for (const Call& call : calls) Answer(call.lease, &call.inputs[0]);
}

void HashReader::OnInputGone(uint64_t lease, uint64_t /*address*/, const absl::Status& /*why*/) {
  Answer(lease, nullptr);
}

void HashReader::OnInputFailed(uint64_t lease, const absl::Status& /*why*/) {
  Answer(lease, nullptr);
}

// Null: it cannot be read.
void HashReader::Answer(uint64_t lease, const CallInput* input) {
  const auto place = places_.find(lease);
  if (place == places_.end()) return;  // Forgotten meanwhile.
  const auto [request, row] = place->second;
  places_.erase(place);
  const auto pending = pending_.find(request);
  Pending& asked = pending->second;
  if (input != nullptr) {
    asked.reply.hashes[row] =
        input->data != nullptr ? HashOf(*input) : HashOfName(asked.request.values, row);
  }
  if (--asked.missing > 0) return;
  if (asked.next < asked.request.count) return ReadSlice(request);
  replies_.push_back(std::move(asked.reply));
  pending_.erase(pending);
}

}  // namespace bue::worker
