// SQL steps over 10,000 rows of 6 columns, from MessagePack to MessagePack: in place, with real
// tables, grouped; and the fixed cost of a step. `items_per_second` is rows.
#include <benchmark/benchmark.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/value/writer.h"
#include "worker/sql/sql_step.h"

namespace {

using bue::value::Writer;
using bue::worker::RunSqlite;
using bue::worker::SqlCall;

std::string Rows(int count) {
  std::string rows;
  Writer writer(&rows);
  for (int i = 0; i < count; ++i) {
    writer.MapHeader(6);
    writer.String("id");
    writer.Int(i);
    writer.String("name");
    writer.String(absl::StrCat("campaign ", i % 500));
    writer.String("sales");
    writer.Double(1 + i * 1.25);
    writer.String("spend");
    writer.Double(i * 0.5);
    writer.String("clicks");
    writer.Int(i * 7);
    writer.String("day");
    writer.String("2024-01-02");
  }
  return rows;
}

void RunCode(benchmark::State& state, const char* code) {
  const int count = static_cast<int>(state.range(0));
  const std::string rows = Rows(count);
  SqlCall call{.code = code, .table = "t"};
  call.inputs.push_back({.value = rows, .is_list = true});
  for (auto _ : state) {
    const auto result = RunSqlite(call);
    CHECK(result.ok());
    benchmark::DoNotOptimize(result->value.data());
  }
  state.SetItemsProcessed(state.iterations() * count);
}

BENCHMARK_CAPTURE(RunCode, in_place, "select *, spend / sales as acos from t")
    ->Arg(10)
    ->Arg(10000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(RunCode, real_tables, "select 1; select *, spend / sales as acos from t")
    ->Arg(10)
    ->Arg(10000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(RunCode, group_by,
                  "select name, sum(sales) as sales, sum(spend) as spend from t group by name")
    ->Arg(10000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(RunCode, count, "select count(*) as c from t")
    ->Arg(10000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
