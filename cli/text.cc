#include "cli/text.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/environment.h"

namespace bue::cli {
namespace {

// Characters, not bytes: continuation bytes of UTF-8 take no room.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

bool LooksNumeric(absl::string_view text) {
  double number;
  return text == "-" || text.empty() || absl::SimpleAtod(text, &number);
}

std::string Padded(absl::string_view text, size_t width, bool right) {
  const std::string blanks(width - std::min(width, Width(text)), ' ');
  return right ? absl::StrCat(blanks, text) : absl::StrCat(text, blanks);
}

}  // namespace

std::string RunName(uint64_t run) { return absl::StrCat("r", run); }

absl::StatusOr<uint64_t> ParseRun(absl::string_view text) {
  uint64_t run = 0;
  const absl::string_view digits = absl::StripPrefix(text, "r");
  if (digits.empty() || digits[0] < '0' || digits[0] > '9' || !absl::SimpleAtoi(digits, &run) ||
      run == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text,
        "' is not a run: a run looks like r17, as `bue upload` prints it; see `bue status`"));
  }
  return run;
}

std::string HumanDuration(absl::Duration duration) {
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(duration));
  if (seconds < 10) return absl::StrFormat("%.2f s", seconds);
  if (seconds < 60) return absl::StrFormat("%.1f s", seconds);
  const auto whole = static_cast<int64_t>(std::min(seconds, 1e15));
  if (whole < 3600) return absl::StrFormat("%d min %d s", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%d h %d min", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%d d %d h", whole / 86400, whole / 3600 % 24);
}

std::string HumanTime(absl::Time time) {
  if (time == absl::UnixEpoch()) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone());
}

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double amount = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (amount >= 1024 && unit + 1 < std::size(units)) {
    amount /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", amount, units[unit]);
}

std::string OneLine(absl::string_view text, size_t width) {
  std::string line;
  size_t characters = 0;
  for (const char c : text) {
    if ((c & 0xC0) != 0x80 && ++characters > width) return absl::StrCat(line, "…");
    line.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  }
  return line;
}

std::string Visible(absl::string_view text) {
  std::string visible;
  visible.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
      absl::StrAppendFormat(&visible, "\\x%02x", c);
    } else if (c == 0xc2 && next >= 0x80 && next < 0xa0) {  // The same once more, in UTF-8.
      absl::StrAppendFormat(&visible, "\\x%02x", next);
      ++i;
    } else {
      visible.push_back(text[i]);
    }
  }
  return visible;
}

bool IsTerminal(int fd) { return isatty(fd) == 1; }

std::string Paint(Colour colour, absl::string_view text) {
  static const bool colours = IsTerminal(STDOUT_FILENO) && FromEnvironment("NO_COLOR").empty();
  if (!colours || colour == Colour::kNone) return std::string(text);
  const char* code = "";
  switch (colour) {
    case Colour::kNone:
      break;
    case Colour::kRed:
      code = "31";
      break;
    case Colour::kGreen:
      code = "32";
      break;
    case Colour::kYellow:
      code = "33";
      break;
    case Colour::kBold:
      code = "1";
      break;
  }
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

Table::Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void Table::Add(std::vector<std::string> cells) {
  cells.resize(rows_.front().size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  const size_t columns = rows_.front().size();
  std::vector<size_t> width(columns, 0);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (size_t row = 0; row < rows_.size(); ++row) {
    for (size_t column = 0; column < columns; ++column) {
      width[column] = std::max(width[column], Width(rows_[row][column]));
      if (row > 0 && !LooksNumeric(rows_[row][column])) right[column] = false;
    }
  }
  std::string text;
  for (size_t row = 0; row < rows_.size(); ++row) {
    std::string line;
    for (size_t column = 0; column < columns; ++column) {
      absl::StrAppend(&line, column == 0 ? "" : "  ",
                      Padded(rows_[row][column], width[column], right[column]));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, row == 0 ? Paint(Colour::kBold, line) : line, "\n");
  }
  return text;
}

}  // namespace bue::cli
