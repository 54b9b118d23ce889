// Report collects what is wrong with a script while it is compiled.
// Not thread-safe. The SourceText outlives it.
#ifndef BUE_COMMON_LANG_REPORT_H_
#define BUE_COMMON_LANG_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/lang/diagnostic.h"
#include "common/lang/source_text.h"

namespace bue::lang {

class Report {
 public:
  // Of errors and of warnings, `most` each are kept and the others counted.
  Report(const SourceText& source, uint32_t most) : source_(source), most_(most) {}

  void Error(Position at, std::string message, std::string hint = "");
  void Warning(Position at, std::string message, std::string hint = "");

  bool has_errors() const { return errors_ > 0; }

  // Whether a further error would only be counted: then nobody needs to word it.
  bool full() const { return errors_ >= most_; }

  // Everything reported so far, by line; last how many more there were.
  std::vector<Diagnostic> Take();

 private:
  void Add(Severity severity, Position at, std::string message, std::string hint);

  const SourceText& source_;
  const uint32_t most_;
  uint64_t errors_ = 0;
  uint64_t warnings_ = 0;
  std::vector<Diagnostic> diagnostics_;
};

}  // namespace bue::lang

#endif  // BUE_COMMON_LANG_REPORT_H_
