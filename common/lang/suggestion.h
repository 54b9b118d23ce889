// Did you mean: the known name that is most like a misspelt one.
// Pure functions.
#ifndef BUE_COMMON_LANG_SUGGESTION_H_
#define BUE_COMMON_LANG_SUGGESTION_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace bue::lang {

// Candidates further back are not looked at: a script may have a million names.
inline constexpr size_t kCandidatesMax = 10'000;

// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`; more than `most` is most
// + 1.
size_t EditDistance(absl::string_view a, absl::string_view b, size_t most);

// The candidate nearest to `name`, the first of equally near ones; empty if none is near: more than
// a third of its letters differ. Case and `-`, `_`, blank count as equal.
absl::string_view Nearest(absl::string_view name, absl::Span<const absl::string_view> candidates);

// "did you mean `x`?" for the nearest candidate, else `otherwise`.
std::string DidYouMean(absl::string_view name, absl::Span<const absl::string_view> candidates,
                       absl::string_view otherwise = "");

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_SUGGESTION_H_
