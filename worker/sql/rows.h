// What a SQL step yields, and when it has to stop.
#ifndef BUE_WORKER_SQL_ROWS_H_
#define BUE_WORKER_SQL_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/value/writer.h"
#include "worker/sql/sql_step.h"
#include "worker/sql/tables.h"

namespace bue::worker {

// The column that stands in for all where a table without columns is not possible. It is left out
// of results.
inline constexpr absl::string_view kNoColumn = "bue_no_columns";

// Collects the rows of one result set after another, of which the last stays. For a row: Begin,
// then one value for each of `slots`, in order, then End. Not thread-safe.
class Rows final {
 public:
  struct Slot {
    std::string packed_key;
    int source = 0;  // The result column whose value it is.
  };

  explicit Rows(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // A new result set. Equal names share a slot, which the last of them fills.
  void Start(const std::vector<std::string>& columns);

  const std::vector<Slot>& slots() const { return slots_; }
  value::Writer* Begin() {
    writer_.Raw(header_);
    return &writer_;
  }
  // What the writer appends to.
  std::string* bytes() { return &bytes_; }
  // ResourceExhausted if the rows became too many bytes.
  absl::Status End() {
    ++count_;
    ++part_.rows;
    const size_t bytes = bytes_.size() - parts_end_;
    if (bytes > kRowsPartBytes) {
      EndPart(bytes);
    } else {
      part_.bytes = bytes;
    }
    return bytes_.size() <= bytes_max_ ? absl::OkStatus() : TooLarge();
  }

  // The step's value: the rows, or `envelope` around them if there is one.
  absl::StatusOr<SqlResult> Finish(const Table* envelope) &&;

 private:
  void EndPart(size_t bytes);
  absl::Status TooLarge() const;

  const uint64_t bytes_max_;
  std::vector<Slot> slots_;
  std::string header_;
  std::string bytes_;
  value::Writer writer_{&bytes_};
  uint64_t count_ = 0;
  std::vector<RowsPart> parts_;  // Full ones.
  RowsPart part_;                // Of the rows behind these.
  size_t parts_end_ = 0;         // Where part_ begins.
};

// The table around whose rows the result goes: input 1, if it is an envelope. Or null.
const Table* EnvelopeOf(const std::vector<Table>& tables);

// DeadlineExceeded or Cancelled once the call has to end.
absl::Status StillWanted(const SqlCall& call);

// "statement 2, line 3" of the code, counted from 1; the line is that of `offset`.
std::string PlaceOf(absl::string_view code, int statement, size_t offset);

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_ROWS_H_
