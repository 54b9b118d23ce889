#include "common/lang/suggestion.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace bue::lang {
namespace {

// Longer names are not worth the time: nobody misspells them by hand.
constexpr size_t kLongestName = 200;

std::string Plain(absl::string_view name) {
  std::string plain = absl::AsciiStrToLower(name);
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c == '-' || c == ' '; }, '_');
  return plain;
}

}  // namespace

size_t EditDistance(absl::string_view a, absl::string_view b, size_t most) {
  const size_t gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > most) return most + 1;
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return std::min(above[b.size()], most + 1);
}

absl::string_view Nearest(absl::string_view name, absl::Span<const absl::string_view> candidates) {
  if (name.size() > kLongestName) return {};
  const std::string plain = Plain(name);
  size_t best = std::max<size_t>(1, plain.size() / 3) + 1;
  absl::string_view nearest;
  for (const absl::string_view candidate : candidates.subspan(0, kCandidatesMax)) {
    if (candidate.size() > kLongestName || candidate == name || best == 0) continue;
    const size_t distance = EditDistance(plain, Plain(candidate), best);
    if (distance >= best || distance >= candidate.size()) continue;
    best = distance;
    nearest = candidate;
  }
  return nearest;
}

std::string DidYouMean(absl::string_view name, absl::Span<const absl::string_view> candidates,
                       absl::string_view otherwise) {
  const absl::string_view nearest = Nearest(name, candidates);
  if (nearest.empty()) return std::string(otherwise);
  return absl::StrCat("did you mean `", nearest, "`?");
}

}  // namespace bue::lang
