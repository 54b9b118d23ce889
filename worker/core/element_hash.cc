#include "worker/core/element_hash.h"

#include <xxhash.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace bue::worker {

void ElementHash::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

ElementHash::ElementHash(const Yielded& before) : before_(before), state_(XXH3_createState()) {
  CHECK(state_ != nullptr && XXH3_64bits_reset(state_.get()) == XXH_OK);
}

ElementHash::~ElementHash() = default;

absl::Status ElementHash::Add(absl::string_view bytes) {
  if (elements_ < before_.elements) {
    std::vector<size_t> ends;
    RETURN_IF_ERROR(scanner_.Scan(bytes, &ends));
    const uint64_t missing = before_.elements - elements_;
    elements_ += ends.size();
    if (ends.size() >= missing) {
      const size_t end = ends[missing - 1];
      Hash(bytes.substr(0, end));
      if (hash() != before_.hash) return Differs();
      bytes.remove_prefix(end);
    }
  }
  Hash(bytes);
  return absl::OkStatus();
}

absl::Status ElementHash::End() const {
  return elements_ < before_.elements ? Differs() : absl::OkStatus();
}

uint64_t ElementHash::hash() const { return XXH3_64bits_digest(state_.get()); }

void ElementHash::Hash(absl::string_view bytes) {
  CHECK(XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()) == XXH_OK);
}

absl::Status ElementHash::Differs() const {
  return absl::FailedPreconditionError(absl::StrCat(
      "run again, the source did not yield the same ", before_.elements,
      " elements first: items have begun with those. A generator must yield the same elements in "
      "the same order each time it runs; a list is taken only when it is complete. To start over, "
      "upload the script again"));
}

}  // namespace bue::worker
