// RunSqlite, see sql_step.h. A single statement that only reads, over one input that it does not
// join with itself, runs over the input in place; else the inputs become real tables, which SQLite
// gives the indexes that joins want.
//
// Every call has a connection of its own, used by the calling thread only.
#include <sqlite3.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/sql/placeholders.h"
#include "worker/sql/rows.h"
#include "worker/sql/sql_step.h"
#include "worker/sql/sqlite_rows.h"
#include "worker/sql/tables.h"

namespace bue::worker {
namespace {

// Instructions of SQLite's machine between two looks at the clock: some tens of microseconds.
constexpr int kInstructionsBetweenChecks = 1000;

// The PRAGMAs that neither reach outside the call's database nor change how the process uses
// memory.
constexpr absl::string_view kPragmas[] = {
    "case_sensitive_like", "collation_list",     "compile_options",
    "database_list",       "foreign_key_check",  "foreign_key_list",
    "foreign_keys",        "function_list",      "index_info",
    "index_list",          "index_xinfo",        "integrity_check",
    "quick_check",         "recursive_triggers", "reverse_unordered_selects",
    "table_info",          "table_list",         "table_xinfo",
    "user_version"};

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

// Where in the code the next statement begins.
struct Script {
  size_t offset = 0;
  int statement = 0;  // The number of the last one prepared, from 1.
  size_t start = 0;   // And where it began.
};

class Session final {
 public:
  Session(const SqlCall& call, const std::string& code, const std::vector<Table>& tables)
      : call_(call), code_(code), tables_(tables) {}
  ~Session() { sqlite3_close(connection_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  absl::Status Open();
  // False: it is not possible, and nothing was run.
  absl::StatusOr<bool> RunInPlace(Rows* rows);
  absl::Status LoadTables();
  absl::Status RunAll(Rows* rows);

 private:
  static int OnProgress(void* session);
  static int Authorize(void* session, int action, const char* first, const char* second,
                       const char* database, const char* trigger);

  absl::StatusOr<Statement> PrepareNext(Script* script);
  absl::Status Execute(sqlite3_stmt* statement, const Script& script, Rows* rows);
  absl::Status Do(const std::string& statement);
  absl::Status LoadTable(const Table& table);
  int Refuse(std::string what);
  absl::Status Error(absl::string_view place) const;
  std::string Explain(absl::string_view message) const;

  const SqlCall& call_;
  const std::string& code_;
  const std::vector<Table>& tables_;
  sqlite3* connection_ = nullptr;
  absl::Status stopped_;  // Why OnProgress ended a statement.
  std::string refused_;   // What Authorize did not allow.
};

int Session::OnProgress(void* session) {
  Session* self = static_cast<Session*>(session);
  self->stopped_ = StillWanted(self->call_);
  return self->stopped_.ok() ? 0 : 1;
}

int Session::Refuse(std::string what) {
  refused_ = std::move(what);
  return SQLITE_DENY;
}

int Session::Authorize(void* session, int action, const char* first, const char* second,
                       const char*, const char*) {
  Session* self = static_cast<Session*>(session);
  if (action == SQLITE_ATTACH || action == SQLITE_DETACH) {
    return self->Refuse("ATTACH, DETACH and VACUUM INTO: the step's tables lie in memory");
  }
  if (action == SQLITE_PRAGMA && std::find(std::begin(kPragmas), std::end(kPragmas),
                                           absl::AsciiStrToLower(first)) == std::end(kPragmas)) {
    return self->Refuse(absl::StrCat("PRAGMA ", first));
  }
  if (action == SQLITE_FUNCTION && absl::EqualsIgnoreCase(second, "load_extension")) {
    return self->Refuse("load_extension()");
  }
  return SQLITE_OK;
}

absl::Status Session::Open() {
  // Keeping statistics of memory would make all connections share a lock. Ignored after first use.
  static const int kConfigured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static_cast<void>(kConfigured);
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(":memory:", &connection_, kFlags, nullptr) != SQLITE_OK) {
    return absl::ResourceExhaustedError("SQLite cannot open a database in memory");
  }
  RETURN_IF_ERROR(Do("PRAGMA temp_store = MEMORY"));
  sqlite3_limit(connection_, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_progress_handler(connection_, kInstructionsBetweenChecks, &OnProgress, this);
  sqlite3_set_authorizer(connection_, &Authorize, this);
  return StillWanted(call_);
}

absl::Status Session::Do(const std::string& statement) {
  if (sqlite3_exec(connection_, statement.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return Error("while tables were made of the inputs");
}

// Adds what SQLite cannot know to its message.
std::string Session::Explain(absl::string_view message) const {
  std::string out(message);
  if (absl::StrContains(message, "no such column")) out += NoteOnColumns(tables_);
  if (absl::StrContains(message, "no such table")) out += NoteOnTables(call_);
  return out;
}

absl::Status Session::Error(absl::string_view place) const {
  if (!stopped_.ok()) return stopped_;
  const int code = sqlite3_errcode(connection_);
  if (code == SQLITE_NOMEM) return absl::ResourceExhaustedError("SQLite is out of memory");
  if (!refused_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("SQLite (", place, "): not allowed in a SQL step: ", refused_));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("SQLite (", place, "): ", Explain(sqlite3_errmsg(connection_))));
}

// The next statement of the code; null at its end.
absl::StatusOr<Statement> Session::PrepareNext(Script* script) {
  refused_.clear();
  while (script->offset < code_.size()) {
    const char* begin = code_.data() + script->offset;
    const char* tail = nullptr;
    sqlite3_stmt* statement = nullptr;
    script->start = script->offset;
    while (script->start < code_.size() && absl::ascii_isspace(code_[script->start])) {
      ++script->start;
    }
    const size_t left = code_.size() - script->offset;
    if (sqlite3_prepare_v2(connection_, begin, static_cast<int>(std::min<size_t>(left, INT32_MAX)),
                           &statement, &tail) != SQLITE_OK) {
      const int error = sqlite3_error_offset(connection_);
      const size_t at = error < 0 ? script->start : script->offset + error;
      return Error(PlaceOf(code_, script->statement + 1, at));
    }
    script->offset += tail - begin;
    if (statement == nullptr) continue;  // A comment, or nothing before a semicolon.
    ++script->statement;
    return Statement(statement);
  }
  return Statement();
}

absl::StatusOr<bool> Session::RunInPlace(Rows* rows) {
  SqliteRows source(&tables_[0]);
  if (!source.Show(connection_, tables_[0].name())) return false;
  Script script;
  absl::StatusOr<Statement> only = PrepareNext(&script);
  Script rest = script;
  bool possible =
      only.ok() && *only != nullptr && sqlite3_stmt_readonly(only->get()) != 0 && !source.looked_up;
  if (possible) {
    const absl::StatusOr<Statement> second = PrepareNext(&rest);
    possible = second.ok() && *second == nullptr;
  }
  const absl::Status status = possible ? Execute(only->get(), script, rows) : absl::OkStatus();
  only = Statement();  // Before its source goes.
  SqliteRows::Hide(connection_, tables_[0].name());
  if (!status.ok()) return status;
  return possible;
}

absl::Status Session::LoadTables() {
  if (tables_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Do("BEGIN"));
  for (const Table& table : tables_) RETURN_IF_ERROR(LoadTable(table));
  return Do("COMMIT");
}

absl::Status Session::LoadTable(const Table& table) {
  SqliteRows source(&table);
  const std::string name = QuotedName(table.name());
  const std::string source_name = absl::StrCat("bue_input_", table.number());
  if (!source.Show(connection_, source_name)) return Error("while tables were made of the inputs");
  absl::Status status = Do(absl::StrCat("CREATE TABLE ", name, "(", source.column_list(), ")"));
  if (status.ok()) status = Do(absl::StrCat("INSERT INTO ", name, " SELECT * FROM ", source_name));
  SqliteRows::Hide(connection_, source_name);
  return status;
}

absl::Status Session::RunAll(Rows* rows) {
  Script script;
  while (true) {
    RETURN_IF_ERROR(StillWanted(call_));
    ASSIGN_OR_RETURN(const Statement statement, PrepareNext(&script));
    if (statement == nullptr) return absl::OkStatus();
    RETURN_IF_ERROR(Execute(statement.get(), script, rows));
  }
}

void WriteValue(sqlite3_stmt* statement, int column, value::Writer* writer) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return writer->Int(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
      return writer->Double(sqlite3_column_double(statement, column));
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      const int size = sqlite3_column_bytes(statement, column);
      return writer->String(absl::string_view(text, size));
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
      const int size = sqlite3_column_bytes(statement, column);
      return writer->Bytes(absl::string_view(bytes, size));
    }
    default:
      return writer->Nil();
  }
}

absl::Status Session::Execute(sqlite3_stmt* statement, const Script& script, Rows* rows) {
  const int columns = sqlite3_column_count(statement);
  if (columns > 0) {
    std::vector<std::string> names;
    for (int i = 0; i < columns; ++i) names.emplace_back(sqlite3_column_name(statement, i));
    rows->Start(names);
  }
  int code = sqlite3_step(statement);
  for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
    if (columns == 0) continue;
    value::Writer* writer = rows->Begin();
    for (const Rows::Slot& slot : rows->slots()) {
      writer->Raw(slot.packed_key);
      WriteValue(statement, slot.source, writer);
    }
    RETURN_IF_ERROR(rows->End());
  }
  if (code == SQLITE_DONE) return absl::OkStatus();
  return Error(PlaceOf(code_, script.statement, script.start));
}

}  // namespace

absl::StatusOr<SqlResult> RunSqlite(const SqlCall& call) {
  const std::string code = ExpandPlaceholders(call.code, call.placeholders);
  ASSIGN_OR_RETURN(const std::vector<Table> tables, TablesNamedIn(code, call));
  Session session(call, code, tables);
  RETURN_IF_ERROR(session.Open());
  Rows rows(call.result_bytes_max);
  bool done = false;
  if (tables.size() == 1) {
    ASSIGN_OR_RETURN(done, session.RunInPlace(&rows));
  }
  if (!done) {
    RETURN_IF_ERROR(session.LoadTables());
    RETURN_IF_ERROR(session.RunAll(&rows));
  }
  return std::move(rows).Finish(EnvelopeOf(tables));
}

}  // namespace bue::worker
