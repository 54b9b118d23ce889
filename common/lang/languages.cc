#include "common/lang/languages.h"

#include <utility>
#include <vector>

#include "common/lang/suggestion.h"

namespace bue::lang {
namespace {

constexpr std::pair<absl::string_view, Language> kLanguages[] = {
    {"python", Language::kPython},     {"sqlite3", Language::kSqlite},
    {"postgres", Language::kPostgres}, {"python3", Language::kPython},
    {"py", Language::kPython},         {"sqlite", Language::kSqlite},
    {"pg", Language::kPostgres},       {"postgresql", Language::kPostgres},
};

}  // namespace

bool FindLanguage(absl::string_view name, Language* language) {
  for (const auto& [known, value] : kLanguages) {
    if (name != known) continue;
    *language = value;
    return true;
  }
  return false;
}

std::string UnknownLanguageHint(absl::string_view name) {
  std::vector<absl::string_view> names;
  for (const auto& [known, value] : kLanguages) names.push_back(known);
  return DidYouMean(name, names, "there are python, sqlite3 and postgres");
}

absl::string_view LanguageName(Language language) {
  switch (language) {
    case Language::kPython:
      return "python";
    case Language::kSqlite:
      return "sqlite3";
    case Language::kPostgres:
      return "postgres";
    case Language::kList:
      return "list";
  }
  return "";
}

}  // namespace bue::lang
