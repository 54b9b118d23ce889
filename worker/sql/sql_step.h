// SQL steps: a query over the values of other steps. SQLite runs in memory, one database per call;
// PostgreSQL runs in one transaction of a pooled connection.
//
// Inputs are tables. Input 1 has the step's table name, further ones are pipe1, pipe2, …. An input
// whose table the code never names is neither read nor checked. An input is
//   a list of dicts    its elements are the rows; [] is a table without rows and without columns
//   an envelope        a dict with exactly one member that is a non-empty list of dicts, or,
//   without
//                      such members, with exactly one empty list: that list. If input 1 is one, the
//                      value is the same dict with the list replaced by the rows
//   any other dict     one row
// and anything else is an error that names the type. Columns are the keys in order of first
// appearance, keys that are no str as their str(); what a row lacks is NULL. Several statements may
// follow each other: the last with a result set gives the value, a list of dicts; without one it
// is []. Of equal result columns the last gives the value.
//
// Placeholders are replaced in the code first: {{scope}} and whatever else `placeholders` has;
// {{uuid:x}} and {{uuid|x}} are one fresh name per x and call, fit for a table. Others stay.
//
// Cells in SQLite (columns have no type): None NULL; bool 0 or 1; int, float and str as they are;
// an int beyond 64 bits, Decimal, UUID, date, time: their text; datetime "2024-01-02 03:04:05",
// with fraction and offset where it has them; timedelta its seconds, REAL; bytes BLOB; list, dict,
// set: JSON text. A column whose name differs from an earlier one only by case gets "_2" appended.
// ATTACH, extensions and PRAGMAs that reach beyond the call's database are refused.
//
// Columns in PostgreSQL are typed by what all rows hold, see postgres_columns.h; names are exactly
// the keys (a query quotes those that are not lower case).
//
// Errors: InvalidArgument is the step's fault and says which statement; DeadlineExceeded and
// Cancelled come soon after the call's deadline or flag; ResourceExhausted for a result that is too
// large; Unavailable and Aborted (PostgreSQL) may be tried again.
#ifndef BUE_WORKER_SQL_SQL_STEP_H_
#define BUE_WORKER_SQL_SQL_STEP_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace bue::worker {

struct SqlInput {
  // One MessagePack value (empty is None), or, if `is_list`, elements of a list one after the other
  // without a header. Outlives the call.
  absl::string_view value;
  bool is_list = false;
};

struct SqlCall {
  std::string code;
  std::string table;  // Input 1's. May be empty if there are no inputs.
  std::vector<SqlInput> inputs;
  std::map<std::string, std::string> placeholders;
  absl::Time deadline = absl::InfiniteFuture();
  // Set by another thread to end the call. May be null.
  const std::atomic<bool>* cancelled = nullptr;
  // The value is made in memory; a query that yields more is stopped.
  uint64_t result_bytes_max = 1ull << 30;
};

// Of a result's rows, some that follow each other: at most kRowsPartBytes, unless it is one row.
inline constexpr size_t kRowsPartBytes = 256 << 10;
struct RowsPart {
  size_t bytes = 0;
  uint64_t rows = 0;
};

struct SqlResult {
  // True: `value` is the rows, MessagePack dicts one after the other. False: it is one envelope.
  bool is_list = true;
  std::string value;
  uint64_t elements = 0;        // Rows.
  std::vector<RowsPart> parts;  // All of `value`, if it is a list.
};

// Blocks; for a pool's thread. Thread-safe.
absl::StatusOr<SqlResult> RunSqlite(const SqlCall& call);

struct PostgresOptions {
  std::string host = "localhost";  // Or the directory of a unix socket.
  std::string port = "5432";
  std::string user;      // Empty: as libpq, the user of the process.
  std::string password;  // Never in a message.
  std::string database;  // Empty: as libpq, the user's name.
  int connections_max = 4;
  absl::Duration connect_timeout = absl::Seconds(10);
};

// POSTGRES_HOST, _PORT, _USER, _PASSWORD and _DATABASE, where they are set.
PostgresOptions PostgresOptionsFromEnvironment();

// Thread-safe. Connections are made when needed, kept, and thrown away when they broke.
class PostgresPool final {
 public:
  explicit PostgresPool(PostgresOptions options);
  // No call is under way any more.
  ~PostgresPool();

  // Blocks; waits for a connection if all are in use. The transaction is committed if no statement
  // failed.
  absl::StatusOr<SqlResult> Run(const SqlCall& call);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_SQL_STEP_H_
