// Placeholders in the code of SQL steps: {{name}}, {{uuid:x}}.
// Stateless.
#ifndef BUE_WORKER_SQL_PLACEHOLDERS_H_
#define BUE_WORKER_SQL_PLACEHOLDERS_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace bue::worker {

// `code` with every {{name}} that `values` has replaced, and {{uuid:x}} and {{uuid|x}} by a name
// that nobody else has ("id_" and 32 hexadecimal digits): the same for the same x, fresh in each
// expansion. Blanks inside the braces do not matter. Everything else stays; replaced text is not
// looked at again.
std::string ExpandPlaceholders(absl::string_view code,
                               const std::map<std::string, std::string>& values);

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_PLACEHOLDERS_H_
