// See postgres_connection.h. Everything goes through libpq's functions that do not block
// (https://www.postgresql.org/docs/15/libpq-async.html) and poll().
// Used by one thread at a time.
#include "worker/sql/postgres_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"
#include "worker/sql/postgres_values.h"

namespace bue::worker {
namespace {

// How soon a cancelled call notices.
constexpr absl::Duration kLongestPoll = absl::Milliseconds(20);

std::string OneLine(const char* message) {
  const absl::string_view text = message == nullptr ? "" : message;
  return absl::StrReplaceAll(absl::StripAsciiWhitespace(text), {{"\n", "; "}});
}

absl::string_view Field(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text == nullptr ? "" : text;
}

absl::StatusCode CodeOf(absl::string_view sqlstate) {
  if (sqlstate == "57014") return absl::StatusCode::kDeadlineExceeded;  // statement_timeout
  const absl::string_view kind = sqlstate.substr(0, 2);
  if (kind == "08" || kind == "53" || kind == "57") return absl::StatusCode::kUnavailable;
  if (kind == "40") return absl::StatusCode::kAborted;  // Deadlocks and the like.
  if (kind == "XX") return absl::StatusCode::kInternal;
  return absl::StatusCode::kInvalidArgument;
}

// Positions count characters from 1.
size_t OffsetOf(absl::string_view code, int position) {
  size_t offset = 0;
  for (; offset < code.size(); ++offset) {
    if ((code[offset] & 0xc0) != 0x80 && --position == 0) return offset;
  }
  return offset;
}

std::string PlaceOfError(const PGresult* result, const std::string& code, int statement) {
  int position = 0;
  if (!absl::SimpleAtoi(Field(result, PG_DIAG_STATEMENT_POSITION), &position)) {
    return absl::StrCat("statement ", statement);
  }
  const std::string place = PlaceOf(code, statement, OffsetOf(code, position));
  // All statements are parsed before the first is run.
  const bool syntax = Field(result, PG_DIAG_SQLSTATE) == "42601";
  return syntax ? place.substr(place.find("line")) : place;
}

absl::Status ErrorOf(const PGresult* result, absl::string_view place, absl::string_view note) {
  const absl::string_view sqlstate = Field(result, PG_DIAG_SQLSTATE);
  std::string message =
      absl::StrCat("PostgreSQL (", place, "): ", Field(result, PG_DIAG_MESSAGE_PRIMARY), note);
  for (int field : {PG_DIAG_MESSAGE_DETAIL, PG_DIAG_MESSAGE_HINT, PG_DIAG_CONTEXT}) {
    if (!Field(result, field).empty()) absl::StrAppend(&message, "; ", Field(result, field));
  }
  absl::StrAppend(&message, " [", sqlstate, "]");
  return absl::Status(CodeOf(sqlstate), OneLine(message.c_str()));
}

std::string NoteOn(const PGresult* result, const SqlCall& call, absl::Span<const Table> tables) {
  const absl::string_view sqlstate = Field(result, PG_DIAG_SQLSTATE);
  if (sqlstate == "42703") return NoteOnColumns(tables);
  if (sqlstate == "42P01") return NoteOnTables(call);
  return "";
}

// Takes the rows of a result set, each as a result of its own.
class RowReader {
 public:
  explicit RowReader(Rows* rows) : rows_(rows) {}

  void Start(const PGresult* result) {
    started_ = true;
    if (rows_ == nullptr) return;
    std::vector<std::string> names;
    types_.clear();
    for (int i = 0; i < PQnfields(result); ++i) {
      names.emplace_back(PQfname(result, i));
      types_.push_back(PQftype(result, i));
    }
    rows_->Start(names);
  }

  absl::Status Take(const PGresult* result) {
    if (!started_) Start(result);
    if (rows_ == nullptr) return absl::OkStatus();
    value::Writer* writer = rows_->Begin();
    std::string* bytes = rows_->bytes();
    for (const Rows::Slot& slot : rows_->slots()) {
      writer->Raw(slot.packed_key);
      if (PQgetisnull(result, 0, slot.source)) {
        writer->Nil();
        continue;
      }
      const absl::string_view text(PQgetvalue(result, 0, slot.source),
                                   PQgetlength(result, 0, slot.source));
      AppendPostgresValue(types_[slot.source], text, bytes);
    }
    return rows_->End();
  }

  void End(const PGresult* result) {
    if (!started_) Start(result);  // No rows.
    started_ = false;
  }

 private:
  Rows* const rows_;
  bool started_ = false;
  std::vector<Oid> types_;
};

}  // namespace

std::string NameOf(const PostgresOptions& options) {
  auto or_default = [](const std::string& name) {
    return name.empty() ? std::string("(default)") : absl::StrCat("'", name, "'");
  };
  return absl::StrCat(options.host, ":", options.port, ", database ", or_default(options.database),
                      ", user ", or_default(options.user));
}

void PostgresConnection::Clear::operator()(pg_result* result) const { PQclear(result); }

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(
    const PostgresOptions& options, const SqlCall& call) {
  std::unique_ptr<PostgresConnection> connection(new PostgresConnection(options));
  RETURN_IF_ERROR(connection->Connect(options, call));
  return connection;
}

PostgresConnection::~PostgresConnection() { PQfinish(connection_); }

absl::Status PostgresConnection::Connect(const PostgresOptions& options, const SqlCall& call) {
  const char* const keys[] = {"host",
                              "port",
                              "user",
                              "password",
                              "dbname",
                              "application_name",
                              "client_encoding",
                              "tcp_user_timeout",
                              nullptr};
  const char* const values[] = {options.host.c_str(),
                                options.port.c_str(),
                                options.user.c_str(),
                                options.password.c_str(),
                                options.database.c_str(),
                                "bue",
                                "UTF8",
                                "30000",
                                nullptr};
  connection_ = PQconnectStartParams(keys, values, /*expand_dbname=*/0);
  if (connection_ == nullptr) return absl::ResourceExhaustedError("libpq is out of memory");
  // Notices would go to standard error.
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);
  SqlCall connect;
  connect.cancelled = call.cancelled;
  connect.deadline = std::min(call.deadline, absl::Now() + options.connect_timeout);
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
    const absl::Status waited = Wait(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, connect);
    if (!waited.ok()) {
      if (StillWanted(call).ok()) break;  // It was connect_timeout.
      return waited;
    }
    state = PQconnectPoll(connection_);
    if (state == PGRES_POLLING_FAILED) break;
  }
  if (state == PGRES_POLLING_OK && PQsetnonblocking(connection_, 1) == 0) return absl::OkStatus();
  const std::string why = OneLine(PQerrorMessage(connection_));
  return absl::UnavailableError(absl::StrCat(
      "cannot connect to PostgreSQL at ", name_, ": ",
      why.empty() ? absl::StrCat("no answer within ", absl::FormatDuration(options.connect_timeout))
                  : why));
}

bool PostgresConnection::in_transaction() const {
  return PQtransactionStatus(connection_) != PQTRANS_IDLE;
}

absl::Status PostgresConnection::Lost() {
  broken_ = true;
  return absl::UnavailableError(absl::StrCat("the connection to PostgreSQL at ", name_,
                                             " was lost: ", OneLine(PQerrorMessage(connection_))));
}

// Closing alone would leave the server at work until it next writes.
absl::Status PostgresConnection::Abandon(absl::Status reason) {
  broken_ = true;
  if (PGcancel* cancel = PQgetCancel(connection_); cancel != nullptr) {
    char problem[256];
    PQcancel(cancel, problem, sizeof(problem));
    PQfreeCancel(cancel);
  }
  return reason;
}

absl::Status PostgresConnection::Wait(short events, const SqlCall& call) {
  while (true) {
    absl::Status wanted = StillWanted(call);
    if (!wanted.ok()) return Abandon(std::move(wanted));
    pollfd poll_for{.fd = PQsocket(connection_), .events = events, .revents = 0};
    const absl::Duration longest = std::min(kLongestPoll, call.deadline - absl::Now());
    const int64_t ms = absl::ToInt64Milliseconds(absl::Ceil(longest, absl::Milliseconds(1)));
    if (poll(&poll_for, 1, static_cast<int>(std::max<int64_t>(ms, 0))) > 0) {
      return absl::OkStatus();
    }
  }
}

absl::Status PostgresConnection::Flush(const SqlCall& call) {
  while (true) {
    const int left = PQflush(connection_);
    if (left < 0) return Lost();
    if (left == 0) return absl::OkStatus();
    RETURN_IF_ERROR(Wait(POLLIN | POLLOUT, call));
    // The server may be waiting for us to read.
    if (PQconsumeInput(connection_) == 0) return Lost();
  }
}

absl::Status PostgresConnection::Send(const std::string& code, const SqlCall& call) {
  if (code.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("the SQL text holds a NUL character");
  }
  if (PQsendQuery(connection_, code.c_str()) == 0) return Lost();
  PQsetSingleRowMode(connection_);
  return Flush(call);
}

absl::StatusOr<PostgresConnection::Result> PostgresConnection::Next(const SqlCall& call) {
  while (PQisBusy(connection_)) {
    RETURN_IF_ERROR(Wait(POLLIN, call));
    if (PQconsumeInput(connection_) == 0) return Lost();
  }
  return Result(PQgetResult(connection_));
}

absl::Status PostgresConnection::Run(const std::string& code, const SqlCall& call, Rows* rows,
                                     absl::Span<const Table> tables) {
  RETURN_IF_ERROR(Send(code, call));
  RowReader reader(rows);
  absl::Status status;
  for (int statement = 1;;) {
    ASSIGN_OR_RETURN(const Result result, Next(call));
    if (result == nullptr) return status;
    switch (PQresultStatus(result.get())) {
      case PGRES_SINGLE_TUPLE:
        if (absl::Status taken = reader.Take(result.get()); !taken.ok()) {
          return Abandon(std::move(taken));
        }
        break;
      case PGRES_TUPLES_OK:
        reader.End(result.get());
        ++statement;
        break;
      case PGRES_COMMAND_OK:
      case PGRES_EMPTY_QUERY:
        ++statement;
        break;
      case PGRES_COPY_IN:
      case PGRES_COPY_OUT:
      case PGRES_COPY_BOTH:
        return Abandon(absl::InvalidArgumentError(
            absl::StrCat("PostgreSQL (statement ", statement,
                         "): COPY from STDIN or to STDOUT is not possible in a SQL step")));
      default:
        if (PQstatus(connection_) == CONNECTION_BAD) return Lost();
        status = ErrorOf(result.get(), PlaceOfError(result.get(), code, statement),
                         NoteOn(result.get(), call, tables));
    }
  }
}

absl::Status PostgresConnection::PutCopyData(const std::string& data, const SqlCall& call) {
  while (true) {
    const int sent = PQputCopyData(connection_, data.data(), static_cast<int>(data.size()));
    if (sent > 0) return Flush(call);
    if (sent < 0) return Lost();
    RETURN_IF_ERROR(Flush(call));
  }
}

absl::Status PostgresConnection::EndCopy(const absl::Status& status, const SqlCall& call) {
  const std::string why(status.message());
  while (true) {
    const int ended = PQputCopyEnd(connection_, status.ok() ? nullptr : why.c_str());
    if (ended > 0) return Flush(call);
    if (ended < 0) return Lost();
    RETURN_IF_ERROR(Flush(call));
  }
}

absl::Status PostgresConnection::CopyIn(const std::string& statement, const SqlCall& call,
                                        const Producer& next) {
  RETURN_IF_ERROR(Send(statement, call));
  ASSIGN_OR_RETURN(const Result start, Next(call));
  absl::Status produced;
  if (PQresultStatus(start.get()) == PGRES_COPY_IN) {
    std::string buffer;
    while (true) {
      buffer.clear();
      const absl::StatusOr<bool> more = next(&buffer);
      produced = more.status();
      if (!produced.ok()) break;
      RETURN_IF_ERROR(PutCopyData(buffer, call));
      if (!*more) break;
    }
    RETURN_IF_ERROR(EndCopy(produced, call));
  } else if (start != nullptr) {
    produced = ErrorOf(start.get(), "while an input was loaded", "");
  }
  while (true) {
    ASSIGN_OR_RETURN(const Result result, Next(call));
    if (result == nullptr) return produced;
    if (PQstatus(connection_) == CONNECTION_BAD) return Lost();
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK && produced.ok()) {
      produced = ErrorOf(result.get(), "while an input was loaded", "");
    }
  }
}

}  // namespace bue::worker
