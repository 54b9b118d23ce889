// See sqlite_rows.h. The functions are those of SQLite's interface of virtual tables
// (https://www.sqlite.org/vtab.html).
// Used by the thread of its connection only.
#include "worker/sql/sqlite_rows.h"

#include <sqlite3.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/value/extensions.h"
#include "worker/sql/rows.h"

namespace bue::worker {
namespace {

using value::Ext;
using value::Token;
using value::Type;

struct RowsTable : sqlite3_vtab {
  SqliteRows* rows = nullptr;
};

struct RowsCursor : sqlite3_vtab_cursor {
  explicit RowsCursor(const Table& table)
      : table(&table), cursor(&table), cells(table.columns().size()) {}

  // Parses the row when its first column is asked for.
  const Cell& At(int column) {
    if (!parsed) cursor.Read(cells.data());
    parsed = true;
    return cells[column];
  }

  const Table* table;
  Table::Cursor cursor;
  std::vector<Cell> cells;
  int64_t row = 0;
  bool parsed = false;
};

RowsCursor* Get(sqlite3_vtab_cursor* cursor) { return static_cast<RowsCursor*>(cursor); }

int Connect(sqlite3* connection, void* rows, int, const char* const*, sqlite3_vtab** out, char**) {
  auto table = std::make_unique<RowsTable>();
  table->rows = static_cast<SqliteRows*>(rows);
  const std::string declaration = absl::StrCat("CREATE TABLE x(", table->rows->column_list(), ")");
  const int code = sqlite3_declare_vtab(connection, declaration.c_str());
  if (code == SQLITE_OK) *out = table.release();
  return code;
}

int Disconnect(sqlite3_vtab* table) {
  delete static_cast<RowsTable*>(table);
  return SQLITE_OK;
}

// The condition is `column = something that another table or an expression gives`, as in joins.
bool IsLookup(sqlite3_index_info* info, int condition) {
  if (info->aConstraint[condition].op != SQLITE_INDEX_CONSTRAINT_EQ) return false;
  sqlite3_value* constant = nullptr;
  if (sqlite3_vtab_rhs_value(info, condition, &constant) == SQLITE_OK) return false;
  return sqlite3_vtab_in(info, condition, -1) == 0;
}

// Always the whole table; SQLite checks the conditions.
int BestIndex(sqlite3_vtab* table, sqlite3_index_info* info) {
  SqliteRows* rows = static_cast<RowsTable*>(table)->rows;
  for (int i = 0; i < info->nConstraint; ++i) {
    if (IsLookup(info, i)) rows->looked_up = true;
  }
  info->estimatedRows = static_cast<sqlite3_int64>(rows->table().row_count());
  info->estimatedCost = static_cast<double>(rows->table().row_count()) + 1;
  return SQLITE_OK;
}

int Open(sqlite3_vtab* table, sqlite3_vtab_cursor** out) {
  *out = new RowsCursor(static_cast<RowsTable*>(table)->rows->table());
  return SQLITE_OK;
}

int Close(sqlite3_vtab_cursor* cursor) {
  delete Get(cursor);
  return SQLITE_OK;
}

int Filter(sqlite3_vtab_cursor* base, int, const char*, int, sqlite3_value**) {
  RowsCursor* cursor = Get(base);
  cursor->cursor = Table::Cursor(cursor->table);
  cursor->row = 0;
  cursor->parsed = false;
  return SQLITE_OK;
}

int Next(sqlite3_vtab_cursor* base) {
  RowsCursor* cursor = Get(base);
  if (!cursor->parsed) cursor->cursor.Skip();
  cursor->parsed = false;
  ++cursor->row;
  return SQLITE_OK;
}

// Counted, since the last row's bytes are behind the reader once it is parsed.
int Eof(sqlite3_vtab_cursor* base) {
  RowsCursor* cursor = Get(base);
  return static_cast<uint64_t>(cursor->row) >= cursor->table->row_count();
}

int RowId(sqlite3_vtab_cursor* base, sqlite3_int64* out) {
  *out = Get(base)->row + 1;
  return SQLITE_OK;
}

void GiveText(sqlite3_context* context, const Cell& cell) {
  std::string text;
  const absl::Status status = AppendCellText(cell, &text);
  if (!status.ok()) {
    const std::string message(status.message());
    return sqlite3_result_error(context, message.data(), static_cast<int>(message.size()));
  }
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void GiveExtension(sqlite3_context* context, const Cell& cell) {
  if (static_cast<Ext>(cell.token.ext) != Ext::kTimeDelta) return GiveText(context, cell);
  value::TimeDelta delta;
  value::Decode(cell.token.bytes, &delta);
  const int64_t seconds = delta.days * 86400 + delta.seconds;
  sqlite3_result_double(context, static_cast<double>(seconds) + delta.microseconds / 1e6);
}

// The input outlives the connection, so strings need no copy.
void Give(sqlite3_context* context, const Cell& cell) {
  const Token& token = cell.token;
  switch (token.type) {
    case Type::kNil:
      return sqlite3_result_null(context);
    case Type::kBool:
      return sqlite3_result_int(context, token.boolean ? 1 : 0);
    case Type::kInt:
      return sqlite3_result_int64(context, token.integer);
    case Type::kDouble:
      return sqlite3_result_double(context, token.real);
    case Type::kString:
      return sqlite3_result_text64(context, token.bytes.data(), token.bytes.size(), SQLITE_STATIC,
                                   SQLITE_UTF8);
    case Type::kBytes:
      // Never a null pointer, which would be NULL instead of an empty blob.
      return sqlite3_result_blob64(context, token.bytes.empty() ? "" : token.bytes.data(),
                                   token.bytes.size(), SQLITE_STATIC);
    case Type::kUint:
    case Type::kArray:
    case Type::kMap:
      return GiveText(context, cell);
    case Type::kExt:
      return GiveExtension(context, cell);
  }
}

int GiveColumn(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  RowsCursor* cursor = Get(base);
  if (static_cast<size_t>(column) >= cursor->cells.size()) {  // The stand-in for no columns.
    sqlite3_result_null(context);
    return SQLITE_OK;
  }
  Give(context, cursor->At(column));
  return SQLITE_OK;
}

// Without xCreate the module itself is a table that is there without being created.
constexpr sqlite3_module kModule = {
    .iVersion = 0,
    .xConnect = &Connect,
    .xBestIndex = &BestIndex,
    .xDisconnect = &Disconnect,
    .xOpen = &Open,
    .xClose = &Close,
    .xFilter = &Filter,
    .xNext = &Next,
    .xEof = &Eof,
    .xColumn = &GiveColumn,
    .xRowid = &RowId,
};

std::vector<std::string> UniqueNames(const Table& table) {
  std::vector<std::string> names, folded;
  auto taken = [&folded](const std::string& name) {
    return std::find(folded.begin(), folded.end(), absl::AsciiStrToLower(name)) != folded.end();
  };
  for (const Table::Column& column : table.columns()) {
    std::string name = column.name;
    for (int i = 2; taken(name); ++i) name = absl::StrCat(column.name, "_", i);
    folded.push_back(absl::AsciiStrToLower(name));
    names.push_back(std::move(name));
  }
  if (names.empty()) names.emplace_back(kNoColumn);
  return names;
}

}  // namespace

SqliteRows::SqliteRows(const Table* table) : table_(table) {
  for (const std::string& name : UniqueNames(*table)) {
    absl::StrAppend(&column_list_, column_list_.empty() ? "" : ", ", QuotedName(name));
  }
}

bool SqliteRows::Show(sqlite3* connection, const std::string& name) {
  return sqlite3_create_module_v2(connection, name.c_str(), &kModule, this, nullptr) == SQLITE_OK;
}

bool SqliteRows::Hide(sqlite3* connection, const std::string& name) {
  return sqlite3_create_module_v2(connection, name.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
}

}  // namespace bue::worker
