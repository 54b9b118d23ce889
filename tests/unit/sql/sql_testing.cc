// See sql_testing.h.
#include "tests/unit/sql/sql_testing.h"

#include "common/check.h"
#include "common/value/json.h"

namespace bue::worker {

std::string FromJson(absl::string_view json) {
  std::string out;
  CHECK(value::AppendValueOfJson(json, &out).ok());
  return out;
}

std::string ListOf(const std::vector<std::function<void(value::Writer*)>>& cells) {
  std::string out;
  value::Writer writer(&out);
  writer.ArrayHeader(static_cast<uint32_t>(cells.size()));
  for (const auto& write : cells) {
    writer.MapHeader(1);
    writer.String("v");
    write(&writer);
  }
  return out;
}

std::string ToJson(const absl::StatusOr<SqlResult>& result) {
  if (!result.ok()) return result.status().ToString();
  std::string out;
  if (result->is_list) {
    CHECK(value::AppendJsonOfElements(result->value, {}, &out).ok());
  } else {
    CHECK(value::AppendJson(result->value, {}, &out).ok());
  }
  return out;
}

SqlCall CallOf(absl::string_view code, const std::vector<std::string>& inputs) {
  SqlCall call{.code = std::string(code), .table = "t"};
  for (const std::string& input : inputs) call.inputs.push_back({.value = input});
  return call;
}

}  // namespace bue::worker
