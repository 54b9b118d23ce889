// Tables: the inputs of a SQL step as rows and columns. What an input may be is said in sql_step.h.
// Rows stay where they are, in the input's bytes; making a table passes over them once, to find the
// columns and what they hold, and every cursor parses them again as it goes.
//
// Immutable after construction, so readable by several threads.
#ifndef BUE_WORKER_SQL_TABLES_H_
#define BUE_WORKER_SQL_TABLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/value/reader.h"
#include "worker/sql/cells.h"
#include "worker/sql/sql_step.h"

namespace bue::worker {

// As many as SQLite's tables have at most. Rows that each bring keys of their own are data that
// wants another shape.
inline constexpr size_t kColumnsMax = 2000;

class Table final {
 public:
  struct Column {
    std::string name;
    uint32_t kinds = 0;            // CellKinds of all rows that have the key.
    absl::string_view packed_key;  // As it first appears.
  };

  // `number` is the input's, from 1.
  static absl::StatusOr<Table> Make(const SqlInput& input, int number, absl::string_view name);

  const std::string& name() const { return name_; }
  int number() const { return number_; }
  absl::Span<const Column> columns() const { return columns_; }
  uint64_t row_count() const { return row_count_; }

  // The input is a dict around the list of rows.
  bool is_envelope() const { return envelope_.has_value(); }
  // The envelope with `rows` (elements one after the other) in the list's place.
  std::string FillEnvelope(absl::string_view rows, uint64_t count) const;

  // Walks the rows. The table outlives it.
  class Cursor final {
   public:
    explicit Cursor(const Table* table) : table_(table), reader_(table->rows_) {}

    bool AtEnd() const { return reader_.AtEnd(); }
    // Parses the row into `cells`, one for each column.
    void Read(Cell* cells);
    void Skip() { reader_.Skip(); }

   private:
    const Table* table_;
    value::Reader reader_;
  };

 private:
  struct Envelope {
    absl::string_view before;  // The dict up to the list, and what follows it.
    absl::string_view after;
  };

  Table(int number, absl::string_view name) : name_(name), number_(number) {}

  absl::Status FindRows(const SqlInput& input);
  absl::Status FindRowsInDict(absl::string_view dict);
  absl::Status FindColumns();
  absl::Status FindColumnsInRow(const value::Token& row, value::Reader* reader);
  absl::StatusOr<size_t> ColumnOf(value::Reader* reader, size_t guess);
  absl::StatusOr<size_t> AddKey(const value::Token& key, absl::string_view packed);
  absl::Status Refuse(absl::string_view what) const;

  std::string name_;
  int number_ = 0;
  absl::string_view rows_;  // Dicts one after the other.
  uint64_t row_count_ = 0;
  std::optional<uint64_t> expected_rows_;  // As a list's header says.
  std::optional<Envelope> envelope_;
  std::vector<Column> columns_;
  // By packed key: several may mean one column (1 and "1").
  absl::flat_hash_map<absl::string_view, size_t> column_by_key_;
};

// The tables of the inputs that `code` names.
absl::StatusOr<std::vector<Table>> TablesNamedIn(absl::string_view code, const SqlCall& call);

// What to add to a database's message about a column, or a table, that it does not know: which
// inputs have no columns at all; which tables there are. Empty if there is nothing to say.
std::string NoteOnColumns(absl::Span<const Table> tables);
std::string NoteOnTables(const SqlCall& call);

// The name in double quotes, as in SQL.
std::string QuotedName(absl::string_view name);

// True if `name` stands in `code` as a whole word, whatever the case.
bool Names(absl::string_view code, absl::string_view name);

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_TABLES_H_
