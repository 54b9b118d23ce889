// Text for people: aligned tables, durations, run names, colours on terminals only.
#ifndef BUE_CLI_TEXT_H_
#define BUE_CLI_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace bue::cli {

// `r17` <-> 17. Parsing takes `17` too; InvalidArgument says what a run looks like.
std::string RunName(uint64_t run);
absl::StatusOr<uint64_t> ParseRun(absl::string_view text);

// "0.42 s", "12.3 s", "3 min 5 s", "2 h 10 min", "4 d 3 h".
std::string HumanDuration(absl::Duration duration);
// "2026-02-03 04:05:06" in local time; "-" for the epoch.
std::string HumanTime(absl::Time time);
// "812 B", "1.5 MiB".
std::string HumanBytes(uint64_t bytes);

// One line of at most `width` characters: line ends become blanks, a cut is shown by an ellipsis.
std::string OneLine(absl::string_view text, size_t width);

// Text of somebody else's, for a terminal: control characters, but line ends and tabs, as \x1b.
std::string Visible(absl::string_view text);

bool IsTerminal(int fd);

enum class Colour { kNone, kRed, kGreen, kYellow, kBold };
// `text` in that colour when standard output is a terminal and NO_COLOR is not set.
std::string Paint(Colour colour, absl::string_view text);

// Rows of cells, printed with aligned columns; numbers to the right. The first row is the header.
class Table {
 public:
  explicit Table(std::vector<std::string> header);

  void Add(std::vector<std::string> cells);
  // Lines end in `\n`; no blanks at their ends. Only the header when nothing was added.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace bue::cli

#endif  // BUE_CLI_TEXT_H_
