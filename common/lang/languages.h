// The names of languages in scripts. Pure.
#ifndef BUE_COMMON_LANG_LANGUAGES_H_
#define BUE_COMMON_LANG_LANGUAGES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/program/program.h"

namespace bue::lang {

// `python python3 py`, `sqlite sqlite3`, `pg postgres postgresql`; false if it is none of these.
bool FindLanguage(absl::string_view name, Language* language);

// What to do about an unknown one.
std::string UnknownLanguageHint(absl::string_view name);

// `python`, `sqlite3`, `postgres`, `list`.
absl::string_view LanguageName(Language language);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_LANGUAGES_H_
