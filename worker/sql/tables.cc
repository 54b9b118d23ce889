// See tables.h.
// Not thread-safe while a table is made.
#include "worker/sql/tables.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/value/writer.h"

namespace bue::worker {
namespace {

using value::Reader;
using value::Token;
using value::Type;

bool ReadCell(Reader* reader, Cell* cell) {
  const size_t start = reader->offset();
  if (!reader->Read(&cell->token)) return false;
  uint64_t values = 0;
  if (cell->token.type == Type::kArray) values = cell->token.count;
  if (cell->token.type == Type::kMap) values = 2ull * cell->token.count;
  for (; values > 0; --values) {
    if (!reader->Skip()) return false;
  }
  cell->packed = reader->Since(start);
  return true;
}

absl::string_view WithoutHeader(absl::string_view packed) {
  Reader reader(packed);
  Token token;
  reader.Read(&token);
  return reader.rest();
}

// The value is a list of nothing but dicts.
bool LooksLikeRows(const Cell& cell) {
  if (cell.token.type != Type::kArray) return false;
  Reader reader(WithoutHeader(cell.packed));
  for (uint32_t i = 0; i < cell.token.count; ++i) {
    Cell element;
    if (!ReadCell(&reader, &element) || element.token.type != Type::kMap) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Table> Table::Make(const SqlInput& input, int number, absl::string_view name) {
  Table table(number, name);
  RETURN_IF_ERROR(table.FindRows(input));
  RETURN_IF_ERROR(table.FindColumns());
  return table;
}

absl::Status Table::Refuse(absl::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat("input ", number_, " (table '", name_, "') ", what,
                   "; a SQL step takes a list of dicts, a dict with one such list, or a dict"));
}

absl::Status Table::FindRows(const SqlInput& input) {
  if (input.is_list) {
    rows_ = input.value;
    return absl::OkStatus();
  }
  if (input.value.empty()) return Refuse("is None");
  Reader reader(input.value);
  Token token;
  if (reader.Read(&token) && token.type == Type::kArray) {
    rows_ = reader.rest();
    expected_rows_ = token.count;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(reader.status());
  if (token.type == Type::kMap) return FindRowsInDict(input.value);
  return Refuse(absl::StrCat("is of type ", value::PythonTypeName(token)));
}

absl::Status Table::FindRowsInDict(absl::string_view dict) {
  Reader reader(dict);
  Token token;
  reader.Read(&token);
  std::optional<Cell> filled, empty;
  int filled_count = 0, empty_count = 0;
  for (uint32_t i = 0; i < token.count; ++i) {
    Cell cell;
    if (!reader.Skip() || !ReadCell(&reader, &cell)) {
      RETURN_IF_ERROR(reader.status());
      return absl::InvalidArgumentError("broken MessagePack: a dict is cut short");
    }
    if (!LooksLikeRows(cell)) continue;
    (cell.token.count > 0 ? filled : empty) = cell;
    ++(cell.token.count > 0 ? filled_count : empty_count);
  }
  if (filled_count == 0 && empty_count == 1) filled = empty;
  if (filled_count > 1 || (filled_count == 0 && empty_count != 1)) {
    rows_ = dict;
    return absl::OkStatus();
  }
  rows_ = WithoutHeader(filled->packed);
  const size_t start = filled->packed.data() - dict.data();
  envelope_ = Envelope{.before = dict.substr(0, start),
                       .after = dict.substr(start + filled->packed.size())};
  return absl::OkStatus();
}

std::string Table::FillEnvelope(absl::string_view rows, uint64_t count) const {
  std::string out;
  out.reserve(envelope_->before.size() + 5 + rows.size() + envelope_->after.size());
  value::Writer writer(&out);
  writer.Raw(envelope_->before);
  writer.ArrayHeader(static_cast<uint32_t>(count));
  writer.Raw(rows);
  writer.Raw(envelope_->after);
  return out;
}

absl::Status Table::FindColumns() {
  Reader reader(rows_);
  Token row;
  while (reader.Read(&row)) {
    if (row.type != Type::kMap) {
      return Refuse(absl::StrCat("is a list whose element ", row_count_, " is of type ",
                                 value::PythonTypeName(row)));
    }
    RETURN_IF_ERROR(FindColumnsInRow(row, &reader));
    ++row_count_;
  }
  RETURN_IF_ERROR(reader.status());
  if (expected_rows_.value_or(row_count_) == row_count_) return absl::OkStatus();
  return Refuse(
      absl::StrCat("is broken: a list of ", *expected_rows_, " elements with ", row_count_));
}

absl::Status Table::FindColumnsInRow(const Token& row, Reader* reader) {
  for (uint32_t i = 0; i < row.count; ++i) {
    ASSIGN_OR_RETURN(const size_t column, ColumnOf(reader, i));
    Cell cell;
    if (!ReadCell(reader, &cell)) {
      RETURN_IF_ERROR(reader->status());
      return Refuse("is cut short");
    }
    const uint32_t kind = KindOf(cell.token);
    if (kind == 0) {
      return Refuse(absl::StrCat("has a broken ", value::PythonTypeName(cell.token), " in column '",
                                 columns_[column].name, "'"));
    }
    columns_[column].kinds |= kind;
  }
  return absl::OkStatus();
}

// Reads a key. Rows mostly have the same keys in the same order: `guess` is tried first.
absl::StatusOr<size_t> Table::ColumnOf(Reader* reader, size_t guess) {
  if (guess < columns_.size() && reader->SkipPrefix(columns_[guess].packed_key)) return guess;
  Cell key;
  if (!ReadCell(reader, &key)) {
    RETURN_IF_ERROR(reader->status());
    return Refuse("is cut short");
  }
  if (auto known = column_by_key_.find(key.packed); known != column_by_key_.end()) {
    return known->second;
  }
  return AddKey(key.token, key.packed);
}

absl::StatusOr<size_t> Table::AddKey(const Token& key, absl::string_view packed) {
  std::string name;
  if (key.type == Type::kNil) name = "None";
  RETURN_IF_ERROR(AppendCellText({.token = key, .packed = packed}, &name));
  if (name.find('\0') != std::string::npos) {
    return Refuse("has a key with a NUL character, which no column's name can have");
  }
  auto same = [&name](const Column& column) { return column.name == name; };
  const auto known = std::find_if(columns_.begin(), columns_.end(), same);
  const size_t column = known - columns_.begin();
  if (known == columns_.end()) {
    if (columns_.size() == kColumnsMax) {
      return Refuse(absl::StrCat("has more than ", kColumnsMax, " different keys"));
    }
    columns_.push_back({.name = std::move(name), .packed_key = packed});
  }
  column_by_key_.emplace(packed, column);
  return column;
}

void Table::Cursor::Read(Cell* cells) {
  const std::vector<Column>& columns = table_->columns_;
  for (size_t i = 0; i < columns.size(); ++i) cells[i].token.type = Type::kNil;
  Token row;
  if (!reader_.Read(&row)) return;
  for (uint32_t i = 0; i < row.count; ++i) {
    size_t column = i;
    if (i >= columns.size() || !reader_.SkipPrefix(columns[i].packed_key)) {
      const size_t start = reader_.offset();
      reader_.Skip();
      column = table_->column_by_key_.find(reader_.Since(start))->second;
    }
    ReadCell(&reader_, &cells[column]);
  }
}

std::string QuotedName(absl::string_view name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

bool Names(absl::string_view code, absl::string_view name) {
  if (name.empty() || name.size() > code.size()) return false;
  auto in_word = [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || (static_cast<uint8_t>(c) & 0x80) != 0;
  };
  for (size_t i = 0; i + name.size() <= code.size(); ++i) {
    if (i > 0 && in_word(code[i - 1])) continue;
    const size_t end = i + name.size();
    if (end < code.size() && in_word(code[end])) continue;
    if (absl::EqualsIgnoreCase(code.substr(i, name.size()), name)) return true;
  }
  return false;
}

namespace {

std::string TableName(const SqlCall& call, size_t input) {
  return input == 0 ? call.table : absl::StrCat("pipe", input);
}

}  // namespace

std::string NoteOnColumns(absl::Span<const Table> tables) {
  std::string out;
  for (const Table& table : tables) {
    if (!table.columns().empty()) continue;
    const absl::string_view what =
        table.row_count() == 0 ? "an empty list" : "a list of empty dicts";
    absl::StrAppend(&out, ": input ", table.number(), " of the step is ", what, ", so table '",
                    table.name(), "' has no columns");
  }
  return out;
}

std::string NoteOnTables(const SqlCall& call) {
  if (call.inputs.empty()) return " (the step has no inputs)";
  std::string names;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    absl::StrAppend(&names, i == 0 ? "" : ", ", "'", TableName(call, i), "'");
  }
  return absl::StrCat(" (the step's inputs are tables ", names, ")");
}

absl::StatusOr<std::vector<Table>> TablesNamedIn(absl::string_view code, const SqlCall& call) {
  std::vector<Table> tables;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const std::string name = TableName(call, i);
    if (!Names(code, name)) continue;
    for (const Table& table : tables) {
      if (absl::EqualsIgnoreCase(table.name(), name)) {
        return absl::InvalidArgumentError(absl::StrCat("the step's table is called '", table.name(),
                                                       "', and so is input ", i + 1));
      }
    }
    ASSIGN_OR_RETURN(Table table, Table::Make(call.inputs[i], static_cast<int>(i) + 1, name));
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace bue::worker
