#include "cli/number_range.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace bue::cli {
namespace {

// `parse`: of type bool(absl::string_view, Number*).
template <typename Number, typename Parse>
CLI::Validator Between(Number least, Number most, absl::string_view kind, const std::string& range,
                       Parse parse) {
  const std::string refused = absl::StrCat("' is not a ", kind, " from ", range);
  return {[=](std::string& text) -> std::string {
            Number number;
            const bool fits = parse(text, &number) && number >= least && number <= most;
            return fits ? "" : absl::StrCat("'", text, refused);
          },
          range};
}

}  // namespace

CLI::Validator WholeNumber(int64_t least, int64_t most) {
  return Between(
      least, most, "whole number", absl::StrCat(least, " to ", most),
      [](absl::string_view text, int64_t* number) { return absl::SimpleAtoi(text, number); });
}

CLI::Validator NumberBetween(double least, double most) {
  return Between(
      least, most, "number", absl::StrFormat("%.10g to %.10g", least, most),
      [](absl::string_view text, double* number) { return absl::SimpleAtod(text, number); });
}

}  // namespace bue::cli
