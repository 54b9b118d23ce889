#include "worker/python/output_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace bue::worker {

void OutputLog::Add(uint64_t lease, uint64_t dropped, absl::string_view text) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[lease];
  if (dropped == 0 && entry.tail.empty() && entry.dropped == 0) {
    const size_t fits = std::min(text.size(), kOutputHalfBytes - entry.head.size());
    entry.head.append(text.data(), fits);
    text.remove_prefix(fits);
  }
  if (dropped > 0) {
    entry.dropped += dropped + entry.tail.size();  // The gap is one: before what is kept now.
    entry.tail.clear();
  }
  entry.tail.append(text.data(), text.size());
  if (entry.tail.size() > kOutputHalfBytes) {
    const size_t excess = entry.tail.size() - kOutputHalfBytes;
    entry.tail.erase(0, excess);
    entry.dropped += excess;
  }
}

std::string OutputLog::Show(uint64_t lease) const {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(lease);
  return found == entries_.end() ? "" : Text(found->second);
}

std::string OutputLog::Take(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(lease);
  if (found == entries_.end()) return "";
  std::string text = Text(found->second);
  entries_.erase(found);
  return text;
}

std::string OutputLog::Text(const Entry& entry) {
  if (entry.dropped == 0) return absl::StrCat(entry.head, entry.tail);
  return absl::StrCat(entry.head, "\n... ", entry.dropped, " bytes left out ...\n", entry.tail);
}

}  // namespace bue::worker
