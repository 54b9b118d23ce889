// See placeholders.h.
// Stateless.
#include "worker/sql/placeholders.h"

#include <sys/random.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace bue::worker {
namespace {

std::string FreshName() {
  char bytes[16];
  CHECK(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes));  // So few never come short.
  return absl::StrCat("id_", absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes))));
}

}  // namespace

std::string ExpandPlaceholders(absl::string_view code,
                               const std::map<std::string, std::string>& values) {
  std::map<std::string, std::string> names;  // Of {{uuid:x}}, by x.
  std::string out;
  while (true) {
    const size_t open = code.find("{{");
    const size_t close = open == absl::string_view::npos ? open : code.find("}}", open + 2);
    if (close == absl::string_view::npos) return absl::StrCat(out, code);
    const absl::string_view inside = code.substr(open + 2, close - open - 2);
    if (inside.find("{{") != absl::string_view::npos) {
      // The inner pair may be a placeholder.
      out.append(code.data(), open + 1);
      code.remove_prefix(open + 1);
      continue;
    }
    const std::string key(absl::StripAsciiWhitespace(inside));
    out.append(code.data(), open);
    if (auto value = values.find(key); value != values.end()) {
      out.append(value->second);
    } else if (absl::StartsWith(key, "uuid:") || absl::StartsWith(key, "uuid|")) {
      std::string& name = names[key.substr(5)];
      if (name.empty()) name = FreshName();
      out.append(name);
    } else {
      out.append(code.data() + open, close + 2 - open);
    }
    code.remove_prefix(close + 2);
  }
}

}  // namespace bue::worker
