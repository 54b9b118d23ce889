// Cells of the tables that SQL steps read: values as they lie in the inputs, their kinds, and the
// text that databases without a type for them get.
// Stateless.
#ifndef BUE_WORKER_SQL_CELLS_H_
#define BUE_WORKER_SQL_CELLS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/value/reader.h"

namespace bue::worker {

// Views into an input.
struct Cell {
  value::Token token;        // Of arrays and maps only the header.
  absl::string_view packed;  // The whole value.
};

// What a cell holds. Bits, so that a column's kinds are a set.
enum CellKind : uint32_t {
  kNullCell = 1 << 0,
  kBoolCell = 1 << 1,
  kIntCell = 1 << 2,      // Exact as a double.
  kWideIntCell = 1 << 3,  // Within int64, beyond 2^53.
  kBigIntCell = 1 << 4,   // Beyond int64.
  kFloatCell = 1 << 5,
  kTextCell = 1 << 6,
  kBytesCell = 1 << 7,
  kNaiveDateTimeCell = 1 << 8,
  kAwareDateTimeCell = 1 << 9,
  kDateCell = 1 << 10,
  kNaiveTimeCell = 1 << 11,
  kAwareTimeCell = 1 << 12,
  kTimeDeltaCell = 1 << 13,
  kDecimalCell = 1 << 14,
  kUuidCell = 1 << 15,
  kJsonCell = 1 << 16,     // list, dict, set, frozenset, tuple
  kForeignCell = 1 << 17,  // Pickled objects and extensions that are not ours.
};

// 0 if an extension's payload is broken.
uint32_t KindOf(const value::Token& token);

// The cell as text, see sql_step.h; None appends nothing. InvalidArgument for foreign objects.
absl::Status AppendCellText(const Cell& cell, std::string* out);

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_CELLS_H_
