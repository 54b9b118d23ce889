// PostgresPool, see sql_step.h. A call is one transaction: the inputs are copied into temporary
// tables that end with it, the step's code runs, and it is committed. Then the connection forgets
// what the session set and goes back to the others.
//
// Thread-safe.
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "worker/sql/placeholders.h"
#include "worker/sql/postgres_columns.h"
#include "worker/sql/postgres_connection.h"
#include "worker/sql/postgres_values.h"
#include "worker/sql/rows.h"
#include "worker/sql/sql_step.h"
#include "worker/sql/tables.h"

namespace bue::worker {
namespace {

// NAMEDATALEN - 1; longer names would be cut, and might then be equal.
constexpr size_t kNameBytesMax = 63;
constexpr size_t kCopyBufferBytes = 128 << 10;
// For putting a connection in order after a call.
constexpr absl::Duration kResetTimeout = absl::Seconds(5);

absl::Status CheckName(const Table& table, absl::string_view name) {
  if (!name.empty() && name.size() <= kNameBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("input ", table.number(), " (table '", table.name(), "') has the key '", name,
                   "'; names of PostgreSQL's columns have 1 to ", kNameBytesMax, " bytes"));
}

// Names that are not quoted in the code mean their lower case.
std::string NameInDatabase(const Table& table, absl::string_view code) {
  const std::string quoted = QuotedName(table.name());
  return absl::StrContains(code, quoted) ? quoted : QuotedName(absl::AsciiStrToLower(table.name()));
}

absl::StatusOr<std::string> CreateStatement(const Table& table, absl::string_view code) {
  std::string columns;
  for (const Table::Column& column : table.columns()) {
    RETURN_IF_ERROR(CheckName(table, column.name));
    absl::StrAppend(&columns, columns.empty() ? "" : ", ", QuotedName(column.name), " ",
                    PostgresTypeName(PostgresTypeFor(column.kinds)));
  }
  return absl::StrCat("CREATE TEMP TABLE ", NameInDatabase(table, code), " (", columns,
                      ") ON COMMIT DROP;");
}

// The rows as COPY's text, a buffer at a time.
class CopyText {
 public:
  explicit CopyText(const Table* table)
      : table_(table), cursor_(table), cells_(table->columns().size()) {
    for (const Table::Column& column : table->columns()) {
      types_.push_back(PostgresTypeFor(column.kinds));
    }
  }

  // False once all rows were appended.
  absl::StatusOr<bool> Next(std::string* buffer) {
    while (!cursor_.AtEnd() && buffer->size() < kCopyBufferBytes) {
      cursor_.Read(cells_.data());
      RETURN_IF_ERROR(AppendRow(buffer));
    }
    return !cursor_.AtEnd();
  }

 private:
  absl::Status AppendRow(std::string* buffer) const {
    for (size_t i = 0; i < cells_.size(); ++i) {
      if (i > 0) buffer->push_back('\t');
      const absl::Status status = AppendCopyField(cells_[i], types_[i], buffer);
      if (status.ok()) continue;
      return absl::InvalidArgumentError(absl::StrCat("column '", table_->columns()[i].name,
                                                     "' of input ", table_->number(), ": ",
                                                     status.message()));
    }
    buffer->push_back('\n');
    return absl::OkStatus();
  }

  const Table* const table_;
  Table::Cursor cursor_;
  std::vector<Cell> cells_;
  std::vector<PostgresType> types_;
};

absl::Status LoadTable(const Table& table, absl::string_view code, const SqlCall& call,
                       PostgresConnection* connection) {
  if (table.row_count() == 0) return absl::OkStatus();
  CopyText text(&table);
  const std::string copy =
      absl::StrCat("COPY pg_temp.", NameInDatabase(table, code), " FROM STDIN");
  return connection->CopyIn(copy, call, [&](std::string* buffer) { return text.Next(buffer); });
}

}  // namespace

PostgresOptions PostgresOptionsFromEnvironment() {
  PostgresOptions options;
  auto take = [](const char* variable, std::string* option) {
    const char* text = std::getenv(variable);
    if (text != nullptr && *text != '\0') *option = text;
  };
  take("POSTGRES_HOST", &options.host);
  take("POSTGRES_PORT", &options.port);
  take("POSTGRES_USER", &options.user);
  take("POSTGRES_PASSWORD", &options.password);
  take("POSTGRES_DATABASE", &options.database);
  return options;
}

class PostgresPool::Impl final {
 public:
  explicit Impl(PostgresOptions options) : options_(std::move(options)) {}

  absl::StatusOr<SqlResult> Run(const SqlCall& call);

 private:
  // The right to use a connection, and maybe one to use.
  struct Place {
    std::unique_ptr<PostgresConnection> connection;
  };

  absl::StatusOr<SqlResult> RunInPlace(const SqlCall& call, Place* place);
  absl::Status Begin(const std::string& code, const SqlCall& call, Place* place);
  absl::Status Transact(const std::string& code, const SqlCall& call,
                        const std::vector<Table>& tables, PostgresConnection* connection,
                        Rows* rows);
  absl::StatusOr<Place> Take(const SqlCall& call);
  void GiveBack(Place place);
  static void Reset(std::unique_ptr<PostgresConnection>* connection);

  // Constant after construction.
  const PostgresOptions options_;

  absl::Mutex mutex_;
  absl::CondVar freed_;
  int in_use_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::unique_ptr<PostgresConnection>> idle_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<PostgresPool::Impl::Place> PostgresPool::Impl::Take(const SqlCall& call) {
  absl::MutexLock lock(&mutex_);
  while (true) {
    RETURN_IF_ERROR(StillWanted(call));
    if (in_use_ < options_.connections_max) break;
    freed_.WaitWithTimeout(&mutex_, absl::Milliseconds(20));
  }
  ++in_use_;
  Place place;
  if (!idle_.empty()) {
    place.connection = std::move(idle_.back());  // The one used last is the likeliest to be alive.
    idle_.pop_back();
  }
  return place;
}

void PostgresPool::Impl::GiveBack(Place place) {
  Reset(&place.connection);
  absl::MutexLock lock(&mutex_);
  --in_use_;
  if (place.connection != nullptr) idle_.push_back(std::move(place.connection));
  freed_.Signal();
}

// Ends what the call left open and forgets what it set, or closes the connection.
void PostgresPool::Impl::Reset(std::unique_ptr<PostgresConnection>* connection) {
  if (*connection == nullptr) return;
  SqlCall call;
  call.deadline = absl::Now() + kResetTimeout;
  const bool usable =
      !(*connection)->broken() &&
      (!(*connection)->in_transaction() || (*connection)->Run("ROLLBACK", call).ok()) &&
      (*connection)->Run("DISCARD ALL", call).ok();
  if (!usable) connection->reset();
}

// A connection that was idle may have died since: then a new one takes its place.
absl::Status PostgresPool::Impl::Begin(const std::string& code, const SqlCall& call, Place* place) {
  if (place->connection != nullptr) {
    const absl::Status status = place->connection->Run(code, call);
    if (!place->connection->broken() && status.code() != absl::StatusCode::kUnavailable) {
      return status;
    }
    place->connection = nullptr;
    RETURN_IF_ERROR(StillWanted(call));
  }
  ASSIGN_OR_RETURN(place->connection, PostgresConnection::Open(options_, call));
  return place->connection->Run(code, call);
}

absl::Status PostgresPool::Impl::Transact(const std::string& code, const SqlCall& call,
                                          const std::vector<Table>& tables,
                                          PostgresConnection* connection, Rows* rows) {
  for (const Table& table : tables) RETURN_IF_ERROR(LoadTable(table, code, call, connection));
  RETURN_IF_ERROR(connection->Run(code, call, rows, tables));
  if (!connection->in_transaction()) return absl::OkStatus();  // The code has ended it.
  absl::Status committed = connection->Run("COMMIT", call);
  if (committed.ok() || !connection->broken()) return committed;
  return absl::Status(committed.code(), absl::StrCat(committed.message(),
                                                     "; whether the transaction was committed is "
                                                     "not known"));
}

absl::StatusOr<SqlResult> PostgresPool::Impl::RunInPlace(const SqlCall& call, Place* place) {
  const std::string code = ExpandPlaceholders(call.code, call.placeholders);
  ASSIGN_OR_RETURN(const std::vector<Table> tables, TablesNamedIn(code, call));
  std::string begin = absl::StrCat("BEGIN; ", kPostgresSettings);
  for (const Table& table : tables) {
    ASSIGN_OR_RETURN(const std::string create, CreateStatement(table, code));
    absl::StrAppend(&begin, " ", create);
  }
  RETURN_IF_ERROR(Begin(begin, call, place));
  Rows rows(call.result_bytes_max);
  RETURN_IF_ERROR(Transact(code, call, tables, place->connection.get(), &rows));
  return std::move(rows).Finish(EnvelopeOf(tables));
}

absl::StatusOr<SqlResult> PostgresPool::Impl::Run(const SqlCall& call) {
  ASSIGN_OR_RETURN(Place place, Take(call));
  absl::StatusOr<SqlResult> result = RunInPlace(call, &place);
  GiveBack(std::move(place));
  return result;
}

PostgresPool::PostgresPool(PostgresOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

PostgresPool::~PostgresPool() = default;

absl::StatusOr<SqlResult> PostgresPool::Run(const SqlCall& call) { return impl_->Run(call); }

}  // namespace bue::worker
