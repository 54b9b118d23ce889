// SqliteRows shows a Table to SQLite as a virtual table: rows are read where they lie, and only the
// columns that a query uses are converted.
//
// Used by the thread of its connection only.
#ifndef BUE_WORKER_SQL_SQLITE_ROWS_H_
#define BUE_WORKER_SQL_SQLITE_ROWS_H_

#include <string>
#include <vector>

#include "worker/sql/tables.h"

struct sqlite3;

namespace bue::worker {

class SqliteRows final {
 public:
  // `table` outlives this.
  explicit SqliteRows(const Table* table);

  // Makes the rows readable as a table called `name`. This outlives the connection, or Hide.
  // False: SQLite's error says why.
  bool Show(sqlite3* connection, const std::string& name);
  static bool Hide(sqlite3* connection, const std::string& name);

  const Table& table() const { return *table_; }
  // Quoted, separated by commas: unique whatever the case, and at least one.
  const std::string& column_list() const { return column_list_; }

  // Set while statements are prepared: rows of this table are looked up by a column's value, as in
  // a join. That wants a real table, since those get indexes.
  bool looked_up = false;

 private:
  const Table* table_;
  std::string column_list_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_SQLITE_ROWS_H_
