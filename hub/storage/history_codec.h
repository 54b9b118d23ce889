// Codec between history (scheduler/turn_history.h) and bytes: a column per field, as records of
// turns are packed. A thousand consecutive items that took alike are a few dozen bytes.
//
// A row begins with its format version and the runs it tells of, so that who looks for one run
// passes the others' rows by. Decoding never trusts its input: DataLoss, whatever the bytes.
//
// Pure functions.
#ifndef BUE_HUB_STORAGE_HISTORY_CODEC_H_
#define BUE_HUB_STORAGE_HISTORY_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hub/scheduler/turn_history.h"

namespace bue::hub {

// A turn with more events becomes several rows, so that a page is read without decoding it all.
inline constexpr size_t kHistoryRowEvents = 4096;

// Appends the row of up to kHistoryRowEvents events from `begin` on, and returns how many.
size_t EncodeHistory(const TurnHistory& history, size_t begin, std::string* out);

struct HistoryRow {
  std::vector<HistoryEvent> events;
  std::vector<std::string> prefixes;  // HistoryEvent::prefix counts in these,
  std::vector<std::string> ids;       // HistoryEvent::id in these.

  // "4", "4.17"; "" at the top level.
  std::string NameOf(const HistoryEvent& event) const;
  std::string IdOf(const HistoryEvent& event) const;  // Empty: none.
};
absl::StatusOr<HistoryRow> DecodeHistory(absl::string_view bytes);

// Whether the row may tell of the run. True for one that is damaged.
bool MayTellOf(uint64_t run, absl::string_view bytes);

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_HISTORY_CODEC_H_
