// The parser turns a script's text into a SyntaxTree and reports every line that it does not
// understand. It goes on behind an error, so that one run finds them all, and keeps the names that
// broken lines would have defined, so that one mistake is reported once.
// Pure.
#ifndef BUE_COMMON_LANG_PARSER_H_
#define BUE_COMMON_LANG_PARSER_H_

#include "common/lang/compiler.h"
#include "common/lang/report.h"
#include "common/lang/source_text.h"
#include "common/lang/syntax.h"

namespace bue::lang {

SyntaxTree ParseScript(const SourceText& source, const CompileLimits& limits, Report* report);

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_PARSER_H_
