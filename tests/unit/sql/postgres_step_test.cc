// Facts about PostgreSQL steps, on a real server. Skipped where none is installed.
#include <atomic>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/value/reader.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "tests/support/postgres_server.h"
#include "tests/unit/sql/sql_testing.h"
#include "worker/sql/sql_step.h"

namespace bue::worker {
namespace {

using value::DateTime;
using value::Ext;
using value::Writer;

// One server for all tests of the process.
std::unique_ptr<PostgresServer>& Server() {
  static std::unique_ptr<PostgresServer> server;
  return server;
}

class ServerOfAllTests : public testing::Environment {
 public:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<PostgresServer>> server = PostgresServer::Start();
    if (absl::IsNotFound(server.status())) return;
    ASSERT_TRUE(server.ok()) << server.status();
    Server() = *std::move(server);
  }
  void TearDown() override { Server() = nullptr; }
};

PostgresOptions OptionsForServer() {
  return {.host = Server()->socket_directory(),
          .port = absl::StrCat(Server()->port()),
          .user = Server()->user(),
          .password = "se$cret",
          .database = Server()->database()};
}

class PostgresStepTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Server() == nullptr) GTEST_SKIP() << "no PostgreSQL server is installed";
    pool_ = std::make_unique<PostgresPool>(OptionsForServer());
  }

  std::string Query(absl::string_view code, std::vector<std::string> json_inputs = {}) {
    for (std::string& input : json_inputs) input = FromJson(input);
    return ToJson(pool_->Run(CallOf(code, json_inputs)));
  }

  // What becomes of a column "v" of these cells: its type, and the value as it comes back.
  struct Column {
    std::string type;
    std::string packed;  // As ListOf, without the header.
  };
  Column RoundTrip(const std::vector<std::function<void(Writer*)>>& cells) {
    const std::vector<std::string> inputs = {ListOf(cells)};
    const auto type = pool_->Run(CallOf("select distinct pg_typeof(v)::text as k from t", inputs));
    const auto values = pool_->Run(CallOf("select v from t", inputs));
    EXPECT_TRUE(values.ok()) << values.status();
    return {ToJson(type), values.ok() ? values->value : ""};
  }

  std::unique_ptr<PostgresPool> pool_;
};

void ExpectParts(const std::string& outcome, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_TRUE(absl::StrContains(outcome, part)) << outcome << "\nlacks: " << part;
  }
}

constexpr char kRows[] = R"([{"k": "x", "n": 1}, {"k": "y", "n": 2}])";

TEST_F(PostgresStepTest, AQueryRunsOverTheRows) {
  EXPECT_EQ(Query("select k, n * 2 as twice from t order by n desc", {kRows}),
            R"([{"k": "y", "twice": 4}, {"k": "x", "twice": 2}])");
}

TEST_F(PostgresStepTest, FurtherInputsArePipes) {
  EXPECT_EQ(Query("select t.k, pipe1.name from t join pipe1 on pipe1.id = t.n order by t.n",
                  {kRows, R"([{"id": 1, "name": "Ann"}, {"id": 2, "name": "O'Neil"}])"}),
            R"([{"k": "x", "name": "Ann"}, {"k": "y", "name": "O'Neil"}])");
}

TEST_F(PostgresStepTest, CellsOfOneKindComeBackWithTypeAndValue) {
  struct Case {
    std::string type;
    std::vector<std::function<void(Writer*)>> cells;
  };
  const std::vector<Case> cases = {
      {"boolean", {[](Writer* w) { w->Bool(true); }, [](Writer* w) { w->Bool(false); }}},
      {"bigint", {[](Writer* w) { w->Int(INT64_MIN); }, [](Writer* w) { w->Int(INT64_MAX); }}},
      {"double precision",
       {[](Writer* w) { w->Double(1234567.891); }, [](Writer* w) { w->Double(0.1); },
        [](Writer* w) { w->Double(-0.0); }, [](Writer* w) { w->Double(1e300); },
        [](Writer* w) { w->Double(5e-324); }, [](Writer* w) { w->Double(NAN); },
        [](Writer* w) { w->Double(-INFINITY); }}},
      {"numeric",
       {[](Writer* w) { w->Extension(Ext::kDecimal, "1.10"); },
        [](Writer* w) { w->Extension(Ext::kDecimal, "-12345678901234567890.123"); },
        [](Writer* w) { w->Extension(Ext::kDecimal, "NaN"); }}},
      {"text",
       {[](Writer* w) { w->String("a'b''c\\n\t\n\r\"ö\xf0\x9f\x98\x80"); },
        [](Writer* w) { w->String("\\N"); }, [](Writer* w) { w->String(""); },
        [](Writer* w) { w->String("\\."); }}},
      {"bytea",
       {[](Writer* w) { w->Bytes(absl::string_view("\0\xff\\\n", 4)); },
        [](Writer* w) { w->Bytes(""); }}},
      {"timestamp without time zone",
       {[](Writer* w) {
          w->Put(DateTime{.date = {2024, 2, 29},
                          .time = {.hour = 23, .minute = 59, .second = 58, .microsecond = 7}});
        },
        [](Writer* w) {
          w->Put(DateTime{.date = {1, 1, 1}});
        },
        [](Writer* w) {
          w->Put(DateTime{.date = {9999, 12, 31}});
        }}},
      {"timestamp with time zone", {[](Writer* w) {
         w->Put(DateTime{.date = {2024, 2, 29}, .time = {.microsecond = 7, .aware = true}});
       }}},
      {"date",
       {[](Writer* w) {
          w->Put(value::Date{2024, 2, 29});
        },
        [](Writer* w) {
          w->Put(value::Date{1, 1, 1});
        }}},
      {"time without time zone",
       {[](Writer* w) { w->Put(value::Time{.hour = 23, .microsecond = 1}); }}},
      {"time with time zone", {[](Writer* w) {
         w->Put(value::Time{.hour = 23, .aware = true, .offset_us = -19800ll * 1000000});
       }}},
      {"interval",
       {[](Writer* w) { w->Put(value::TimeDelta{.days = 3, .seconds = 5}); },
        [](Writer* w) {
          w->Put(value::TimeDelta{.days = -2, .seconds = 86399, .microseconds = 999999});
        },
        [](Writer* w) { w->Put(value::TimeDelta{}); }}},
      {"uuid", {[](Writer* w) { w->Extension(Ext::kUuid, std::string(16, '\x1f')); }}},
      {"jsonb",
       {[](Writer* w) { w->Raw(FromJson(R"([1, "x", null, {"a": 1.5}])")); },
        [](Writer* w) { w->Raw(FromJson(R"({"big": 123456789012345678901234567890})")); }}},
  };
  for (const Case& test : cases) {
    auto with_none = test.cells;
    with_none.push_back([](Writer* w) { w->Nil(); });
    const Column column = RoundTrip(with_none);
    EXPECT_EQ(column.type, absl::StrCat("[{\"k\": \"", test.type, "\"}]"));
    EXPECT_EQ(column.packed, ListOf(with_none).substr(1)) << test.type;
  }
}

TEST_F(PostgresStepTest, MixedCellsGetTheTypeThatLosesNothing) {
  const auto one = [](Writer* w) { w->Int(1); };
  const auto half = [](Writer* w) { w->Double(0.5); };
  const auto wide = [](Writer* w) { w->Int(9007199254740993); };
  const auto big = [](Writer* w) { w->IntegerText("1180591620717411303424"); };
  const auto yes = [](Writer* w) { w->Bool(true); };
  const auto text = [](Writer* w) { w->String("x"); };
  const auto none = [](Writer* w) { w->Nil(); };
  const auto date = [](Writer* w) { w->Put(value::Date{2024, 1, 2}); };
  const auto naive = [](Writer* w) { w->Put(DateTime{.date = {2024, 1, 2}}); };
  const auto list = [](Writer* w) { w->Raw("\x91\x01"); };
  struct Case {
    std::vector<std::function<void(Writer*)>> cells;
    std::string type;
    std::string values;
  };
  const std::vector<Case> cases = {
      {{one, half}, "double precision", R"([{"v": 1.0}, {"v": 0.5}])"},
      {{wide, half}, "numeric", R"([{"v": "9007199254740993"}, {"v": "0.5"}])"},
      {{one, big}, "numeric", R"([{"v": "1"}, {"v": "1180591620717411303424"}])"},
      {{yes, one}, "bigint", R"([{"v": 1}, {"v": 1}])"},
      {{one, text}, "text", R"([{"v": "1"}, {"v": "x"}])"},
      {{none, none}, "text", R"([{"v": null}, {"v": null}])"},
      {{date, naive},
       "timestamp without time zone",
       R"([{"v": "2024-01-02T00:00:00"}, {"v": "2024-01-02T00:00:00"}])"},
      {{list, text}, "text", R"([{"v": "[1]"}, {"v": "x"}])"},
  };
  for (const Case& test : cases) {
    const Column column = RoundTrip(test.cells);
    EXPECT_EQ(column.type, absl::StrCat("[{\"k\": \"", test.type, "\"}]"));
    EXPECT_EQ(ToJson(SqlResult{.value = column.packed}), test.values);
  }
}

TEST_F(PostgresStepTest, InstantsSurviveOffsets) {
  const std::vector<std::string> inputs = {ListOf({[](Writer* w) {
    w->Put(DateTime{.date = {2024, 1, 1},
                    .time = {.hour = 1, .aware = true, .offset_us = 20700ll * 1000000},
                    .zone = "Asia/Kathmandu"});
  }})};
  EXPECT_EQ(ToJson(pool_->Run(CallOf("select v from t", inputs))),
            R"([{"v": "2023-12-31T19:15:00+00:00"}])");
  EXPECT_EQ(
      ToJson(pool_->Run(CallOf("set local timezone = 'Asia/Kathmandu'; select v from t", inputs))),
      R"([{"v": "2024-01-01T01:00:00+05:45"}])");
}

TEST_F(PostgresStepTest, ResultsOfOtherTypes) {
  EXPECT_EQ(Query("select 1::int2 as a, 2::int4 as b, 1.5::float4 as c, sum(x) as d, 'x'::char(3) "
                  "as e, 'a'::name as f from (values (1::bigint), (2)) as q(x)"),
            R"([{"a": 1, "b": 2, "c": 1.5, "d": "3", "e": "x  ", "f": "a"}])");
  EXPECT_EQ(Query("select array[1, null, 3] as a, array['x', 'a \"b\" \\ {},', 'NULL', ''] as b, "
                  "array[[1, 2], [3, 4]] as c, '{}'::int[] as d, '[0:1]={5,6}'::int[] as e, "
                  "array[date '2024-01-02'] as f, array[1.5, 2] as g, array['{\"a\": 1}'::jsonb] "
                  "as h, array[true] as i"),
            R"([{"a": [1, null, 3], "b": ["x", "a \"b\" \\ {},", "NULL", ""], )"
            R"("c": [[1, 2], [3, 4]], "d": [], "e": [5, 6], "f": ["2024-01-02"], )"
            R"("g": ["1.5", "2"], "h": [{"a": 1}], "i": [true]}])");
  EXPECT_EQ(Query("select '{\"b\": [1, 2.5]}'::json as a, '\"x\"'::jsonb as b, 'null'::jsonb as c"),
            R"([{"a": {"b": [1, 2.5]}, "b": "x", "c": null}])");
  EXPECT_EQ(Query("select 'infinity'::date as a, '0044-03-15 BC'::date as b, "
                  "'-infinity'::timestamptz as c, '24:00'::time as d, '1.2.3.4'::inet as e"),
            R"([{"a": "infinity", "b": "0044-03-15 BC", "c": "-infinity", "d": "24:00:00", )"
            R"("e": "1.2.3.4"}])");
  EXPECT_EQ(Query("select interval '1 year 2 months -3 days 04:05:06.5' as a, "
                  "interval '-01:00:00.5' as b, interval '100 hours' as c"),
            absl::StrCat("[{\"a\": ", (365 + 60 - 3) * 86400 + 4 * 3600 + 5 * 60 + 6,
                         ".5, \"b\": -3600.5, \"c\": 360000}]"));
}

TEST_F(PostgresStepTest, AnEmptyListIsATableWithoutRowsOrColumns) {
  EXPECT_EQ(Query("select count(*) as c from t", {"[]"}), R"([{"c": 0}])");
  EXPECT_EQ(Query("select * from t", {"[]"}), "[]");
  EXPECT_EQ(Query("select * from t", {"[{}, {}]"}), "[{}, {}]");
  ExpectParts(Query("select k from t", {"[]"}),
              {"INVALID_ARGUMENT", "column \"k\" does not exist",
               "input 1 of the step is an empty list, so table 't' has no columns"});
}

TEST_F(PostgresStepTest, AnEnvelopeGetsTheRowsInPlace) {
  EXPECT_EQ(Query("select sum(n)::int as s from t",
                  {R"({"config": {"a": 1}, "rows": [{"n": 1}, {"n": 2}]})"}),
            R"({"config": {"a": 1}, "rows": [{"s": 3}]})");
  EXPECT_EQ(Query("select * from t", {R"({"a": 1, "b": [1]})"}), R"([{"a": 1, "b": [1]}])");
}

TEST_F(PostgresStepTest, NamesAreTheKeysAndQuotedOnesKeepTheirCase) {
  EXPECT_EQ(Query(R"(select "My key", n from T)", {R"([{"My key": 1, "n": 2}])"}),
            R"([{"My key": 1, "n": 2}])");
  std::vector<std::string> inputs = {FromJson(kRows)};
  SqlCall call = CallOf("select count(*) as c from Report", inputs);
  call.table = "Report";
  EXPECT_EQ(ToJson(pool_->Run(call)), R"([{"c": 2}])");
  call.code = R"(select count(*) as c from "Report")";
  EXPECT_EQ(ToJson(pool_->Run(call)), R"([{"c": 2}])");
  const std::string long_key(64, 'k');
  ExpectParts(Query("select * from t", {absl::StrCat("[{\"", long_key, "\": 1}]")}),
              {"INVALID_ARGUMENT", "1 to 63 bytes"});
}

TEST_F(PostgresStepTest, TheLastResultSetOfSeveralStatementsIsTheValue) {
  EXPECT_EQ(Query("create temp table a as select n from t; select 7 as x; select n from a order by "
                  "n; drop table a",
                  {kRows}),
            R"([{"n": 1}, {"n": 2}])");
  EXPECT_EQ(Query("select 1 as a; select 2 as b where false"), "[]");
  EXPECT_EQ(Query("create temp table a(x int)"), "[]");
  EXPECT_EQ(Query(""), "[]");
  EXPECT_EQ(Query("select 1 as n, 2 as m, 3 as n"), R"([{"n": 3, "m": 2}])");
}

TEST_F(PostgresStepTest, PlaceholdersAreReplaced) {
  SqlCall call = CallOf(
      "create temp table {{uuid:x}} as select '{{scope}}' as s; "
      "select * from {{uuid|x}}",
      {});
  call.placeholders = {{"scope", "big"}};
  EXPECT_EQ(ToJson(pool_->Run(call)), R"([{"s": "big"}])");
}

TEST_F(PostgresStepTest, OneTransactionIsCommittedOrLeavesNothing) {
  EXPECT_EQ(Query("create table kept(n int); insert into kept values (1)"), "[]");
  ExpectParts(Query("insert into kept values (2); select 1 / 0"),
              {"INVALID_ARGUMENT", "statement 2", "division by zero", "22012"});
  EXPECT_EQ(Query("select n from kept"), R"([{"n": 1}])");
  EXPECT_EQ(Query("drop table kept"), "[]");
}

TEST_F(PostgresStepTest, TablesOfInputsGoWithTheCall) {
  EXPECT_EQ(Query("select n from t", {kRows}), R"([{"n": 1}, {"n": 2}])");
  ExpectParts(Query("select n from t"), {"INVALID_ARGUMENT", "relation \"t\" does not exist"});
}

TEST_F(PostgresStepTest, ASessionsSettingsDoNotReachTheNextCall) {
  pool_ = nullptr;
  PostgresOptions options = OptionsForServer();
  options.connections_max = 1;
  pool_ = std::make_unique<PostgresPool>(options);
  EXPECT_EQ(Query("set datestyle = 'German'; set search_path = nowhere; "
                  "create temp table mine(x int)"),
            "[]");
  EXPECT_EQ(Query("select date '2024-01-02' as d, current_setting('search_path') as p, "
                  "to_regclass('mine') is null as gone"),
            R"([{"d": "2024-01-02", "p": "\"$user\", public", "gone": true}])");
}

TEST_F(PostgresStepTest, ErrorsSayWhere) {
  ExpectParts(Query("select 1;\n\nselect ö.nope\nfrom t ö", {kRows}),
              {"INVALID_ARGUMENT", "statement 2, line 3", "nope", "42703"});
  ExpectParts(Query("select 1;\nselec 2"), {"INVALID_ARGUMENT", "(line 2)", "syntax error"});
  ExpectParts(Query("select * from tabel", {kRows}), {"the step's inputs are tables 't'"});
  ExpectParts(Query("copy t to stdout", {kRows}), {"INVALID_ARGUMENT", "COPY"});
  ExpectParts(Query("copy t from stdin", {kRows}), {"INVALID_ARGUMENT", "COPY"});
  const std::vector<std::string> pickles = {
      ListOf({[](Writer* w) { w->Extension(Ext::kPickle, "x"); }})};
  ExpectParts(ToJson(pool_->Run(CallOf("select v from t", pickles))),
              {"INVALID_ARGUMENT", "column 'v' of input 1", "pickled Python object"});
  ExpectParts(Query("select * from t", {R"([{"v": "a\u0000b"}])"}),
              {"INVALID_ARGUMENT", "while an input was loaded", "0x00", "COPY t, line 1"});
  EXPECT_EQ(Query("select 1 as a"), R"([{"a": 1}])") << "the pool is still of use";
}

TEST_F(PostgresStepTest, TheDeadlineEndsAQueryOnTheServerToo) {
  SqlCall call = CallOf("select 'mark 4711', pg_sleep(1000)", {});
  const absl::Time start = absl::Now();
  call.deadline = start + absl::Milliseconds(100);
  EXPECT_EQ(pool_->Run(call).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, Patience(absl::Seconds(60)));
  const std::string others =
      "select count(*) as c from pg_stat_activity where query like '%mark 4711%' and state = "
      "'active' and pid <> pg_backend_pid()";
  const absl::Time limit = absl::Now() + Patience(absl::Seconds(60));
  std::string count;
  do {
    count = Query(others);
  } while (count != R"([{"c": 0}])" && absl::Now() < limit);
  EXPECT_EQ(count, R"([{"c": 0}])");
}

TEST_F(PostgresStepTest, CancellingEndsAQuery) {
  std::atomic<bool> cancelled = false;
  SqlCall call = CallOf("select pg_sleep(1000)", {});
  call.cancelled = &cancelled;
  absl::StatusOr<SqlResult> result;
  std::thread thread([&] { result = pool_->Run(call); });
  cancelled = true;
  thread.join();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(PostgresStepTest, AResultThatIsTooLargeIsStopped) {
  SqlCall call = CallOf("select generate_series(1, 100000000) as n", {});
  call.result_bytes_max = 10000;
  EXPECT_EQ(pool_->Run(call).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PostgresStepTest, ManyCallsShareFewConnections) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::map<std::string, int> calls_by_outcome;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10; ++j) {
        const std::string outcome =
            Query("select sum(n)::int as s, pg_backend_pid() as pid from t", {kRows});
        const std::lock_guard lock(mutex);
        ++calls_by_outcome[outcome];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(calls_by_outcome.size(), 4u) << "connections_max";
  for (const auto& [outcome, calls] : calls_by_outcome) ExpectParts(outcome, {"[{\"s\": 3"});
}

TEST_F(PostgresStepTest, ConnectionsThatBrokeAreReplaced) {
  EXPECT_EQ(Query("select 1 as a"), R"([{"a": 1}])");
  ASSERT_TRUE(Server()->Restart().ok());
  EXPECT_EQ(Query("select 2 as a"), R"([{"a": 2}])");
  const std::string killed = Query("select pg_terminate_backend(pg_backend_pid())");
  ExpectParts(killed, {"UNAVAILABLE"});
  EXPECT_EQ(Query("select 3 as a"), R"([{"a": 3}])");
}

TEST_F(PostgresStepTest, AServerThatIsNotThereIsNamedWithoutThePassword) {
  PostgresOptions options = OptionsForServer();
  options.host = "127.0.0.1";
  options.port = "1";
  PostgresPool pool(options);
  const std::string outcome = ToJson(pool.Run(CallOf("select 1", {})));
  ExpectParts(outcome,
              {"UNAVAILABLE", "127.0.0.1:1", "database 'postgres'", "user 'tester'", "refused"});
  EXPECT_FALSE(absl::StrContains(outcome, "se$cret"));
  options.port = "http";
  PostgresPool misspelt(options);
  ExpectParts(ToJson(misspelt.Run(CallOf("select 1", {}))), {"UNAVAILABLE", "http"});
  options = OptionsForServer();
  options.database = "missing";
  PostgresPool elsewhere(options);
  ExpectParts(ToJson(elsewhere.Run(CallOf("select 1", {}))), {"UNAVAILABLE", "does not exist"});
}

TEST_F(PostgresStepTest, ManyRowsTravelBothWays) {
  std::string rows;
  Writer writer(&rows);
  constexpr int kCount = 50000;
  for (int i = 0; i < kCount; ++i) {
    writer.MapHeader(2);
    writer.String("n"), writer.Int(i);
    writer.String("s"), writer.String(absl::StrCat("row ", i));
  }
  SqlCall call = CallOf("select * from t order by n", {});
  call.inputs.push_back({.value = rows, .is_list = true});
  const absl::StatusOr<SqlResult> result = pool_->Run(call);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->elements, static_cast<uint64_t>(kCount));
  EXPECT_EQ(result->value, rows);
}

TEST(PostgresOptionsTest, TheEnvironmentSetsThem) {
  setenv("POSTGRES_HOST", "db.example", 1);
  setenv("POSTGRES_DATABASE", "", 1);
  const PostgresOptions options = PostgresOptionsFromEnvironment();
  EXPECT_EQ(options.host, "db.example");
  EXPECT_EQ(options.port, "5432");
  EXPECT_EQ(options.database, "");
  unsetenv("POSTGRES_HOST");
}

}  // namespace
}  // namespace bue::worker

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new bue::worker::ServerOfAllTests);
  return RUN_ALL_TESTS();
}
