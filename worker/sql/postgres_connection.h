// PostgresConnection is one connection to a PostgreSQL server, through libpq. It never waits longer
// than its call may: when the deadline is over or the call cancelled, the server is told to stop
// and the connection is broken.
//
// Used by one thread at a time. Errors name the server, never the password.
#ifndef BUE_WORKER_SQL_POSTGRES_CONNECTION_H_
#define BUE_WORKER_SQL_POSTGRES_CONNECTION_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/sql/rows.h"
#include "worker/sql/sql_step.h"
#include "worker/sql/tables.h"

struct pg_conn;
struct pg_result;

namespace bue::worker {

// "db.example:5432, database 'reports', user 'bue'"
std::string NameOf(const PostgresOptions& options);

class PostgresConnection final {
 public:
  // Unavailable says why the server cannot be reached or does not let us in.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(const PostgresOptions& options,
                                                                  const SqlCall& call);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // Runs one or several statements. The rows of each result set go to `rows`; null drops them.
  // `tables` are for messages.
  absl::Status Run(const std::string& code, const SqlCall& call, Rows* rows = nullptr,
                   absl::Span<const Table> tables = {});

  // Runs `COPY … FROM STDIN`, filled with what `next` appends; it returns false at the end. Its
  // error ends the copy and is returned.
  using Producer = std::function<absl::StatusOr<bool>(std::string* buffer)>;
  absl::Status CopyIn(const std::string& statement, const SqlCall& call, const Producer& next);

  bool in_transaction() const;
  // Of no use any more.
  bool broken() const { return broken_; }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  using Result = std::unique_ptr<pg_result, Clear>;

  explicit PostgresConnection(const PostgresOptions& options) : name_(NameOf(options)) {}

  absl::Status Connect(const PostgresOptions& options, const SqlCall& call);
  absl::Status Send(const std::string& code, const SqlCall& call);
  absl::Status Flush(const SqlCall& call);
  absl::Status PutCopyData(const std::string& data, const SqlCall& call);
  absl::Status EndCopy(const absl::Status& status, const SqlCall& call);
  absl::Status Wait(short events, const SqlCall& call);
  // Null at the end of what was sent.
  absl::StatusOr<Result> Next(const SqlCall& call);
  absl::Status Lost();
  absl::Status Abandon(absl::Status reason);

  const std::string name_;
  pg_conn* connection_ = nullptr;
  bool broken_ = false;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_POSTGRES_CONNECTION_H_
