#include "common/lang/syntax.h"

namespace bue::lang {

NameId Names::Intern(absl::string_view name) {
  const auto known = ids_.find(name);
  if (known != ids_.end()) return known->second;
  const NameId id = count();
  texts_.emplace_back(name);
  ids_.emplace(texts_.back(), id);
  return id;
}

}  // namespace bue::lang
