// See rows.h.
// Not thread-safe.
#include "worker/sql/rows.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"

namespace bue::worker {

void Rows::Start(const std::vector<std::string>& columns) {
  slots_.clear();
  bytes_.clear();
  count_ = 0;
  parts_.clear();
  part_ = {};
  parts_end_ = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i] == kNoColumn) continue;
    std::string key;
    value::Writer(&key).String(columns[i]);
    auto same = [&key](const Slot& slot) { return slot.packed_key == key; };
    const auto slot = std::find_if(slots_.begin(), slots_.end(), same);
    if (slot == slots_.end()) {
      slots_.push_back({.packed_key = std::move(key), .source = static_cast<int>(i)});
    } else {
      slot->source = static_cast<int>(i);
    }
  }
  header_.clear();
  value::Writer(&header_).MapHeader(static_cast<uint32_t>(slots_.size()));
}

// The last row made part_ too large: it begins the next one. `bytes`: of both.
void Rows::EndPart(size_t bytes) {
  const size_t row_bytes = bytes - part_.bytes;
  if (part_.rows > 1) {
    parts_.push_back({.bytes = part_.bytes, .rows = part_.rows - 1});
    parts_end_ += part_.bytes;
    part_ = {.rows = 1};
  }
  part_.bytes = row_bytes;
  if (row_bytes > kRowsPartBytes) {
    parts_.push_back(part_);
    parts_end_ += row_bytes;
    part_ = {};
  }
}

absl::Status Rows::TooLarge() const {
  return absl::ResourceExhaustedError(absl::StrCat("the query yields more than ", bytes_max_,
                                                   " bytes (stopped after ", count_,
                                                   " rows); select fewer rows or columns"));
}

absl::StatusOr<SqlResult> Rows::Finish(const Table* envelope) && {
  if (envelope == nullptr) {
    if (part_.rows > 0) parts_.push_back(part_);
    return SqlResult{.is_list = true,
                     .value = std::move(bytes_),
                     .elements = count_,
                     .parts = std::move(parts_)};
  }
  if (count_ > UINT32_MAX) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the query yields ", count_, " rows, a dict's list can hold ", UINT32_MAX));
  }
  return SqlResult{
      .is_list = false, .value = envelope->FillEnvelope(bytes_, count_), .elements = count_};
}

const Table* EnvelopeOf(const std::vector<Table>& tables) {
  for (const Table& table : tables) {
    if (table.number() == 1 && table.is_envelope()) return &table;
  }
  return nullptr;
}

absl::Status StillWanted(const SqlCall& call) {
  if (call.cancelled != nullptr && call.cancelled->load(std::memory_order_relaxed)) {
    return absl::CancelledError("the query was cancelled");
  }
  if (absl::Now() >= call.deadline) {
    return absl::DeadlineExceededError("the query ran into the step's timeout");
  }
  return absl::OkStatus();
}

std::string PlaceOf(absl::string_view code, int statement, size_t offset) {
  const absl::string_view before = code.substr(0, std::min(offset, code.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  return absl::StrCat("statement ", statement, ", line ", line);
}

}  // namespace bue::worker
