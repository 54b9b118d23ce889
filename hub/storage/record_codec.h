// Codec between what the hub stores and bytes. A turn's changes become one value: a column per
// field, deltas from change to change, runs of equal deltas counted. A thousand successes of
// consecutive items are a few dozen bytes, and anything else is a few bytes a field.
//
// Every value begins with its format version. Decoding never trusts its input: a value that is cut
// off, malformed or of another version is DataLoss, whatever the bytes.
//
// Pure functions.
#ifndef BUE_HUB_STORAGE_RECORD_CODEC_H_
#define BUE_HUB_STORAGE_RECORD_CODEC_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

// A turn's record holds at most this many changes; a value that claims more is damaged.
inline constexpr size_t kChangesMax = 4 << 20;

void EncodeChanges(absl::Span<const Change> changes, std::string* out);
// Appends to `out`.
absl::Status DecodeChanges(absl::string_view bytes, std::vector<Change>* out);

std::string EncodeRun(const RunAdded& run);
absl::StatusOr<RunAdded> DecodeRun(absl::string_view bytes);

// Of one run and turn; `run` is not in the bytes and comes back as given.
std::string EncodeErrors(absl::Span<const ErrorRecord* const> errors);
absl::StatusOr<std::vector<ErrorRecord>> DecodeErrors(uint64_t run, absl::string_view bytes);

std::string EncodeLogs(absl::Span<const LogAdded* const> logs);
absl::StatusOr<std::vector<LogAdded>> DecodeLogs(uint64_t run, absl::string_view bytes);

std::string EncodeNames(absl::Span<const std::string> names);
absl::StatusOr<std::vector<std::string>> DecodeNames(absl::string_view bytes);

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_RECORD_CODEC_H_
