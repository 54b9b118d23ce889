// Facts about SQLite steps.
#include <atomic>
#include <cmath>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/value/json.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "tests/unit/sql/sql_testing.h"
#include "worker/sql/sql_step.h"

namespace bue::worker {
namespace {

using value::Writer;

std::string Query(absl::string_view code, std::vector<std::string> json_inputs = {}) {
  for (std::string& input : json_inputs) input = FromJson(input);
  return ToJson(RunSqlite(CallOf(code, json_inputs)));
}

void ExpectError(const std::string& outcome, const std::vector<std::string>& parts) {
  EXPECT_TRUE(absl::StartsWith(outcome, "INVALID_ARGUMENT")) << outcome;
  for (const std::string& part : parts) {
    EXPECT_TRUE(absl::StrContains(outcome, part)) << outcome << "\nlacks: " << part;
  }
}

constexpr char kRows[] = R"([{"k": "x", "n": 1}, {"k": "y", "n": 2}])";

TEST(SqliteStepTest, AQueryRunsOverTheRows) {
  EXPECT_EQ(Query("select k, n * 2 as twice from t order by n desc", {kRows}),
            R"([{"k": "y", "twice": 4}, {"k": "x", "twice": 2}])");
}

TEST(SqliteStepTest, AListObjectOfTheBucketIsReadAsItLies) {
  const std::string rows = FromJson(kRows).substr(1);
  SqlCall call = CallOf("select sum(n) as s from t", {});
  call.inputs.push_back({.value = rows, .is_list = true});
  EXPECT_EQ(ToJson(RunSqlite(call)), R"([{"s": 3}])");
}

TEST(SqliteStepTest, TheResultIsRowsWithTheirCount) {
  const std::vector<std::string> inputs = {FromJson(kRows)};
  const absl::StatusOr<SqlResult> result = RunSqlite(CallOf("select * from t", inputs));
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->is_list);
  EXPECT_EQ(result->elements, 2u);
  EXPECT_EQ(result->value, inputs[0].substr(1));
}

TEST(SqliteStepTest, TheResultComesInPartsOfWholeRows) {
  // Rows of 100,000 bytes, two of which fit into a part, and a larger one among them.
  std::vector<std::string> inputs(1);
  Writer writer(&inputs[0]);
  writer.ArrayHeader(8);
  for (int row = 0; row < 8; ++row) {
    writer.MapHeader(1);
    writer.String("text");
    writer.String(std::string(row == 5 ? 300'000 : 100'000, static_cast<char>('a' + row)));
  }
  const absl::StatusOr<SqlResult> result = RunSqlite(CallOf("select * from t", inputs));
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<uint64_t> rows;
  size_t bytes = 0;
  for (const RowsPart& part : result->parts) {
    rows.push_back(part.rows);
    bytes += part.bytes;
    EXPECT_TRUE(part.bytes <= kRowsPartBytes || part.rows == 1);
    EXPECT_TRUE(bytes == result->value.size() || (result->value[bytes] & 0xf0) == 0x80);
  }
  EXPECT_EQ(rows, (std::vector<uint64_t>{2, 2, 1, 1, 2}));
  EXPECT_EQ(bytes, result->value.size());
  EXPECT_EQ(result->value, inputs[0].substr(1));
}

TEST(SqliteStepTest, NoInputIsNeeded) {
  EXPECT_EQ(Query("select 1 as a, 'x' as b, null as c, 1.5 as d, x'00ff' as e"),
            R"([{"a": 1, "b": "x", "c": null, "d": 1.5, "e": {"$bytes": "AP8="}}])");
}

TEST(SqliteStepTest, FurtherInputsArePipes) {
  EXPECT_EQ(Query("select t.k, pipe1.name from t join pipe1 on pipe1.id = t.n order by t.n",
                  {kRows, R"([{"id": 1, "name": "Ann"}, {"id": 2, "name": "O'Neil"}])"}),
            R"([{"k": "x", "name": "Ann"}, {"k": "y", "name": "O'Neil"}])");
}

TEST(SqliteStepTest, TableNamesAreNotReplacedInTheText) {
  std::vector<std::string> inputs = {FromJson(kRows)};
  SqlCall call = CallOf("select k, n.n from n order by n.n", inputs);
  call.table = "n";
  EXPECT_EQ(ToJson(RunSqlite(call)), R"([{"k": "x", "n": 1}, {"k": "y", "n": 2}])");
  call.code = R"(select count(*) as c from "My table-1")";
  call.table = "my table-1";
  EXPECT_EQ(ToJson(RunSqlite(call)), R"([{"c": 2}])");
}

TEST(SqliteStepTest, AnInputThatTheQueryDoesNotNameIsLeftAlone) {
  EXPECT_EQ(Query("select 1 as a", {"5", "\"text\""}), R"([{"a": 1}])");
}

TEST(SqliteStepTest, AnEmptyListIsATableWithoutRows) {
  EXPECT_EQ(Query("select count(*) as c from t", {"[]"}), R"([{"c": 0}])");
  EXPECT_EQ(Query("select * from t", {"[]"}), "[]");
  EXPECT_EQ(Query("select pipe1.n from pipe1 left join t", {"[]", "[{\"n\": 1}]"}),
            R"([{"n": 1}])");
  EXPECT_EQ(Query("select * from pipe1 left join t", {"[]", "[{\"n\": 1}]"}), R"([{"n": 1}])");
}

TEST(SqliteStepTest, ColumnsOfAnEmptyListAreMissedClearly) {
  ExpectError(Query("select k from t", {"[]"}),
              {"no such column: k", "input 1 of the step is an empty list", "table 't'"});
}

TEST(SqliteStepTest, EmptyDictsAreRowsWithoutColumns) {
  EXPECT_EQ(Query("select * from t", {"[{}, {}]"}), "[{}, {}]");
  EXPECT_EQ(Query("select count(*) as c from t", {"[{}, {}]"}), R"([{"c": 2}])");
}

TEST(SqliteStepTest, ColumnsAreAllKeysInOrderOfAppearance) {
  EXPECT_EQ(Query("select * from t", {R"([{"b": 1}, {"a": 2, "c d": 3}, {"c d": 4, "b": 5}])"}),
            R"([{"b": 1, "a": null, "c d": null}, {"b": null, "a": 2, "c d": 3}, )"
            R"({"b": 5, "a": null, "c d": 4}])");
}

TEST(SqliteStepTest, ColumnsThatDifferOnlyByCaseAreKeptApart) {
  EXPECT_EQ(Query("select * from t", {R"([{"a": 1, "A": 2, "a_2": 3}])"}),
            R"([{"a": 1, "A_2": 2, "a_2_2": 3}])");
}

TEST(SqliteStepTest, KeysThatAreNoTextBecomeText) {
  std::string rows;
  Writer writer(&rows);
  writer.ArrayHeader(2);
  writer.MapHeader(3);
  writer.Int(1), writer.String("one");
  writer.Nil(), writer.String("none");
  writer.Bool(true), writer.String("true");
  writer.MapHeader(1);
  writer.String("1"), writer.String("uno");
  EXPECT_EQ(ToJson(RunSqlite(CallOf("select * from t", {rows}))),
            R"([{"1": "one", "None": "none", "True": "true"}, )"
            R"({"1": "uno", "None": null, "True": null}])");
}

TEST(SqliteStepTest, CellsOfEveryKind) {
  const std::vector<std::string> inputs = {ListOf({
      [](Writer* w) { w->Nil(); },
      [](Writer* w) { w->Bool(true); },
      [](Writer* w) { w->Int(INT64_MIN); },
      [](Writer* w) { w->Uint(UINT64_MAX); },
      [](Writer* w) { w->IntegerText("-1180591620717411303424"); },
      [](Writer* w) { w->Double(1.5); },
      [](Writer* w) { w->Double(NAN); },
      [](Writer* w) { w->Double(1); },
      [](Writer* w) { w->String("ö'\"\n"); },
      [](Writer* w) { w->Bytes("abc"); },
      [](Writer* w) { w->Bytes(""); },
      [](Writer* w) {
        w->Put(value::DateTime{.date = {2024, 1, 2}, .time = {.hour = 3}});
      },
      [](Writer* w) {
        w->Put(value::DateTime{
            .date = {2024, 1, 2},
            .time = {.microsecond = 7, .aware = true, .offset_us = 3600ll * 1000000}});
      },
      [](Writer* w) {
        w->Put(value::Date{2024, 1, 2});
      },
      [](Writer* w) { w->Put(value::Time{.hour = 4, .minute = 5}); },
      [](Writer* w) { w->Put(value::TimeDelta{.seconds = 1, .microseconds = 500000}); },
      [](Writer* w) { w->Extension(value::Ext::kDecimal, "1.10"); },
      [](Writer* w) { w->Extension(value::Ext::kUuid, std::string(16, '\x11')); },
      [](Writer* w) { w->Extension(value::Ext::kSet, "\x91\x03"); },
      [](Writer* w) { w->Raw("\x92\x01\xa1x"); },
      [](Writer* w) { w->Raw(FromJson(R"({"a": [null]})")); },
  })};
  const std::string expected =
      R"([{"v": null}, {"v": 1}, {"v": -9223372036854775808}, {"v": "18446744073709551615"}, )"
      R"({"v": "-1180591620717411303424"}, {"v": 1.5}, {"v": null}, {"v": 1.0}, )"
      R"({"v": "ö'\"\n"}, {"v": {"$bytes": "YWJj"}}, {"v": {"$bytes": ""}}, )"
      R"({"v": "2024-01-02 03:00:00"}, {"v": "2024-01-02 00:00:00.000007+01:00"}, )"
      R"({"v": "2024-01-02"}, {"v": "04:05:00"}, {"v": 1.5}, {"v": "1.10"}, )"
      R"({"v": "11111111-1111-1111-1111-111111111111"}, {"v": "[3]"}, {"v": "[1, \"x\"]"}, )"
      R"({"v": "{\"a\": [null]}"}])";
  EXPECT_EQ(ToJson(RunSqlite(CallOf("select v from t", inputs))), expected);
  EXPECT_EQ(ToJson(RunSqlite(CallOf("select 1; select v from t", inputs))), expected)
      << "with real tables";
}

TEST(SqliteStepTest, AFloatWithoutAFractionStaysAFloat) {
  EXPECT_EQ(Query("select n, typeof(n) as k from t", {R"([{"n": 1.0}, {"n": 1}])"}),
            R"([{"n": 1.0, "k": "real"}, {"n": 1, "k": "integer"}])");
}

TEST(SqliteStepTest, PickledObjectsAreAClearErrorWhereTheyAreRead) {
  const std::vector<std::string> inputs = {
      ListOf({[](Writer* w) { w->Extension(value::Ext::kPickle, "xyz"); }})};
  ExpectError(ToJson(RunSqlite(CallOf("select v from t", inputs))), {"pickled Python object"});
  EXPECT_EQ(ToJson(RunSqlite(CallOf("select count(*) as c from t", inputs))), R"([{"c": 1}])");
}

TEST(SqliteStepTest, AnEnvelopeGetsTheRowsInPlace) {
  constexpr char kReport[] =
      R"({"config": {"account": "A"}, "table_data": [{"sales": 10}, {"sales": 0}], "z": []})";
  EXPECT_EQ(Query("select sales + 1 as s from t", {kReport}),
            R"({"config": {"account": "A"}, "table_data": [{"s": 11}, {"s": 1}], "z": []})");
  EXPECT_EQ(Query("select 1; select sales from t where sales > 99", {kReport}),
            R"({"config": {"account": "A"}, "table_data": [], "z": []})");
}

TEST(SqliteStepTest, AnEnvelopesOnlyEmptyListIsItsTable) {
  EXPECT_EQ(Query("select count(*) as c from t", {R"({"config": {}, "rows": [], "n": [1]})"}),
            R"({"config": {}, "rows": [{"c": 0}], "n": [1]})");
}

TEST(SqliteStepTest, AnyOtherDictIsOneRow) {
  EXPECT_EQ(Query("select * from t", {R"({"a": 1, "b": [1, 2]})"}), R"([{"a": 1, "b": "[1, 2]"}])");
  EXPECT_EQ(Query("select * from t", {R"({"a": [{"x": 1}], "b": [{"x": 2}]})"}),
            R"([{"a": "[{\"x\": 1}]", "b": "[{\"x\": 2}]"}])");
  EXPECT_EQ(Query("select * from t", {R"({"a": [], "b": []})"}), R"([{"a": "[]", "b": "[]"}])");
}

TEST(SqliteStepTest, OnlyTheFirstInputsEnvelopeIsKept) {
  EXPECT_EQ(Query("select n from t, pipe1", {R"([{"a": 1}])", R"({"c": 1, "rows": [{"n": 7}]})"}),
            R"([{"n": 7}])");
}

TEST(SqliteStepTest, OtherInputsAreRefusedByType) {
  const std::map<std::string, std::string> cases = {{"5", "is of type int"},
                                                    {"null", "is of type None"},
                                                    {"\"x\"", "is of type str"},
                                                    {"[1]", "element 0 is of type int"},
                                                    {"[{}, [2]]", "element 1 is of type list"}};
  for (const auto& [input, message] : cases) {
    ExpectError(Query("select * from t", {input}), {"input 1 (table 't')", message});
  }
  SqlCall none = CallOf("select * from t", {});
  none.inputs.push_back({});
  ExpectError(ToJson(RunSqlite(none)), {"is None"});
}

TEST(SqliteStepTest, BrokenInputsAreErrors) {
  const std::string bytes = FromJson(kRows);
  for (size_t size = 1; size < bytes.size(); ++size) {
    std::vector<std::string> inputs = {bytes.substr(0, size)};
    EXPECT_FALSE(RunSqlite(CallOf("select * from t", inputs)).ok()) << size;
  }
}

TEST(SqliteStepTest, TheLastResultSetOfSeveralStatementsIsTheValue) {
  EXPECT_EQ(Query("create table a(x); insert into a select n from t; select x from a; drop table a;"
                  " -- done",
                  {kRows}),
            R"([{"x": 1}, {"x": 2}])");
  EXPECT_EQ(Query("select 1 as a; select 2 as b where 0"), "[]");
  EXPECT_EQ(Query("update t set n = n + 1; select n from t", {kRows}), R"([{"n": 2}, {"n": 3}])");
  EXPECT_EQ(Query("insert into t(k) values ('z') returning k, n", {kRows}),
            R"([{"k": "z", "n": null}])");
}

TEST(SqliteStepTest, WithoutAResultSetTheValueIsAnEmptyList) {
  EXPECT_EQ(Query("create table a(x)"), "[]");
  EXPECT_EQ(Query(""), "[]");
  EXPECT_EQ(Query("-- nothing\n ; "), "[]");
}

TEST(SqliteStepTest, OfEqualResultColumnsTheLastGivesTheValue) {
  EXPECT_EQ(Query("select *, n * 10 as n from t", {kRows}),
            R"([{"k": "x", "n": 10}, {"k": "y", "n": 20}])");
}

TEST(SqliteStepTest, PlaceholdersAreReplaced) {
  SqlCall call = CallOf(
      "select '{{scope}}' as scope, '{{uuid:a}}' = '{{uuid|a}}' as same, '{{x}}' as missing", {});
  call.placeholders = {{"scope", "my-scope"}};
  EXPECT_EQ(ToJson(RunSqlite(call)), R"([{"scope": "my-scope", "same": 1, "missing": "{{x}}"}])");
}

TEST(SqliteStepTest, ErrorsSayWhichStatement) {
  ExpectError(Query("select 1;\n\nselect nope\nfrom t", {kRows}),
              {"statement 2, line 3", "no such column: nope"});
  ExpectError(Query("selec 1"), {"statement 1, line 1", "syntax error"});
  ExpectError(Query("select * from tabel", {kRows}),
              {"no such table: tabel", "the step's inputs are tables 't'"});
  ExpectError(Query("select abs(-9223372036854775808)"), {"statement 1", "integer overflow"});
}

TEST(SqliteStepTest, NothingBeyondTheDatabaseCanBeReached) {
  ExpectError(Query("attach '/tmp/x.db' as x"), {"not allowed in a SQL step", "ATTACH"});
  ExpectError(Query("create table a(x); vacuum into '/tmp/x.db'"), {"not allowed", "ATTACH"});
  ExpectError(Query("select load_extension('x')"), {"not allowed", "load_extension"});
  ExpectError(Query("pragma hard_heap_limit = 1"), {"not allowed", "PRAGMA hard_heap_limit"});
  ExpectError(Query("pragma temp_store_directory = '/tmp'"), {"not allowed"});
  EXPECT_EQ(Query("pragma user_version"), R"([{"user_version": 0}])");
  ExpectError(Query("select readfile('/etc/passwd')"), {"no such function"});
}

constexpr char kEndless[] =
    "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r";

TEST(SqliteStepTest, TheDeadlineEndsAQuery) {
  SqlCall call = CallOf(kEndless, {});
  const absl::Time start = absl::Now();
  call.deadline = start + absl::Milliseconds(50);
  EXPECT_EQ(RunSqlite(call).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, Patience(absl::Seconds(60)));
}

TEST(SqliteStepTest, CancellingEndsAQuery) {
  std::atomic<bool> cancelled = false;
  SqlCall call = CallOf(kEndless, {});
  call.cancelled = &cancelled;
  absl::StatusOr<SqlResult> result;
  std::thread thread([&] { result = RunSqlite(call); });
  cancelled = true;
  thread.join();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
}

TEST(SqliteStepTest, AResultThatIsTooLargeIsStopped) {
  SqlCall call =
      CallOf("with recursive r(n) as (select 1 union all select n + 1 from r) select n from r", {});
  call.result_bytes_max = 10000;
  const absl::Status status = RunSqlite(call).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(), "10000 bytes")) << status;
}

TEST(SqliteStepTest, ASelfJoinDoesNotTakeQuadraticTime) {
  std::string json = "[";
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) absl::StrAppend(&json, i == 0 ? "" : ",", "{\"n\":", i, "}");
  json += "]";
  const std::vector<std::string> inputs = {FromJson(json)};
  SqlCall call = CallOf("select count(*) as c from t a join t b on a.n = b.n + 1", inputs);
  call.deadline = absl::Now() + Patience(absl::Seconds(30));
  EXPECT_EQ(ToJson(RunSqlite(call)), R"([{"c": 19999}])");
}

TEST(SqliteStepTest, ReadOnlyFormsOfEveryKindRunOverOneInput) {
  EXPECT_EQ(Query("select a.n from t a, t b where a.n < b.n", {kRows}), R"([{"n": 1}])");
  EXPECT_EQ(Query("select rowid, n from t where n in (select max(n) from t)", {kRows}),
            R"([{"rowid": 2, "n": 2}])");
  EXPECT_EQ(Query("with x as (select k from t) select group_concat(k, '-') as g from x", {kRows}),
            R"([{"g": "x-y"}])");
  EXPECT_EQ(Query("select k, row_number() over (order by n desc) as r from t order by k", {kRows}),
            R"([{"k": "x", "r": 2}, {"k": "y", "r": 1}])");
  EXPECT_EQ(Query("select n from t where exists (select 1 from t b where b.n = t.n + 1)", {kRows}),
            R"([{"n": 1}])");
  EXPECT_EQ(Query("select main.t.n from main.t limit 1", {kRows}), R"([{"n": 1}])");
}

TEST(SqliteStepTest, TooManyColumnsAreAClearError) {
  std::string json = "[";
  for (int i = 0; i <= 2000; ++i) absl::StrAppend(&json, i == 0 ? "" : ",", "{\"k", i, "\":1}");
  json += "]";
  ExpectError(Query("select 1 from t", {json}), {"more than 2000 different keys"});
}

TEST(SqliteStepTest, NulInAKeyIsAClearError) {
  ExpectError(Query("select 1 from t", {R"([{"a\u0000b": 1}])"}), {"NUL"});
}

TEST(SqliteStepTest, CallsRunSideBySide) {
  const std::vector<std::string> inputs = {FromJson(kRows)};
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        good += ToJson(RunSqlite(CallOf("select sum(n) as s from t", inputs))) == R"([{"s": 3}])";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

}  // namespace
}  // namespace bue::worker
